"""Corpora of the benchmarks: dialogues of noise, of the sizes that a benchmark asks for."""

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
    """Lengths from the shortest to the longest that add up, more short ones than long ones, in mixed order."""
    spread = np.linspace(0.0, 1.0, dialogues)
    curves = {p: np.rint(shortest + (longest - shortest) * spread**p).astype(int) for p in np.linspace(0.2, 5, 481)}
    lengths = min(curves.values(), key=lambda lengths: abs(int(lengths.sum()) - total))
    lengths[dialogues // 2] += total - lengths.sum()
    return [int(length) for length in np.random.default_rng(0).permutation(lengths)]


def feature_corpus(lengths: Sequence[int], widths: Mapping[str, int]) -> DialogueRows:
    """Dialogues of precomputed features, two speakers each, as a prepared corpus would hold them.

    Args:
        lengths: utterances of each dialogue.
        widths: of each modality's features.
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
    """Dialogues of text and speech-like sound, a wav an utterance.

    Args:
        folder: where the wavs are written.
        lengths: utterances of each dialogue.
        seconds: of the shortest and the longest wav.
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
                    # Three words a second, as people speak.
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
