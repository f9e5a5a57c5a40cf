"""Random dialogues for a checkpoint, used to compare two versions of a model."""

from typing import Any

import numpy as np

from ..configuration_erc import MODALITIES
from ..modeling_erc import ErcForSequenceClassification
from ..processing_erc import ErcProcessor

SPEAKERS = 3


def trial_dialogue(
    model: ErcForSequenceClassification, processor: ErcProcessor, utterances: int, seed: int, present: float
) -> list[dict[str, Any]]:
    """Generates a dialogue with every input of a model: words of its vocabulary, noise, random images or features.

    Texts, sounds and features differ in length. The first two utterances have every modality.

    Args:
        model: the model, whose modalities and feature scales are used.
        processor: the model's processor.
        utterances: number of utterances.
        seed: seed of the random generator.
        present: probability that a later utterance has a modality; an utterance may have none.
    """
    noise = np.random.default_rng(seed)
    dialogue: list[dict[str, Any]] = [{"speaker": f"speaker {noise.integers(SPEAKERS)}"} for _ in range(utterances)]
    for modality in model.config.modalities:
        for place, utterance in enumerate(dialogue):
            if place >= 2 and noise.random() > present:
                continue
            if modality in model.config.feature_sizes:
                utterance[MODALITIES[modality].features] = _features(noise, model, modality)
            elif modality == "text":
                utterance["text"] = _words(noise, processor)
            elif modality == "audio":
                utterance["audio"] = _sound(noise, processor)
            else:
                shape = (processor.num_frames, 64, 64, 3)
                utterance["video"] = noise.integers(0, 256, shape, dtype=np.uint8)
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
    """Values distributed like those of the training split, for one to four tokens."""
    projection = model.erc.projection(modality)
    mean, scale = projection.feature_mean.cpu().numpy(), projection.feature_scale.cpu().numpy()
    scale = np.where(np.isfinite(scale), scale, 0.0)
    drawn = noise.normal(size=(noise.integers(1, 5), len(mean)))
    return (mean + scale * drawn).astype(np.float32)
