"""Emotion recognition in conversation as a Hugging Face model package, after Shi et al. 2024 (arXiv 2405.17900)."""

from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_erc import MODALITIES, ErcConfig
from .modeling_erc import ErcForSequenceClassification, ErcModel, ErcPreTrainedModel
from .pipeline_erc import TASK, EmotionRecognitionPipeline

__version__ = "0.2.0.dev0"

AutoConfig.register("erc", ErcConfig)
AutoModel.register(ErcConfig, ErcModel)
AutoModelForSequenceClassification.register(ErcConfig, ErcForSequenceClassification)
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
]
