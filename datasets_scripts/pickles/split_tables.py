"""Reads the dictionaries of MMSA and MulT: one table per split, with many feature vectors (tokens) per segment."""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..builder import CorpusError
from .members import Layout, Member, labels_of, to_id

# Names of the splits in such a dictionary.
SPLIT_NAMES = {"train": "train", "valid": "dev", "dev": "dev", "test": "test"}
# Columns of labels, the preferred ones first.
LABELS = ("regression_labels", "labels", "annotations", "classification_labels")
# Emotions of CMU-MOSEI, whose labels are these or the sentiment and these.
EMOTIONS = 6
SENTIMENTS = ("negative", "neutral", "positive")
# A segment is named "video$_$number", "video_number" or "video[number]".
SEGMENT = re.compile(r"(.+?)(?:\$_\$|_|\[)(\d{1,9})\]?", re.DOTALL)


def is_split_tables(content: Any) -> bool:
    """Returns whether the content of a pickle has this form."""
    names = set(content) & set(SPLIT_NAMES) if isinstance(content, dict) else set()
    return {"train", "test"} <= names and all(isinstance(content[name], dict) and content[name] for name in names)


def layout_of(content: Mapping[str, Any], most_values: int) -> Layout:
    """Returns the members of such a dictionary; a video is a dialogue with one speaker.

    The tokens of a segment are averaged without padding (only zeros) and without tokens that have NaN or infinity. The
    label is the strength of the sentiment (`regression_labels`, `labels`) or, where there is none, its class
    (`annotations`, `classification_labels`). Six columns of labels are the emotions of CMU-MOSEI, seven the sentiment
    and these. A video with segments in several splits becomes one dialogue per split.

    Args:
        content: by split, a table with `id`, labels and any of `raw_text`, `text`, `audio` and `vision`; the last three
            are `(segments, tokens, width)` or `(segments, width)`.
        most_values: limit on the number of values; a pickle with more of them repeats references.

    Raises:
        CorpusError: if a table has no ids or labels, or columns of different lengths.
    """
    segments = [
        segment
        for name, split in SPLIT_NAMES.items()
        if name in content
        for segment in _segments(name, split, content[name], most_values)
    ]
    splits_of: dict[str, set[str]] = {}
    for segment in segments:
        splits_of.setdefault(segment["video"], set()).add(segment["split"])
    shared = [video for video, splits in splits_of.items() if len(splits) > 1]
    dialogues: dict[str, list[dict[str, Any]]] = {}
    split_of: dict[str, str] = {}
    for segment in segments:
        video, split = segment["video"], segment["split"]
        dialogue = f"{video} ({split})" if len(splits_of[video]) > 1 else video
        dialogues.setdefault(dialogue, []).append(segment)
        split_of[dialogue] = split
    for group in dialogues.values():
        group.sort(key=lambda segment: segment["order"])

    def member(column: str, kind: str) -> Member | None:
        if not any(column in segment for segment in segments):
            return None
        return Member(column, kind, {name: [s.get(column) for s in group] for name, group in dialogues.items()})

    speakers, labels, text = member("video", "strings"), member("label", "integers"), member("text", "vectors")
    if speakers is None or labels is None:
        raise CorpusError("its tables have no segments")
    splits = {s: frozenset(d for d, of in split_of.items() if of == s) for s in ("train", "test", "dev")}
    return Layout(
        ids=member("id", "strings"),
        speakers=speakers,
        labels=labels_of(labels),
        texts=[] if text is None else [text],
        audio=member("audio", "vectors"),
        vision=member("vision", "vectors"),
        sentences=member("raw_text", "strings"),
        emotions=member("emotions", "vectors"),
        splits={split: ids for split, ids in splits.items() if ids},
        warnings=[f"{len(shared)} videos have segments in several splits ({', '.join(shared[:3])})"] if shared else [],
    )


