"""Corpora of the benchmarks: dialogues of random data in given sizes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import soundfile

from datasets_scripts import FEATURE_COLUMNS, DialogueRows, dialogue_features
from datasets_scripts.demo_corpus.voice import SAMPLE_RATE, VOICES, speak

EMOTIONS = ["anger", "excitement", "frustration", "happiness", "neutral", "sadness"]
WORDS = ["the", "barn", "was", "never", "so", "quiet", "before", "we", "came", "and", "you", "said", "nothing"]


def feature_corpus(lengths: Sequence[int], widths: Mapping[str, int]) -> DialogueRows:
    """Returns dialogues of precomputed features, in the form of a prepared corpus.

    Args:
        lengths: number of utterances of each dialogue.
        widths: width of the features of each modality.
    """
    noise = np.random.default_rng(0)

    def features(_: str) -> dict[str, Any]:
        return {FEATURE_COLUMNS[m]: noise.standard_normal(width, dtype=np.float32) for m, width in widths.items()}

    return _corpus(lengths, features, widths)


def raw_corpus(folder: Path, lengths: Sequence[int], seconds: tuple[float, float]) -> DialogueRows:
    """Returns dialogues of text and speech-like audio, with one wav file per utterance.

    Args:
        folder: folder for the wav files.
        lengths: number of utterances of each dialogue.
        seconds: shortest and longest duration of a wav file.
    """
    noise = np.random.default_rng(0)

    def speech(name: str) -> dict[str, Any]:
        duration, path = noise.uniform(*seconds), folder / f"{name}.wav"
        soundfile.write(path, speak(noise.choice(list(VOICES)), int(noise.integers(9)), duration, noise), SAMPLE_RATE)
        # Three words per second, about the rate of speech.
        return {"text": " ".join(noise.choice(WORDS, max(1, round(3 * duration)))), "audio_path": str(path)}

    return _corpus(lengths, speech)


def _corpus(
    lengths: Sequence[int], columns: Callable[[str], dict[str, Any]], widths: Mapping[str, int] | None = None
) -> DialogueRows:
    """Builds dialogues of two speakers with random labels; `columns` returns the input of an utterance by its name."""
    noise = np.random.default_rng(1)
    rows = []
    for d, length in enumerate(lengths):
        names = [f"{d}-{u}" for u in range(length)]
        given = [{"speaker": ("Ann", "Bo")[u % 2], "label": int(noise.integers(len(EMOTIONS)))} for u in range(length)]
        utterances = [{"utterance_id": name, **one, **columns(name)} for name, one in zip(names, given, strict=True)]
        rows.append({"dialogue_id": str(d), "utterances": utterances})
    return DialogueRows(datasets.Dataset.from_list(rows, features=dialogue_features(EMOTIONS, widths)))
