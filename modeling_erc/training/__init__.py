"""Training: arguments, building, collating, caching, the Trainer and its report. The Hub code imports none of it."""

from .arguments import DataArguments, ErcArgumentParser, ErcTrainingArguments, ModelArguments, changed_settings
from .build import build, class_weights
from .collator import ErcCollator
from .corpus import load_corpus
from .decoded_media import DecodedMedia
from .feature_cache import cache_frozen_features
from .feature_store import FeatureStore
from .metrics import ErcMetric
from .report import write_report
from .run_folder import RunFolderError, prepare_run_folder
from .speed_perturbation import SpeedPerturbation
from .start_from import interpolate, trained_weights
from .trainer import ErcTrainer
from .whole_checkpoint import CheckpointError

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
    "ModelArguments",
    "RunFolderError",
    "SpeedPerturbation",
    "build",
    "cache_frozen_features",
    "changed_settings",
    "class_weights",
    "interpolate",
    "load_corpus",
    "prepare_run_folder",
    "trained_weights",
    "write_report",
]
