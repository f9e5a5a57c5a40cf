"""Corpora of the benchmarks: dialogues of random data in given sizes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import soundfile

from datasets_scripts import FEATURE_COLUMNS, DialogueRows, dialogue_features

EMOTIONS = ["anger", "excitement", "frustration", "happiness", "neutral", "sadness"]
RATE = 16_000
_WORDS = ["the", "barn", "was", "never", "so", "quiet", "before", "we", "came", "and", "you", "said", "nothing"]


def dialogue_lengths(dialogues: int, shortest: int, longest: int, total: int) -> list[int]:
    """Returns dialogue lengths in random order, skewed towards short ones, whose sum is `total`."""
    # The mean of x**power over 0 to 1 is 1 / (power + 1).
    power = (longest - shortest) / (total / dialogues - shortest) - 1
    lengths = np.rint(shortest + (longest - shortest) * np.linspace(0, 1, dialogues) ** power).astype(int)
    lengths[dialogues // 2] += total - lengths.sum()
    return np.random.default_rng(0).permutation(lengths).tolist()


def feature_corpus(lengths: Sequence[int], widths: Mapping[str, int]) -> DialogueRows:
    """Returns dialogues of precomputed features with two speakers each, in the form of a prepared corpus.

    Args:
        lengths: number of utterances of each dialogue.
        widths: width of the features of each modality.
    """
    noise = np.random.default_rng(0)
    total = sum(lengths)
    names = [f"{d}-{u}" for d, length in enumerate(lengths) for u in range(length)]
    columns: dict[str, pa.Array] = {
        "utterance_id": pa.array(names),
        "speaker": pa.array(noise.choice(["Ann", "Bo"], total)),
        **{name: pa.nulls(total, pa.string()) for name in ("text", "audio_path", "video_path")},
        **{name: pa.nulls(total, pa.float64()) for name in ("start", "end")},
        "label": pa.array(noise.integers(len(EMOTIONS), size=total)),
    }
    for modality, width in widths.items():
        values = pa.array(noise.standard_normal(total * width, dtype=np.float32))
        columns[FEATURE_COLUMNS[modality]] = pa.FixedSizeListArray.from_arrays(values, width)
    utterances = pa.StructArray.from_arrays(list(columns.values()), list(columns))
    ends = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    table = pa.table(
        {
            "dialogue_id": [f"dialogue {d}" for d in range(len(lengths))],
            "utterances": pa.ListArray.from_arrays(ends, utterances),
        }
    )
    info = datasets.DatasetInfo(features=dialogue_features(EMOTIONS, widths))
    return DialogueRows(datasets.Dataset(datasets.table.InMemoryTable(table), info=info))


def raw_corpus(folder: Path, lengths: Sequence[int], seconds: tuple[float, float]) -> DialogueRows:
    """Returns dialogues of text and speech-like audio, with one wav file per utterance.

    Args:
        folder: folder for the wav files.
        lengths: number of utterances of each dialogue.
        seconds: shortest and longest duration of a wav file.
    """
    noise = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for d, length in enumerate(lengths):
        utterances = []
        for u in range(length):
            duration = noise.uniform(*seconds)
            time = np.arange(int(duration * RATE)) / RATE
            pitch = noise.uniform(90, 250) * (1 + 0.1 * np.sin(2 * np.pi * 3 * time))
            wave = 0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE) + 0.02 * noise.standard_normal(len(time))
            path = folder / f"{d}-{u}.wav"
            soundfile.write(path, wave.astype(np.float32), RATE)
            utterances.append(
                {
                    "utterance_id": path.stem,
                    "speaker": ("Ann", "Bo")[u % 2],
                    # Three words per second, about the rate of speech.
                    "text": " ".join(noise.choice(_WORDS, max(1, round(3 * duration)))),
                    "audio_path": str(path),
                    "video_path": None,
                    "start": None,
                    "end": None,
                    "label": int(noise.integers(len(EMOTIONS))),
                }
            )
        rows.append({"dialogue_id": f"dialogue {d}", "utterances": utterances})
    return DialogueRows(datasets.Dataset.from_list(rows, features=dialogue_features(EMOTIONS)))
