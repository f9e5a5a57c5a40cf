from collections.abc import Callable
from typing import Any

import pytest
import torch

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.fusion_erc import FUSIONS
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.serving.dense_dialogue import DenseDialogue, dense_inputs

MakeConfig = Callable[..., ErcConfig]
Dialogues = list[list[dict[str, Any]]]


def fresh(config: ErcConfig) -> ErcForSequenceClassification:
    torch.manual_seed(0)
    model = ErcForSequenceClassification(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@torch.inference_mode()
def check(model: ErcForSequenceClassification, processor: ErcProcessor, dialogue: list[dict[str, Any]]) -> None:
    """Compares the logits, with arbitrary values in the rows of missing modalities."""
    packed = processor(dialogue)
    expected = model(**packed).logits[0]
    inputs = dense_inputs(model.config, packed)
    mask, speakers = inputs.pop("modality_mask"), inputs.pop("speaker_ids")
    for name, value in inputs.items():
        modality = next(i for i, m in enumerate(model.config.modalities) if name in names_of(m))
        value[~mask[:, modality]] = 1
    logits = DenseDialogue(model).eval()(mask, speakers, inputs)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


def names_of(modality: str) -> list[str]:
    return {
        "text": ["input_ids", "attention_mask", "text_token_mask", "text_features", "text_features_mask"],
        "audio": ["audio_values", "audio_attention_mask", "audio_features", "audio_features_mask"],
        "vision": ["pixel_values", "visual_features", "visual_features_mask"],
    }[modality]


@pytest.mark.parametrize("fusion", sorted(FUSIONS))
@pytest.mark.parametrize("context", ["transformer", "gru"])
@pytest.mark.parametrize("position", ["before", "after", "both"])
def test_logits_equal_those_of_the_model_on_features(
    fusion: str, context: str, position: str, feature_config: MakeConfig, feature_dialogues: Dialogues
) -> None:
    config = feature_config(fusion=fusion, context=context, context_position=position)
    check(fresh(config), ErcProcessor(modalities=config.modalities), feature_dialogues[0])


@pytest.mark.parametrize("settings", [{}, {"text_layer": "mix", "audio_token_stride": 3}], ids=str)
def test_logits_equal_those_of_the_model_on_raw_input(
    settings: dict[str, Any], raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues
) -> None:
    processor.text_past = processor.text_future = 1
    check(fresh(raw_config(**settings)), processor, [*dialogues[0], *dialogues[1], *dialogues[2]])
