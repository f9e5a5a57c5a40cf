"""Cells of users' tables that are more than text: class names of `datasets`, and audio in the table."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import soundfile

from .builder import CorpusError
from .text_files import Row


def class_names_of(schema: pa.Schema) -> dict[str, list[str]]:
    """Returns the class names of each `ClassLabel` column, also of nested ones, that `datasets` stored in a schema."""
    found: dict[str, list[str]] = {}

    def collect(name: str, feature: Any) -> None:
        if isinstance(feature, list):
            feature = {"feature": feature[0]} if feature else {}
        if not isinstance(feature, dict):
            return
        if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
            found[name] = [str(label) for label in feature["names"]]
            return
        for key, value in feature.items():
            collect(name if key == "feature" else key, value)

    stored = (schema.metadata or {}).get(b"huggingface")
    if stored:
        try:
            collect("", json.loads(stored)["info"]["features"])
        except (ValueError, KeyError, TypeError):
            return {}
    return found


def with_class_names(cells: dict[str, Any], classes: Mapping[str, list[str]]) -> dict[str, Any]:
    """Returns the cells of a row with class names in place of the indices of `ClassLabel` columns."""
    return {key: _named(key, value, classes) for key, value in cells.items()} if classes else cells


def _named(key: str, value: Any, classes: Mapping[str, list[str]]) -> Any:
    if isinstance(value, dict):
        return {inner: _named(inner, item, classes) for inner, item in value.items()}
    if isinstance(value, list):
        nested = key in classes or any(isinstance(item, dict) for item in value[:1])
        return [_named(key, item, classes) for item in value] if nested else value
    if key in classes and isinstance(value, int):
        return classes[key][value] if 0 <= value < len(classes[key]) else value
    return value


def plain(row: Row, names: Mapping[str, str]) -> Row:
    """Returns a row whose audio and video are paths: clips inside the table are written into the cache."""
    cells = row.cells
    for field in ("audio", "video"):
        value = cells.get(names[field])
        if isinstance(value, dict):
            cells = {**cells, names[field]: _media_file(value, f"{row.place}: {names[field]}")}
    return Row(row.path, row.number, cells)


def _media_file(value: Mapping[str, Any], place: str) -> str | None:
    content, path, array = value.get("bytes"), value.get("path"), value.get("array")
    name = Path(str(path)).name if path else "clip.wav"
    if array is not None:
        wave, rate = np.asarray(array, dtype=np.float32), value.get("sampling_rate")
        if wave.ndim not in (1, 2) or not wave.size or not rate:
            raise CorpusError(f"{place} has no samples or no sampling_rate: write {{'array', 'sampling_rate'}}")
        wave = wave.T if wave.ndim == 2 and wave.shape[0] < wave.shape[1] else wave
        file = _cached(hashlib.sha256(wave.tobytes() + str(rate).encode()).hexdigest(), f"{Path(name).stem}.wav")
        if not file.is_file():
            part = file.with_suffix(".part")
            soundfile.write(part, wave, int(rate), format="WAV", subtype="FLOAT")
            part.replace(file)
        return str(file)
    if content is not None:
        file = _cached(hashlib.sha256(content).hexdigest(), name)
        if not file.is_file():
            part = file.with_suffix(".part")
            part.write_bytes(content)
            part.replace(file)
        return str(file)
    return None if path is None else str(path)


def _cached(digest: str, name: str) -> Path:
    folder = Path(datasets.config.HF_DATASETS_CACHE) / "erc-media" / digest[:32]
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
