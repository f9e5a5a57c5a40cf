"""Training runs that should be equal on one process or several.

`accelerate launch tests/exact_runs.py JOBS.json FOLDER` trains a tiny model on features for a few steps and saves the
loss of every step, the first gradient and final value of every parameter and buffer, metrics and predictions.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import TrainerCallback, set_seed

from datasets_scripts import dialogue_features, label_names
from modeling_erc.training import ErcArgumentParser, ErcCollator, ErcTrainer, build

LABELS = ["neutral", "joy", "anger"]
SETTINGS = {
    "modalities": ["text", "audio"],
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_fusion_layers": 1,
    "contrastive_size": 8,
    "contrastive_weight": 1.0,
    "hidden_dropout_prob": 0.0,
    "modality_dropout": 0.0,
    "max_steps": 5,
    "logging_strategy": "steps",
    "logging_steps": 1,
    "save_strategy": "no",
    "eval_strategy": "no",
    "load_best_model_at_end": False,
    "use_cpu": True,
    "disable_tqdm": True,
}


def corpus(kind: str = "features", seed: int = 0) -> datasets.DatasetDict:
    """Makes twenty dialogues of one to seven utterances, some without label; the last batch of an epoch is not full.

    One dialogue has no label and four have a single class, so that the parts of a batch differ.

    Args:
        kind: `words` has sentences in place of text features, in only three of sixteen dialogues; `targets` has two
            numbers in place of labels, one of them often missing.
        seed: seed of features, labels and gaps.
    """
    draw = np.random.default_rng(seed)
    widths = {"audio": 4} if kind == "words" else {"text": 5, "audio": 4}
    targets = kind == "targets"
    features = dialogue_features([] if targets else LABELS, widths, targets=["valence", "arousal"] if targets else [])
    empty = dict.fromkeys(features["utterances"].feature)
    rows = []
    for number in range(16 if kind == "words" else 20):
        utterances = []
        for place in range(1 + number * 5 % 7):
            label = int(draw.integers(0, 3)) if number % 5 else 0
            given: dict[str, Any] = {"audio_features": draw.standard_normal(4) if draw.random() < 0.8 else None}
            if kind == "words":
                given["text"] = f"{LABELS[label]} {place}" if number < 3 else None
            else:
                given["text_features"] = draw.standard_normal(5) + label
            if targets:
                values = {"valence": float(label), "arousal": None if place % 2 else float(draw.standard_normal())}
                given |= {"targets": values if number != 7 else None}
                utterances.append({**empty, "utterance_id": str(place), "speaker": "AB"[place % 2], **given})
                continue
            given["label"] = label if number != 7 and draw.random() < 0.8 else None
            utterances.append({**empty, "utterance_id": str(place), "speaker": "AB"[place % 2], **given})
        rows.append({"dialogue_id": str(number), "utterances": utterances})
    whole = datasets.Dataset.from_list(rows, features=features)
    return datasets.DatasetDict({"train": whole, "dev": whole.select(range(7))})


class FirstGradients(TrainerCallback):
    """Keeps the gradients of the first optimizer step."""

    def __init__(self) -> None:
        self.kept: dict[str, Tensor] = {}

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self.kept:
            named = kwargs["model"].named_parameters()
            self.kept = {name: p.grad.clone() for name, p in named if p.grad is not None}


def train(settings: dict[str, Any]) -> dict[str, Tensor]:
    """Trains and evaluates with settings of the command line and `corpus`, which override `SETTINGS`."""
    settings = dict(settings)
    splits = corpus(settings.pop("corpus", "features"), settings.pop("corpus_seed", 0))
    with tempfile.TemporaryDirectory() as folder:
        model_args, data_args, args = ErcArgumentParser().parse_dict({**SETTINGS, "output_dir": folder, **settings})
        set_seed(args.seed)
        names = label_names(splits)
        model, processor = build(model_args, data_args, splits, names)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0  # a backbone's own
        model.config.class_weights = [0.5, 1.0, 2.0] if names else None
        gradients = FirstGradients()
        trainer = ErcTrainer(
            model=model,
            args=args,
            data_collator=ErcCollator(processor, names, model.config.label2id, config=model.config),
            train_dataset=splits["train"],
            eval_dataset=splits["dev"],
            processing_class=processor,
            callbacks=[gradients],
        )
        trainer.train()
        prediction = trainer.predict(splits["dev"])
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    kinds = ("accuracy", "weighted_f1", "macro_f1") if names else ("mae", "pearson", "ccc")
    scores = [prediction.metrics[f"test_{name}"] for name in kinds]
    result = {
        "losses": torch.tensor(losses),
        "predictions": torch.tensor(prediction.predictions),
        "labels": torch.tensor(prediction.label_ids),
        "scores": torch.tensor(scores),
        "draws": torch.rand(8),
        **{f"gradient.{name}": value for name, value in gradients.kept.items()},
        **{f"weight.{name}": value for name, value in model.state_dict().items()},
    }
    return {name: value.contiguous() for name, value in result.items()}


def jobs_done(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Loads the results of a launch."""
    return {path.stem: load_file(path) for path in folder.glob("*.safetensors")}


def main(jobs: str, folder: str) -> None:
    torch.set_num_threads(1)
    for name, settings in json.loads(Path(jobs).read_text(encoding="utf-8")).items():
        result = train(settings)
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        save_file(result, Path(folder) / f"{name}-{rank}.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