def _segments(name: str, split: str, table: Mapping[str, Any], most_values: int) -> list[dict[str, Any]]:
    label = next((column for column in LABELS if column in table), None)
    if "id" not in table or label is None:
        raise CorpusError(
            f"table {name} has no {'id' if label else 'labels'}: its columns are {str(list(table))[:200]}"
        )
    columns: dict[str, Any] = {}
    for column in ("id", label, "text", "audio", "vision", "raw_text"):
        values = table.get(column)
        if values is None or (column == "raw_text" and len(values) == 0):
            continue
        if not isinstance(values, list | tuple) and not (isinstance(values, np.ndarray) and values.ndim):
            raise CorpusError(f"table {name}: {column} is a {type(values).__name__}, not an array or a list")
        if len(values) != len(table["id"]):
            raise CorpusError(f"table {name}: {column} has {len(values)} segments, id has {len(table['id'])}")
        columns[column] = values
    size = sum(int(np.size(row)) for c in columns.keys() & {"text", "audio", "vision"} for row in columns[c])
    if size > most_values:
        raise CorpusError(f"table {name} repeats the same values")
    segments = []
    for index in range(len(columns["id"])):
        segment = {"split": split, **_named(columns["id"][index])}
        segment |= _labels(columns[label][index], f"table {name}, segment {index}")
        for column in columns.keys() & {"text", "audio", "vision"}:
            segment[column] = _mean_token(columns[column][index], f"table {name}, segment {index}: {column}")
        if "raw_text" in columns:
            text = columns["raw_text"][index]
            segment["raw_text"] = text if isinstance(text, str) else None
        segments.append(segment)
    return segments


def _named(value: Any) -> dict[str, Any]:
    """Returns video, id and order of a segment, from its name or from (video, start, end)."""
    parts = value.tolist() if isinstance(value, np.ndarray) else value
    parts = [part.decode("latin1") if isinstance(part, bytes) else part for part in np.atleast_1d(parts).tolist()]
    name = " ".join(to_id(part) if not isinstance(part, float) else f"{part:g}" for part in parts)
    if len(parts) > 1:
        try:
            return {"video": to_id(parts[0]), "id": name, "order": float(parts[1])}
        except (TypeError, ValueError):
            pass
    match = SEGMENT.fullmatch(name)
    return {"video": match[1] if match else name, "id": name, "order": float(match[2]) if match else 0.0}


def _labels(value: Any, place: str) -> dict[str, Any]:
    """Returns the label of a segment and, where there are six or seven labels, the strengths of its emotions."""
    if isinstance(value, np.ndarray | list | tuple):
        size = np.size(value)
        if size in (EMOTIONS, EMOTIONS + 1):
            numbers = np.ravel(np.asarray(value, dtype=np.float64)).tolist()
            emotions = [number if math.isfinite(number) else 0.0 for number in numbers[-EMOTIONS:]]
            return {"label": numbers[0] if size > EMOTIONS else None, "emotions": emotions}
        if size != 1:
            raise CorpusError(f"{place}: {size} labels in place of one, of six emotions, or of a sentiment and these")
        value = np.ravel(np.asarray(value, dtype=object))[0]
    if isinstance(value, str) and value.strip().lower() in SENTIMENTS:
        return {"label": SENTIMENTS.index(value.strip().lower())}
    return {"label": value}


def _mean_token(value: Any, place: str) -> np.ndarray:
    """Returns the mean `(width,)` of the tokens `(tokens, width)`; NaN if there is none."""
    try:
        tokens = np.atleast_2d(np.asarray(value, np.float64))
    except (TypeError, ValueError):
        tokens = np.empty((0, 0, 0))
    if tokens.ndim != 2:
        raise CorpusError(f"{place} is neither a vector nor a matrix (tokens, width) of numbers")
    kept = np.isfinite(tokens).all(axis=1) & (tokens != 0).any(axis=1)
    return tokens[kept].mean(axis=0) if kept.any() else np.full(tokens.shape[1], np.nan)
