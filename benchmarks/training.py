"""A model as a recipe makes it, trained and used on a benchmark's corpus as `train_hf.py` would."""

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

# Neither evaluation nor checkpoints: an epoch of training alone is timed.
_ALONE = ["--eval_strategy", "no", "--save_strategy", "no", "--load_best_model_at_end", "no", "--disable_tqdm", "yes"]


@dataclass
class Speed:
    """What a model costs.

    Args:
        parameters: of the model.
        epoch: a training epoch.
        inference: the corpus once, from rows to logits.
        memory: MB at most, Python and its libraries included.
    """

    parameters: int
    epoch: Taken
    inference: Taken
    memory: float


class EpochClock(TrainerCallback):
    """Notes how long each epoch takes."""

    def __init__(self) -> None:
        self.clock = Clock()

    def on_epoch_begin(self, *args: Any, **kwargs: Any) -> None:
        """Starts."""
        self.clock.start()

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        """Stops."""
        self.clock.stop()


def recipe_speed(recipe: str, words: Sequence[str], rows: DialogueRows, folder: Path, epochs: int) -> Speed:
    """Trains and uses a recipe's model.

    Args:
        recipe: file in `configs/`.
        words: overrides, as on the command line of `train_hf.py`.
        rows: the corpus.
        folder: for what the Trainer writes.
        epochs: that are timed, after one that is not.
    """
    config = RECIPES / recipe
    argv = [str(config), *words, *_ALONE, "--num_train_epochs", str(epochs + 1), "--output_dir", str(folder)]
    model_args, data_args, args, _ = ErcArgumentParser().parse(argv, default_config=config)
    model, processor = build(model_args, data_args, {"train": rows}, EMOTIONS)
    collate = ErcCollator(processor, EMOTIONS, model.config.label2id)
    clock = EpochClock()
    trainer = ErcTrainer(
        model=model,
        args=args,
        data_collator=collate,
        train_dataset=rows,
        processing_class=processor,
        callbacks=[clock],
    )
    # Without a progress bar it prints every log.
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    size = args.per_device_train_batch_size
    inference = fastest(lambda: infer(model, collate, rows, size), repeats=epochs)
    return Speed(model.num_parameters(), clock.clock.fastest(), inference, peak_mb())


@torch.inference_mode()
def infer(model: ErcForSequenceClassification, collate: ErcCollator, rows: DialogueRows, size: int) -> None:
    """From rows to logits, the whole corpus once."""
    model.eval()
    for first in range(0, len(rows), size):
        batch = collate([rows[index] for index in range(first, min(first + size, len(rows)))])
        batch.pop("media_problems"), batch.pop("labels")
        model(**{name: value.to(model.device) for name, value in batch.items()})
