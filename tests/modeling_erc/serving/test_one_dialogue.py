"""The form of a model that is exported returns the same logits as the model, and so does its graph."""

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
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.registry_erc import DIALOGUE_INPUTS
from modeling_erc.serving.one_dialogue import OneDialogue
from tests.conftest import FEATURE_SIZES, PIXELS, TRANSFORMER, perturbed

MakeConfig = Callable[..., ErcConfig]
Dialogues = list[list[dict[str, Any]]]

# Speech models on samples, with a first norm over time (`group`) or over channels (`layer`).
WAVES = {**TRANSFORMER, "conv_dim": (8, 8), "conv_kernel": (10, 8), "conv_stride": (5, 4), "num_feat_extract_layers": 2}
WAVES |= {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}


@torch.inference_mode()
def check(
    model: ErcForSequenceClassification, processor: ErcProcessor, *dialogues: list[dict[str, Any]], graph: bool = False
) -> None:
    """Compares the logits; the inputs of a modality that a dialogue lacks come from another dialogue, without rows.

    With `graph`, the model is exported with the first dialogue, and the graph is run on all of them.
    """
    encoded = [processor(dialogue) for dialogue in dialogues]
    empty = {name: value[:0] for packed in encoded for name, value in packed.items()}
    exported: Any = OneDialogue(model).eval()
    for packed in encoded:
        inputs = {**empty, **packed}
        mask, speakers = inputs["modality_mask"], inputs["speaker_ids"]
        inputs = {name: value for name, value in inputs.items() if name not in DIALOGUE_INPUTS}
        if graph and packed is encoded[0]:
            exported = graph_of(exported, mask, speakers, inputs)
        expected = model(**packed).logits[0]
        torch.testing.assert_close(exported(mask, speakers, inputs), expected, atol=1e-5, rtol=0)


def graph_of(exported: OneDialogue, *arguments: Any) -> torch.nn.Module:
    """Exports with dynamic axes."""

    def dynamic(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: dynamic(tensor) for name, tensor in value.items()}
        return dict.fromkeys(range(value.dim()), torch.export.Dim.AUTO)

    shapes = tuple(map(dynamic, arguments))
    return torch.export.export(exported, arguments, dynamic_shapes=shapes, strict=False).module()


@pytest.mark.parametrize("position", ["before", "after", "both"])
def test_logits_equal_those_of_the_model_with_a_recurrence(
    position: str, feature_config: MakeConfig, feature_dialogues: Dialogues
) -> None:
    config = feature_config(context="gru", context_position=position)
    without_vision = [{k: v for k, v in u.items() if k != "visual_features"} for u in feature_dialogues[2]]
    check(perturbed(config), ErcProcessor(modalities=config.modalities), feature_dialogues[0], without_vision)


def test_a_graph_of_features_serves_dialogues_of_any_length_without_a_modality(
    feature_config: MakeConfig, feature_dialogues: Dialogues
) -> None:
    config = feature_config("text", "audio", context_position="both", num_fusion_layers=1)
    first = [{**u, "text_features": torch.ones(2, 6), "audio_features": torch.ones(3, 5)} for u in feature_dialogues[0]]
    without_text = [{k: v for k, v in u.items() if k != "text_features"} for u in feature_dialogues[2]]
    check(perturbed(config), ErcProcessor(modalities=config.modalities), first, without_text, graph=True)


def test_a_graph_of_raw_input_serves_dialogues_of_any_length(
    raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues
) -> None:
    processor.modalities, processor.text_past, processor.text_future = ["text", "audio"], 1, 1
    config = raw_config("text", "audio", text_layer="mix", audio_token_stride=3, num_fusion_layers=1)
    check(perturbed(config), processor, [*dialogues[0], *dialogues[1], *dialogues[2]], *dialogues, graph=True)


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
