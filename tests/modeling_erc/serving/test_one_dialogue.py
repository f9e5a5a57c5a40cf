"""The form of a model that is exported returns the same logits as the model."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    CLIPVisionConfig,
    ConvNextConfig,
    HubertConfig,
    PreTrainedConfig,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
)

from modeling_erc import MODALITIES, ErcConfig, ErcForSequenceClassification
from modeling_erc.fusion_erc import FUSIONS
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.serving.one_dialogue import OneDialogue
from tests.conftest import FEATURE_SIZES, PIXELS, TRANSFORMER, perturbed

MakeConfig = Callable[..., ErcConfig]
Dialogues = list[list[dict[str, Any]]]

# Speech models on samples, with a first norm over time (`group`) or over channels (`layer`).
WAVES = {**TRANSFORMER, "conv_dim": (8, 8), "conv_kernel": (10, 8), "conv_stride": (5, 4), "num_feat_extract_layers": 2}
WAVES |= {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}


@torch.inference_mode()
def check(model: ErcForSequenceClassification, processor: ErcProcessor, *dialogues: list[dict[str, Any]]) -> None:
    """Compares the logits; the inputs of a modality that a dialogue lacks come from another dialogue, without rows."""
    encoded = [processor(dialogue) for dialogue in dialogues]
    empty = {name: value[:0] for packed in encoded for name, value in packed.items()}
    exported = OneDialogue(model).eval()
    for packed in encoded:
        inputs = {**empty, **packed}
        mask, speakers, _ = (inputs.pop(name) for name in ("modality_mask", "speaker_ids", "utterance_mask"))
        expected = model(**packed).logits[0]
        torch.testing.assert_close(exported(mask, speakers, inputs), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fusion", sorted(FUSIONS))
@pytest.mark.parametrize("context", ["transformer", "gru"])
@pytest.mark.parametrize("position", ["before", "after", "both"])
def test_logits_equal_those_of_the_model_on_features(
    fusion: str, context: str, position: str, feature_config: MakeConfig, feature_dialogues: Dialogues
) -> None:
    config = feature_config(fusion=fusion, context=context, context_position=position)
    without_vision = [{k: v for k, v in u.items() if k != "visual_features"} for u in feature_dialogues[2]]
    check(perturbed(config), ErcProcessor(modalities=config.modalities), feature_dialogues[0], without_vision)


@pytest.mark.parametrize("settings", [{}, {"text_layer": "mix", "audio_token_stride": 3}], ids=str)
def test_logits_equal_those_of_the_model_on_raw_input(
    settings: dict[str, Any], raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues
) -> None:
    processor.text_past = processor.text_future = 1
    check(perturbed(raw_config(**settings)), processor, [*dialogues[0], *dialogues[1], *dialogues[2]], *dialogues)


@pytest.mark.parametrize("layer", ["last", "mix"])
def test_logits_equal_those_of_the_model_on_windows_of_text(
    layer: str, raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues
) -> None:
    processor.text_context, processor.max_text_length = "dialogue", 12
    silent = [{name: value for name, value in u.items() if name != "text"} for u in dialogues[0]]
    whole = [*dialogues[0], *dialogues[1], *dialogues[2]]
    check(perturbed(raw_config(text_layer=layer)), processor, whole, dialogues[1], silent)


@pytest.mark.parametrize(
    ("modality", "backbone"),
    [
        ("audio", Wav2Vec2Config(**WAVES)),
        ("audio", Wav2Vec2Config(**WAVES, feat_extract_norm="layer", do_stable_layer_norm=True)),
        ("audio", HubertConfig(**WAVES)),
        ("audio", WavLMConfig(**WAVES)),
        ("vision", ConvNextConfig(num_stages=2, hidden_sizes=[8, 16], depths=[1, 1])),
        ("vision", CLIPVisionConfig(**TRANSFORMER, image_size=PIXELS, patch_size=8)),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_logits_equal_those_of_the_model_for_other_backbones(
    modality: str, backbone: PreTrainedConfig, processor: ErcProcessor, dialogues: Dialogues
) -> None:
    sizes = {m: width for m, width in FEATURE_SIZES.items() if m != modality}
    config = ErcConfig(hidden_size=32, num_labels=3, feature_sizes=sizes, **{f"{modality}_config": backbone})
    if modality == "audio":
        processor.feature_extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    features = {MODALITIES[m].features: torch.ones(width) for m, width in sizes.items()}
    check(
        perturbed(config),
        processor,
        *([{**features, **u, "text": None} for u in dialogue] for dialogue in dialogues[:2]),
    )
