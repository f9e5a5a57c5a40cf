"""Emotion recognition in conversation as a Hugging Face model package, after Shi et al. 2024 (arXiv 2405.17900).

Importing it registers the config, models, processor, feature extractor and pipeline with transformers, so that the auto
classes and `pipeline` load a checkpoint without `trust_remote_code`.
"""

from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoProcessor,
)
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_erc import MODALITIES, ErcConfig
from .feature_extraction_erc import LogMelImageFeatureExtractor
from .modeling_erc import ErcForSequenceClassification, ErcModel, ErcPreTrainedModel
from .pipeline_erc import TASK, EmotionRecognitionPipeline
from .processing_erc import ErcProcessor

if TYPE_CHECKING:
    from datasets_scripts import load_erc_dataset

    from .training import ErcTrainer

__version__ = "0.2.0.dev0"


def _read_file(path: str | PathLike[str]) -> list[dict[str, Any]]:
    """Reads a conversation file for the pipeline."""
    from .conversations import read_conversation

    return read_conversation(Path(path)).utterances


EmotionRecognitionPipeline.read_file = staticmethod(_read_file)
AutoConfig.register("erc", ErcConfig)
AutoModel.register(ErcConfig, ErcModel)
AutoModelForSequenceClassification.register(ErcConfig, ErcForSequenceClassification)
AutoProcessor.register(ErcConfig, ErcProcessor)
AutoFeatureExtractor.register(ErcConfig, LogMelImageFeatureExtractor)
PIPELINE_REGISTRY.register_pipeline(
    TASK, pipeline_class=EmotionRecognitionPipeline, pt_model=AutoModelForSequenceClassification, type="multimodal"
)

__all__ = [
    "MODALITIES",
    "EmotionRecognitionPipeline",
    "ErcConfig",
    "ErcForSequenceClassification",
    "ErcModel",
    "ErcPreTrainedModel",
    "ErcProcessor",
    "ErcTrainer",
    "LogMelImageFeatureExtractor",
    "load_erc_dataset",
]

# Imported on first use: they load what only training needs.
_LAZY = {"ErcTrainer": "modeling_erc.training", "load_erc_dataset": "datasets_scripts"}


def __getattr__(name: str) -> Any:
    """Imports a name of `_LAZY` on its first use (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
