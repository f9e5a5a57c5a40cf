"""Registers the package's classes with transformers, so that checkpoints load without `trust_remote_code`."""

from os import PathLike
from pathlib import Path
from typing import Any

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoProcessor,
)
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_erc import ErcConfig
from .feature_extraction_erc import LogMelImageFeatureExtractor
from .modeling_erc import ErcForSequenceClassification, ErcModel
from .pipeline_erc import TASK, EmotionRecognitionPipeline
from .processing_erc import ErcProcessor


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
