"""Readers of tiny untrained models, one for each kind of prediction."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from modeling_erc import EmotionRecognitionPipeline, ErcConfig, ErcForSequenceClassification
from modeling_erc.demo_page.reading import Reader
from modeling_erc.processing_erc import ErcProcessor


@pytest.fixture
def reader_of(raw_config: Callable[..., ErcConfig], processor: ErcProcessor) -> Callable[..., Reader]:
    """Makes the reader of a model of words and voice, with settings of `ErcConfig`."""

    def make(**settings: Any) -> Reader:
        processor.modalities = ["text", "audio"]
        torch.manual_seed(0)
        model = ErcForSequenceClassification(raw_config("text", "audio", **settings)).eval()
        return Reader(EmotionRecognitionPipeline(model=model, processor=processor, device="cpu"))

    return make
