"""A small CMU-MOSEI of invented numbers, in the form in which the corpus is published as a pickle."""

import pickle
from pathlib import Path

import numpy as np

EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
WIDTHS = {"text": 6, "audio": 4, "vision": 5}


def write_mosei(path: Path, videos: int = 8, segments: int = 4) -> Path:
    """Writes a table for each split: tokens of three modalities, and labels `(segments, 1, 7)`.

    The first label is the sentiment from -3 to 3, the others are the strengths of six emotions from 0 to 3. All follow
    from the features, so that a model can learn them.
    """
    draw = np.random.default_rng(0)
    mix = draw.standard_normal((sum(WIDTHS.values()), 7))
    tables = {}
    for split, count in {"train": videos, "valid": videos // 2, "test": videos // 2}.items():
        total = count * segments
        features = {m: draw.standard_normal((total, 3, width)) for m, width in WIDTHS.items()}
        scores = np.concatenate([tokens.mean(axis=1) for tokens in features.values()], axis=1) @ mix
        emotions = np.where(scores[:, 1:] > 0.5, scores[:, 1:].clip(0, 3), 0.0)
        tables[split] = {
            "id": [f"{split}{number // segments}$_${number % segments}" for number in range(total)],
            "labels": np.concatenate([scores[:, :1].clip(-3, 3), emotions], axis=1)[:, None].astype(np.float32),
            "raw_text": [f"Segment {number}." for number in range(total)],
            **{m: tokens.astype(np.float32) for m, tokens in features.items()},
        }
    path.write_bytes(pickle.dumps(tables))
    return path
