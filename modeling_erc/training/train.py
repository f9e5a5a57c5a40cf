"""The story of a run, from the command line to the report and the Hub."""

import time
from functools import partial

import torch
from transformers import set_seed

from datasets_scripts import label_names

from ..hub.cost import CostMeter
from ..hub.run_facts import RunFacts
from . import (
    DecodedMedia,
    ErcArgumentParser,
    ErcCollator,
    ErcTrainer,
    HubRepository,
    SpeedPerturbation,
    build,
    cache_frozen_features,
    changed_settings,
    class_weights,
    interpolate,
    load_corpus,
    prepare_run_folder,
    shown_command,
    trained_weights,
    write_report,
)


def main(argv: list[str]) -> dict[str, dict[str, float]]:
    """Runs one training from a command line; returns the metrics of dev and test."""
    # 1. What is asked for.
    parser = ErcArgumentParser()
    model_args, data_args, args, config_path = parser.parse(argv, default_config="demo")
    settings = changed_settings(model_args, data_args, args)
    set_seed(args.seed)
    meter = CostMeter(processes=args.world_size, gpus=args.world_size * (args.device.type == "cuda"))

    # 2. The corpus, one row a dialogue. The first process prepares it, the others read what it prepared.
    with args.main_process_first(desc="preparing the corpus"):
        splits = load_corpus(data_args, args.seed)
    labels = label_names(splits["train"])

    # 3. The model and its processor, with pretrained or fresh backbones.
    model, processor = build(model_args, data_args, splits, labels)
    model.config.class_weights = class_weights(splits["train"], len(labels), args.class_weighting)
    checkpoint = prepare_run_folder(args, stem=config_path.stem)
    if args.push_to_hub and args.process_index == 0:
        # A Hub that refuses is told now, not after hours.
        HubRepository.of_run(args).prepare()

    # 4. What frozen backbones say never changes, so it is computed once, each process its share.
    workers = args.dataloader_num_workers
    cached, broken = cache_frozen_features(splits, model.to(args.device), processor, data_args.feature_folder, workers)
    decoded = DecodedMedia(processor, budget=data_args.decoded_cache_mb * 2**20)

    # 5. Training; dev alone chooses the checkpoint.
    read = partial(ErcCollator, processor, labels, model.config.label2id)
    trainer = ErcTrainer(
        model=model,
        args=args,
        data_collator=read([*cached, decoded]),
        train_collator=read([*cached, decoded, SpeedPerturbation(args.speed_perturbation)]),
        train_dataset=splits["train"],
        eval_dataset=splits["dev"],
        processing_class=processor,
    )
    trainer.media_problems.update(broken)
    first = trained_weights(model) if model_args.trained_share < 1 else {}
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=checkpoint)
    seconds = time.perf_counter() - started
    interpolate(model, first, model_args.trained_share)

    # 6. The report, beside the model.
    facts = RunFacts(
        title=f"erc-{config_path.stem}",
        dataset=data_args.dataset,
        sizes={split: sum(len(row["utterances"]) for row in rows) for split, rows in splits.items()},
        modalities=list(model.config.modalities),
        fusion=model.config.fusion,
        contrastive=model.config.contrastive,
        command=shown_command(argv, args.hub_token),
        parameters=model.num_parameters(),
        trainable=model.num_parameters(only_trainable=True),
        seconds=seconds,
        device=torch.cuda.get_device_name()
        if args.device.type == "cuda"
        else f"CPU, {torch.get_num_threads()} thread(s)",
        seed=args.seed,
        backbones={
            m: getattr(model_args, f"{m}_encoder")
            for m in model.config.modalities
            if m not in model.config.feature_sizes
        },
        settings=settings,
        cost=meter.read(),
    )
    metrics = write_report(trainer, {name: splits[name] for name in ("dev", "test")}, labels, settings, facts)
    trainer.warn_of_media_problems()
    if trainer.is_world_process_zero():
        for split, scores in metrics.items():
            print(f"{split}: " + "  ".join(f"{k} {scores[k]:.4f}" for k in ("accuracy", "weighted_f1", "macro_f1")))
        print(f"everything is in {args.output_dir}")

    # 7. To the Hub, where it is asked for; checkpoints went there while training.
    if args.push_to_hub:
        address = trainer.push_to_hub()
        if trainer.is_world_process_zero():
            print(f"pushed: {address}")
    return metrics
