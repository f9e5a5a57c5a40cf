"""Random dialogues for a checkpoint, used to compare two versions of a model."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..configuration_erc import MODALITIES
from ..modeling_erc import ErcForSequenceClassification
from ..processing_erc import ErcProcessor

# Numbers of utterances.
LENGTHS = (5, 1, 2, 12, 31)


def trial_dialogues(model: ErcForSequenceClassification, processor: ErcProcessor) -> list[list[dict[str, Any]]]:
    """Generates dialogues of several lengths, and for each modality of several one in which nobody has it.

    Args:
        model: the model, whose modalities and feature scales are used.
        processor: the model's processor.

    Returns:
        dialogues with every modality; all utterances of the first have all.
    """
    modalities = model.config.modalities
    dialogues = [
        _dialogue(model, processor, modalities, length, seed, present=0.75 if seed else 1.0)
        for seed, length in enumerate(LENGTHS)
    ]
    for m in modalities if len(modalities) > 1 else ():
        rest = [other for other in modalities if other != m]
        dialogues.append(_dialogue(model, processor, rest, utterances=3, seed=len(dialogues), present=0.75))
    return dialogues


def _dialogue(
    model: ErcForSequenceClassification,
    processor: ErcProcessor,
    modalities: Sequence[str],
    utterances: int,
    seed: int,
    present: float,
) -> list[dict[str, Any]]:
    """Returns a dialogue with words of the vocabulary, noise, random images or features, which differ in length.

    The first two utterances have every modality, a later one has each with the probability `present`.
    """
    noise = np.random.default_rng(seed)
    dialogue: list[dict[str, Any]] = [{"speaker": f"speaker {noise.integers(3)}"} for _ in range(utterances)]
    for modality in modalities:
        for place, utterance in enumerate(dialogue):
            if place < 2 or noise.random() <= present:
                names = MODALITIES[modality]
                name = names.features if modality in model.config.feature_sizes else names.raw[0]
                utterance[name] = _value(noise, model, processor, modality)
    return dialogue


def _value(
    noise: np.random.Generator, model: ErcForSequenceClassification, processor: ErcProcessor, modality: str
) -> Any:
    """Returns the random input of one utterance."""
    if modality in model.config.feature_sizes:
        # One to four tokens, distributed like those of the training split.
        projection = model.erc.projection(modality)
        mean, scale = projection.feature_mean.cpu().numpy(), projection.feature_scale.cpu().numpy()
        drawn = noise.normal(size=(noise.integers(1, 5), len(mean)))
        return (mean + np.where(np.isfinite(scale), scale, 0.0) * drawn).astype(np.float32)
    if modality == "text":
        assert processor.tokenizer is not None
        return " ".join(noise.choice(sorted(processor.tokenizer.get_vocab()), size=noise.integers(1, 20)).tolist())
    if modality == "audio":
        assert processor.feature_extractor is not None
        rate = processor.feature_extractor.sampling_rate
        seconds = noise.uniform(0.3, min(4.0, processor.max_audio_seconds))
        return noise.normal(scale=0.1, size=round(seconds * rate)).astype(np.float32), rate
    return noise.integers(0, 256, (processor.num_frames, 64, 64, 3), dtype=np.uint8)
