"""A dialogue that is given utterance by utterance has the logits of the whole one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.configuration_erc import MODALITIES
from modeling_erc.context_erc import GruState, PastState, TransformerContext
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.streaming_erc import ErcStream

MakeConfig = Callable[..., ErcConfig]
Utterances = list[dict[str, Any]]

CONTEXT_SETTINGS: list[dict[str, Any]] = [
    {"context": "transformer"},
    {"context": "transformer", "context_window": 3},
    {"context": "transformer", "context_window": 0},
    {"context": "gru"},
    {"context": "relational"},
    {"context": "relational", "context_window": 3},
    {"context": "none", "context_causal": False},
    {"context": "none", "centered_modalities": ["text", "audio"]},
    {"context": "transformer", "centered_modalities": ["audio"]},
]


def fresh(config: ErcConfig) -> ErcForSequenceClassification:
    """With no parameter at its first value, and a bias at every distance."""
    torch.manual_seed(0)
    model = ErcForSequenceClassification(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    for module in model.modules():
        if isinstance(module, TransformerContext):
            nn.init.normal_(module.bias)
    return model


def talk(config: ErcConfig, length: int) -> Utterances:
    """Four speakers of whom each comes in later than the one before; every modality is missing at times, or all are."""
    noise = np.random.default_rng(3)
    utterances = []
    for number in range(length):
        utterance: dict[str, Any] = {"speaker": f"S{noise.integers(0, 1 + min(number // 3, 3))}"}
        for modality, width in (config.feature_sizes or {}).items():
            if number % 5 and noise.random() < 0.7:
                utterance[MODALITIES[modality].features] = noise.normal(size=(noise.integers(1, 4), width))
        utterances.append(utterance)
    return utterances


def logits_of(stream: ErcStream, dialogue: Utterances) -> Tensor:
    return torch.cat([stream.add(utterance)["logits"] for utterance in dialogue], dim=1)


@pytest.mark.parametrize("position", ["before", "after", "both"])
@pytest.mark.parametrize("settings", CONTEXT_SETTINGS, ids=str)
def test_one_by_one_equals_the_whole_dialogue(
    settings: dict[str, Any], position: str, feature_config: MakeConfig
) -> None:
    config = feature_config(**{"context_causal": True, **settings}, context_position=position, num_context_layers=2)
    model, processor = fresh(config), ErcProcessor(modalities=config.modalities)
    dialogue = talk(config, 24)
    whole = model(**processor(dialogue)).logits
    torch.testing.assert_close(logits_of(model.stream(processor), dialogue), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("past", [0, 2])
def test_words_and_sound_and_pictures_too(
    past: int, raw_config: MakeConfig, processor: ErcProcessor, dialogues: list[Utterances]
) -> None:
    processor.text_past = past
    model = fresh(raw_config(context_causal=True))
    # A zero-width space is a text of which no token is left.
    dialogue = [*dialogues[0], *dialogues[1], {"speaker": "Ann", "text": "\u200b"}, *dialogues[2]]
    whole = model(**processor(dialogue)).logits
    torch.testing.assert_close(logits_of(model.stream(processor), dialogue), whole, atol=1e-5, rtol=0)


def test_a_reset_stream_begins_a_new_dialogue(feature_config: MakeConfig) -> None:
    config = feature_config(context_causal=True)
    stream = fresh(config).stream(ErcProcessor(modalities=config.modalities))
    dialogue = talk(config, 6)
    first = logits_of(stream, dialogue)
    stream.reset()
    assert torch.equal(logits_of(stream, dialogue), first)


@pytest.mark.parametrize("context", ["transformer", "gru", "relational"])
def test_a_refused_utterance_leaves_the_dialogue_where_it_was(context: str, feature_config: MakeConfig) -> None:
    config = feature_config(context=context, context_causal=True)
    model, processor = fresh(config), ErcProcessor(modalities=config.modalities)
    dialogue = talk(config, 6)
    stream = model.stream(processor)
    before = logits_of(stream, dialogue[:3])
    with pytest.raises((ValueError, RuntimeError)):
        stream.add({"speaker": "new", "text_features": np.ones(7)})
    logits = torch.cat([before, logits_of(stream, dialogue[3:])], dim=1)
    torch.testing.assert_close(logits, model(**processor(dialogue)).logits, atol=1e-5, rtol=0)


def test_what_is_kept_grows_with_the_window_or_the_speakers_alone(feature_config: MakeConfig) -> None:
    kept = {}
    for context, window in (("transformer", 3), ("transformer", None), ("gru", None)):
        config = feature_config("text", context=context, context_window=window, context_causal=True)
        stream = fresh(config).stream(ErcProcessor(modalities=config.modalities))
        for number in range(20):
            stream.add({"speaker": number % 2, "text_features": np.ones(6)})
        kept[context, window] = stream._states["text"]
    windowed, whole, recurrent = kept.values()
    assert isinstance(windowed, PastState) and len(windowed.positions) == windowed.past[0][0].shape[2] == 3
    assert isinstance(whole, PastState) and len(whole.positions) == whole.past[0][0].shape[2] == 20
    assert isinstance(recurrent, GruState) and len(recurrent.speakers) == 2


def test_looking_ahead_is_refused_with_the_remedy(feature_config: MakeConfig, processor: ErcProcessor) -> None:
    with pytest.raises(ValueError, match="train one with context_causal: true"):
        fresh(feature_config()).stream(processor)
    with pytest.raises(ValueError, match="mean of a speaker"):
        fresh(feature_config("audio", context="none", centered_modalities=["audio"])).stream(processor)
    causal = fresh(feature_config(context_causal=True))
    processor.text_future = 1
    with pytest.raises(ValueError, match="text_future: 0"):
        causal.stream(processor)
    processor.text_future = 0
    with pytest.raises(ValueError, match=r"model\.eval\(\)"):
        causal.train().stream(processor)
