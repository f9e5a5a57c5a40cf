"""Training: arguments, model building, collating, the Trainer, checkpoints and the report of a run."""

from .arguments import ErcArgumentParser, ErcTrainingArguments
from .build import build
from .data import ErcCollator
from .trainer import ErcTrainer

__all__ = ["ErcArgumentParser", "ErcCollator", "ErcTrainer", "ErcTrainingArguments", "build"]
