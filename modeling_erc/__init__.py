"""Emotion recognition in conversation as a Hugging Face model package, after Shi et al. 2024 (arXiv 2405.17900)."""

from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from .configuration_erc import MODALITIES, ErcConfig
from .modeling_erc import ErcForSequenceClassification, ErcModel, ErcPreTrainedModel

AutoConfig.register("erc", ErcConfig)
AutoModel.register(ErcConfig, ErcModel)
AutoModelForSequenceClassification.register(ErcConfig, ErcForSequenceClassification)

__all__ = ["MODALITIES", "ErcConfig", "ErcForSequenceClassification", "ErcModel", "ErcPreTrainedModel"]
