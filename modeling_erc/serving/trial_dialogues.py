"""Dialogues made up for a checkpoint, to compare what two forms of a model say of them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..configuration_erc import MODALITIES
from ..modeling_erc import ErcForSequenceClassification
from ..processing_erc import ErcProcessor

# How often an utterance has a modality: some have none at all.
PRESENT = 0.75
SPEAKERS = 3
Dialogue = list[dict[str, Any]]


def trial_dialogue(
    model: ErcForSequenceClassification, processor: ErcProcessor, utterances: int, seed: int, present: float = PRESENT
) -> Dialogue:
    """A dialogue with everything that a model takes: words of its vocabulary, noise, pictures or features.

    Lengths of text, sound and features differ from utterance to utterance; of each modality the dialogue has at least
    two utterances, or one where it has no more.

    Args:
        model: whose modalities, and whose features' scale.
        processor: made for the model.
        utterances: how many.
        seed: other dialogues for other seeds.
        present: chance that an utterance has a modality.
    """
    noise = np.random.default_rng(seed)
    dialogue: Dialogue = [{"speaker": f"speaker {noise.integers(SPEAKERS)}"} for _ in range(utterances)]
    makers: dict[str, Callable[[], tuple[str, Any]]] = {
        "text": lambda: ("text", _words(noise, processor)),
        "audio": lambda: ("audio", _sound(noise, processor)),
        "vision": lambda: ("video", noise.integers(0, 256, (processor.num_frames, 64, 64, 3), dtype=np.uint8)),
    }
    for modality in model.config.modalities:
        for place, utterance in enumerate(dialogue):
            if place >= 2 and noise.random() > present:
                continue
            if modality in model.config.feature_sizes:
                name, value = MODALITIES[modality].features, _features(noise, model, modality)
            else:
                name, value = makers[modality]()
            utterance[name] = value
    return dialogue


def _words(noise: np.random.Generator, processor: ErcProcessor) -> str:
    assert processor.tokenizer is not None
    vocabulary = sorted(processor.tokenizer.get_vocab())
    return " ".join(noise.choice(vocabulary, size=noise.integers(1, 20)).tolist())


def _sound(noise: np.random.Generator, processor: ErcProcessor) -> tuple[np.ndarray, int]:
    assert processor.feature_extractor is not None
    rate = processor.feature_extractor.sampling_rate
    seconds = noise.uniform(0.3, min(4.0, processor.max_audio_seconds))
    return noise.normal(scale=0.1, size=round(seconds * rate)).astype(np.float32), rate


def _features(noise: np.random.Generator, model: ErcForSequenceClassification, modality: str) -> np.ndarray:
    """Values such as the training split had, for up to four tokens."""
    projection = model.erc.projection(modality)
    mean, scale = projection.feature_mean.cpu().numpy(), projection.feature_scale.cpu().numpy()
    scale = np.where(np.isfinite(scale), scale, 0.0)
    drawn = noise.normal(size=(noise.integers(1, 5), len(mean)))
    return (mean + scale * drawn).astype(np.float32)
