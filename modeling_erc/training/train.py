"""A training run in numbered steps, from the command line to the report and the Hub."""

import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from transformers import set_seed

from datasets_scripts import DialogueRows, label_names

from ..features.decoded_media import DecodedMedia
from ..features.feature_cache import cache_frozen_features
from ..hub.cost import CostMeter
from ..hub.redaction import public
from ..hub.repository import HubRepository
from ..hub.run_facts import RunFacts, score_rows, titles_of
from .arguments import DataArguments, ErcArgumentParser, ErcTrainingArguments, changed_settings, shown_command
from .augmentation import FrameAugmentation, SpeedPerturbation
from .build import build
from .checkpoints import check_resumed, delete_old_run, naming_resume, prepare_run_folder, write_identity
from .classifier_refit import can_refit, refit_classifier
from .data import ErcCollator, check_media, check_splits, corpus_fingerprint, load_corpus
from .model_arguments import ModelArguments
from .outputs import USUAL_METRICS, class_balance
from .report import write_report
from .trained_parts import TrainedParts
from .trainer import ErcTrainer
from .transcripts import transcribe_missing


def main(argv: list[str]) -> dict[str, dict[str, float]]:
    """Trains one model from a command line.

    Args:
        argv: `[CONFIG] [--option value ...]`.

    Returns:
        Metrics of the splits `dev` and `test`.
    """
    # 1. Parse the arguments.
    model_args, data_args, args, config_path = ErcArgumentParser().parse(argv, default_config="demo")
    with naming_resume(args):
        return _train(argv, model_args, data_args, args, config_path)


def _train(
    argv: list[str],
    model_args: ModelArguments,
    data_args: DataArguments,
    args: ErcTrainingArguments,
    config_path: Path,
) -> dict[str, dict[str, float]]:
    settings = changed_settings(model_args, data_args, args)
    on_gpu = args.device.type == "cuda"
    meter = CostMeter(processes=args.world_size, gpus=args.world_size * on_gpu)

    # 2. Load the corpus, one row per dialogue. The first process prepares it, the others read the result. Recognise the
    # words that it lacks once, sharded across processes.
    with args.main_process_first(desc="preparing the corpus"):
        splits = load_corpus(data_args, args.seed)
    check_splits(splits, required=("train", "dev", "test") if data_args.folds is None else tuple(splits))
    args.fit_to(len(splits["train"]))
    labels = label_names(splits["train"])
    transcribed, without_words = transcribe_missing(splits, model_args.modalities, data_args, str(args.device))

    # 3. Build the model and its processor, with pretrained or untrained backbones.
    set_seed(args.seed)  # after the recogniser, which runs once
    model, processor = build(model_args, data_args, splits, labels)
    config = model.config
    args.refit_classifier = args.refit_classifier and can_refit(config)
    balance = class_balance(splits["train"], config.num_classes, args.class_weighting)
    config.class_weights = balance["class_weights"]
    config.class_priors = balance["class_priors"] if config.logit_adjustment else None
    if args.metric_for_best_model == "weighted_f1":
        args.metric_for_best_model = USUAL_METRICS.get(config.problem_type or "", "weighted_f1")
    check_media(splits["train"], processor)

    # 4. Prepare the run's folder and, for a push, the repository: a refusal of the Hub must come before hours of work.
    checkpoint = prepare_run_folder(args, stem=config_path.stem)
    corpus = corpus_fingerprint(splits)
    if checkpoint is not None:
        check_resumed(args, settings, corpus)
    if args.push_to_hub and args.process_index == 0:
        HubRepository.of_run(args).prepare()

    # 5. Extract the features of frozen backbones once, sharded across processes.
    cached, media_problems = cache_frozen_features(
        splits, model.to(args.device), processor, data_args.feature_folder, args.dataloader_num_workers
    )
    decoded = DecodedMedia(processor, budget=data_args.decoded_cache_mb * 2**20)

    # 6. Train; dev alone chooses the checkpoint.
    collator = partial(ErcCollator, processor, labels, config.label2id, config=config)
    trainer = ErcTrainer(
        model=model,
        args=args,
        data_collator=collator([*cached, decoded]),
        train_collator=collator(
            [*cached, decoded, SpeedPerturbation(args.speed_perturbation), FrameAugmentation(args.frame_shift)]
        ),
        train_dataset=splits["train"],
        eval_dataset=splits.get("dev"),
        processing_class=processor,
        callbacks=[TrainedParts()],
    )
    trainer.media_problems.update([*without_words, *media_problems])
    delete_old_run(args)
    if checkpoint is None:
        write_identity(args, settings, corpus)
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=checkpoint)
    if args.refit_classifier:
        refit_classifier(trainer)
    seconds = time.perf_counter() - started

    # 7. Evaluate, and write the report beside the model.
    facts = RunFacts(
        title=f"erc-{config_path.stem}",
        dataset=data_args.dataset,
        sizes={split: sum(len(row["utterances"]) for row in rows) for split, rows in splits.items()},
        modalities=list(config.modalities),
        fusion=config.fusion,
        contrastive=config.contrastive,
        command=shown_command(argv, args.hub_token),
        parameters=model.num_parameters(),
        trainable=model.num_parameters(only_trainable=True),
        seconds=seconds,
        device=torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} thread(s)",
        seed=args.seed,
        backbones={m: getattr(model_args, f"{m}_encoder") for m in model.erc_model.encoders},
        settings=settings,
        split_note=splits["train"].split_note,
        transcribed=transcribed,
        cost=meter.read(),
    )
    scored: dict[str, DialogueRows] = {name: splits[name] for name in ("dev", "test") if name in splits}
    most_frequent = int(np.argmax(balance["class_priors"] or [0]))
    metrics = write_report(trainer, scored, settings, facts, most_frequent)
    trainer.warn_of_media_problems()
    if trainer.is_world_process_zero():
        for split, scores in score_rows(metrics).items():
            print(f"{split}: " + "  ".join(f"{name} {scores[name]:.4f}" for name in titles_of(scores)))
        if facts.split_note:
            print(f"splits: {facts.split_note}")
        if transcribed:
            counts = ", ".join(f"{count} {split}" for split, count in transcribed.items())
            print(f"words: recognised by {public(data_args.transcribe)} in utterances without text: {counts}")
        print(f"everything is in {args.output_dir}")

    # 8. Push the run; its checkpoints were pushed during training.
    if args.push_to_hub:
        address = trainer.push_to_hub()
        if trainer.is_world_process_zero():
            print(f"pushed: {address}")
    return metrics
