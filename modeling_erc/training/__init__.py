"""Training: arguments, model building, collating, the Trainer, checkpoints and the report of a run."""

from .arguments import (
    DataArguments,
    ErcArgumentParser,
    ErcTrainingArguments,
    changed_settings,
    shown_command,
)
from .build import build, class_weights
from .checkpoints import CheckpointError, RunFolderError, prepare_run_folder
from .data import ErcCollator, SpeedPerturbation, load_corpus
from .metrics import ErcMetric
from .model_arguments import ModelArguments
from .report import write_report
from .trainer import ErcTrainer
from .warm_start import interpolate, trained_weights

__all__ = [
    "CheckpointError",
    "DataArguments",
    "ErcArgumentParser",
    "ErcCollator",
    "ErcMetric",
    "ErcTrainer",
    "ErcTrainingArguments",
    "ModelArguments",
    "RunFolderError",
    "SpeedPerturbation",
    "build",
    "changed_settings",
    "class_weights",
    "interpolate",
    "load_corpus",
    "prepare_run_folder",
    "shown_command",
    "trained_weights",
    "write_report",
]
