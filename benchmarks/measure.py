"""Time and memory of code under measurement, and the cost of training and applying the model of a recipe."""

import time
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import TrainerCallback

from datasets_scripts import DialogueRows
from modeling_erc.configs import RECIPES
from modeling_erc.training import ErcArgumentParser, ErcCollator, ErcTrainer, build

from .corpus import EMOTIONS

# Without evaluation and checkpoints, a training epoch is timed alone.
_TRAINING_ONLY = [
    "--eval_strategy",
    "no",
    "--save_strategy",
    "no",
    "--load_best_model_at_end",
    "no",
    "--use_cpu",
    "yes",
]


@dataclass
class Speed:
    """Cost of a model.

    Args:
        parameters: number of parameters.
        epoch: CPU seconds of a training epoch.
        inference: CPU seconds of one pass over the corpus, from rows to logits.
        memory: peak memory in MB, above that of Python and its libraries.
    """

    parameters: int
    epoch: float
    inference: float
    memory: float


def fastest(call: Callable[[], Any], repeats: int) -> float:
    """Returns the shortest CPU time of `repeats` calls after a warm-up call; other work can only slow a call down."""
    return min(timeit.repeat(call, timer=time.process_time, number=1, repeat=repeats + 1)[1:])


def peak_mb() -> float:
    """Returns the peak resident memory of this process in MB."""
    # `ru_maxrss` would start with the peak of the parent process.
    return _status("VmHWM")


def resident_mb() -> float:
    """Returns the resident memory of this process in MB, at the start that of Python and the imported libraries."""
    return _status("VmRSS")


def _status(name: str) -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith(name)).split()[1]) / 1024


def model_inputs(batch: dict[str, Any]) -> dict[str, Any]:
    """Returns the entries of a collated batch that are arguments of the model."""
    return {name: value for name, value in batch.items() if name not in ("labels", "media_problems", "dialogue_ids")}


class EpochClock(TrainerCallback):
    """Records the CPU time at the start and at the end of each epoch."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_epoch_begin(self, *args: Any, **kwargs: Any) -> None:
        """Records the CPU time."""
        self.times.append(time.process_time())

    on_epoch_end = on_epoch_begin


def recipe_speed(recipe: str, options: Sequence[str], rows: DialogueRows, folder: Path, epochs: int) -> Speed:
    """Measures training and inference with the model of a recipe, on one thread.

    Args:
        recipe: name of a file in `configs/`.
        options: overrides, as on the command line of `train_hf.py`.
        rows: the corpus.
        folder: folder for the output of the Trainer.
        epochs: number of timed epochs, after one that is not timed.
    """
    torch.set_num_threads(1)
    before = resident_mb()
    argv = [str(RECIPES / recipe), *options, *_TRAINING_ONLY, "--output_dir", str(folder)]
    argv += ["--use_cpu", "yes", "--num_train_epochs", str(epochs + 1)]
    model_args, data_args, args, _ = ErcArgumentParser().parse(argv, default_config=RECIPES / recipe)
    model, processor = build(model_args, data_args, {"train": rows}, EMOTIONS)
    collate, clock = ErcCollator(processor, EMOTIONS, model.config.label2id), EpochClock()
    trainer = ErcTrainer(
        model=model,
        args=args,
        data_collator=collate,
        train_dataset=rows,
        processing_class=processor,
        callbacks=[clock],
    )
    trainer.train()

    loader: DataLoader[Any] = DataLoader(rows, args.per_device_train_batch_size, collate_fn=collate)  # type: ignore[arg-type]

    @torch.inference_mode()
    def infer() -> None:
        model.eval()
        for batch in loader:
            model(**model_inputs(batch))

    epoch = float(np.diff(clock.times)[2::2].min())
    return Speed(model.num_parameters(), epoch, fastest(infer, epochs), peak_mb() - before)
