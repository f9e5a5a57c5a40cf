"""Models built from recipes, trained and applied to a benchmark's corpus as `train_hf.py` does it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback

from datasets_scripts import DialogueRows
from modeling_erc import ErcForSequenceClassification
from modeling_erc.configs import RECIPES
from modeling_erc.training import ErcArgumentParser, ErcCollator, ErcTrainer, build

from .corpus import EMOTIONS
from .measure import Clock, Taken, fastest, peak_mb

# Neither evaluation nor checkpoints, so that a training epoch is timed without them.
_TRAINING_ONLY = ["--eval_strategy", "no", "--save_strategy", "no", "--load_best_model_at_end", "no"]


@dataclass
class Speed:
    """Cost of a model.

    Args:
        parameters: number of parameters.
        epoch: time of a training epoch.
        inference: time of one pass over the corpus, from rows to logits.
        memory: peak memory in MB, including Python and its libraries.
    """

    parameters: int
    epoch: Taken
    inference: Taken
    memory: float


class EpochClock(TrainerCallback):
    """Measures the time of each epoch."""

    def __init__(self) -> None:
        self.clock = Clock()

    def on_epoch_begin(self, *args: Any, **kwargs: Any) -> None:
        """Starts a lap."""
        self.clock.start()

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        """Ends the lap."""
        self.clock.stop()


def built(recipe: Path, options: Sequence[str], rows: DialogueRows, folder: Path | str) -> tuple[Any, ErcCollator, Any]:
    """Builds the model of a recipe.

    Args:
        recipe: recipe file.
        options: overrides, as on the command line of `train_hf.py`.
        rows: training corpus.
        folder: folder for the output of the Trainer.

    Returns:
        The model, its collator and the training arguments.
    """
    argv = [str(recipe), *options, "--output_dir", str(folder)]
    model_args, data_args, training_args, _ = ErcArgumentParser().parse(argv, default_config=recipe)
    model, processor = build(model_args, data_args, {"train": rows}, EMOTIONS)
    return model, ErcCollator(processor, EMOTIONS, model.config.label2id), training_args


def model_inputs(batch: dict[str, Any]) -> dict[str, Any]:
    """Returns the entries of a collated batch that are arguments of the model."""
    return {name: value for name, value in batch.items() if name not in ("labels", "media_problems")}


def recipe_speed(recipe: str, options: Sequence[str], rows: DialogueRows, folder: Path, epochs: int) -> Speed:
    """Measures training and inference with the model of a recipe.

    Args:
        recipe: name of a file in `configs/`.
        options: overrides, as on the command line of `train_hf.py`.
        rows: the corpus.
        folder: folder for the output of the Trainer.
        epochs: number of timed epochs, after one that is not timed.
    """
    options = [*options, *_TRAINING_ONLY, "--disable_tqdm", "yes", "--num_train_epochs", str(epochs + 1)]
    model, collate, args = built(RECIPES / recipe, options, rows, folder)
    clock = EpochClock()
    trainer = ErcTrainer(
        model=model,
        args=args,
        data_collator=collate,
        train_dataset=rows,
        processing_class=collate.processor,
        callbacks=[clock],
    )
    # Without a progress bar it would print every log entry.
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    size = args.per_device_train_batch_size
    inference = fastest(lambda: _infer(model, collate, rows, size), repeats=epochs)
    return Speed(model.num_parameters(), clock.clock.fastest(), inference, peak_mb())


@torch.inference_mode()
def _infer(model: ErcForSequenceClassification, collate: ErcCollator, rows: DialogueRows, size: int) -> None:
    """Computes the logits of the whole corpus once."""
    model.eval()
    for first in range(0, len(rows), size):
        batch = collate([rows[index] for index in range(first, min(first + size, len(rows)))])
        model(**{name: value.to(model.device) for name, value in model_inputs(batch).items()})
