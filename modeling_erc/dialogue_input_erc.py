"""What people hand to the pipeline: dialogues and utterances, checked before anything is computed."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .processing_erc import FEATURE_NAMES

# What an utterance calls the raw input of a modality.
RAW_NAMES = {"text": ("text",), "audio": ("audio", "audio_path"), "vision": ("video", "video_path")}
MEDIA = ("audio", "vision")
URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

Utterance = Mapping[str, Any]


def only(modalities: Sequence[str], utterance: Utterance) -> dict[str, Any]:
    """An utterance without what belongs to other modalities."""
    off = {name for m in RAW_NAMES if m not in modalities for name in (*RAW_NAMES[m], FEATURE_NAMES[m])}
    return {name: value for name, value in utterance.items() if name not in off}


def is_dialogue(inputs: Any) -> bool:
    """Whether a list is of utterances, not of dialogues."""
    if isinstance(inputs, str | bytes) or not isinstance(inputs, Iterable):
        raise ValueError(f"expected a dialogue, a list of utterances, or several; got {type(inputs).__name__}")
    first = inputs[0] if isinstance(inputs, Sequence) and inputs else None
    return isinstance(first, Mapping) and "utterances" not in first


def utterances_of(dialogue: Any, number: int) -> list[Utterance]:
    """The utterances of a dialogue, or of a row; `number` is what an error calls it."""
    utterances = dialogue.get("utterances") if isinstance(dialogue, Mapping) else dialogue
    if not isinstance(utterances, Sequence) or isinstance(utterances, str | bytes):
        raise ValueError(f"dialogue {number} is a {type(dialogue).__name__}: expected a list of utterances (dicts)")
    if not utterances:
        raise ValueError(f"dialogue {number} has no utterances: leave it out")
    return list(utterances)


def check_utterance(utterance: Any, place: str) -> None:
    """Refuses what would be misread: the error names the place, the value and the remedy."""
    if not isinstance(utterance, Mapping):
        raise ValueError(f"{place} is a {type(utterance).__name__}: expected a dict such as {{'speaker', 'text'}}")
    if not isinstance(utterance.get("text"), str | None):
        raise ValueError(f"{place}: text is a {type(utterance['text']).__name__}: expected a string")
    for modality in MEDIA:
        for name in RAW_NAMES[modality]:
            source = utterance.get(name)
            if isinstance(source, str) and URL.match(source):
                raise ValueError(f"{place}: {name} {source!r} is a URL: download it and give its path or its bytes")
            sound = modality == "audio" and isinstance(source, tuple) and len(source) == 2
            frames = modality == "vision" and isinstance(source, np.ndarray)
            if not (sound or frames or isinstance(source, str | os.PathLike | bytes | None)):
                also = "an (array, rate) tuple" if modality == "audio" else "an array of frames"
                raise ValueError(
                    f"{place}: {name} is a {type(source).__name__}: expected a path, the bytes of a file or {also}"
                )
