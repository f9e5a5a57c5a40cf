"""Training: arguments, building, collating, caching, the Trainer and its report. The Hub code imports none of it."""

from ..features.decoded_media import DecodedMedia
from ..features.feature_cache import cache_frozen_features
from ..features.feature_store import FeatureStore
from ..hub.repository import HubRepository, PushError
from .arguments import (
    DataArguments,
    ErcArgumentParser,
    ErcTrainingArguments,
    ModelArguments,
    changed_settings,
    shown_command,
)
from .build import build, class_weights
from .checkpoints import CheckpointError, RunFolderError, prepare_run_folder
from .data import ErcCollator, SpeedPerturbation, load_corpus
from .metrics import ErcMetric
from .report import write_report
from .trainer import ErcTrainer
from .warm_start import interpolate, trained_weights

__all__ = [
    "CheckpointError",
    "DataArguments",
    "DecodedMedia",
    "ErcArgumentParser",
    "ErcCollator",
    "ErcMetric",
    "ErcTrainer",
    "ErcTrainingArguments",
    "FeatureStore",
    "HubRepository",
    "ModelArguments",
    "PushError",
    "RunFolderError",
    "SpeedPerturbation",
    "build",
    "cache_frozen_features",
    "changed_settings",
    "class_weights",
    "interpolate",
    "load_corpus",
    "prepare_run_folder",
    "shown_command",
    "trained_weights",
    "write_report",
]
