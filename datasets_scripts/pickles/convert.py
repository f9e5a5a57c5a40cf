"""Converts a feature pickle once into safetensors (features) and parquet (utterances)."""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

from ..builder import CorpusError
from .members import Layout, Member, recognize, to_id
from .restricted import load_pickle
from .split_tables import is_split_tables, layout_of

FEATURES, UTTERANCES = "features.safetensors", "utterances.parquet"
# Suffix of the mask of utterances without features of a table.
MISSING = ".missing"
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("dialogue_id", "utterance_id", "speaker", "text", "split")]
    + [("label", pa.int64()), ("strength", pa.float64()), ("emotions", pa.list_(pa.float64()))]
)


def convert(path: str | Path) -> Path:
    """Converts a feature pickle, unless this was done before, and returns the folder of the result.

    The folder is `erc-pickles/<name>-<hash of the contents>` in the Hugging Face cache; a pickle with the same contents
    is not opened again. Its files have one row for each of N utterances, in the order of the pickle:

    - `features.safetensors`: for each table the features, float32 `(N, width)`, and a mask of utterances without
      features, bool `(N,)`, such as `audio` and `audio.missing`. Tables are `text_0` to `text_3`, `audio` and
      `vision`. The metadata entry `warnings` is a JSON list of strings.
    - `utterances.parquet`: `dialogue_id`, `utterance_id`, `speaker`, `text`, `split` (train, dev or test), and
      `label` (the class number) or `strength` (of a sentiment); both are null for an utterance without a label.
      `emotions` are the strengths of CMU-MOSEI's six emotions, null where the pickle has none.

    Raises:
        FileNotFoundError: if there is no such file.
        CorpusError: if the pickle is refused (see `load_pickle`), or if its members are not recognized (see
            `recognize`) or inconsistent; the message names dialogue and utterance.
    """
    path = Path(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    # A changed reader converts again.
    for module in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(module.read_bytes())
    folder = Path(datasets.config.HF_CACHE_HOME) / "erc-pickles" / f"{path.stem}-{digest.hexdigest()[:16]}"
    if folder.is_dir():
        return folder

    # Limit: a small pickle can refer to the same row millions of times.
    most_values = 8 * path.stat().st_size + 2**20
    content = load_pickle(path)
    try:
        layout = (layout_of if is_split_tables(content) else recognize)(content, most_values)
        table, features, warnings = _to_tables(layout, most_values)
    except CorpusError as error:
        raise CorpusError(f"{path}: {error}") from None
    folder.parent.mkdir(parents=True, exist_ok=True)
    # A conversion that was killed leaves its folder; one of the last hour may be at work.
    for left in folder.parent.glob(".converting-*"):
        if time.time() - left.stat().st_mtime > 3600:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".converting-") as aside:
        new = Path(aside) / "new"
        new.mkdir()
        save_file(features, new / FEATURES, metadata={"warnings": json.dumps(warnings)})
        pq.write_table(table, new / UTTERANCES)
        # safetensors makes files that only their owner can read.
        (new / FEATURES).chmod((new / UTTERANCES).stat().st_mode)
        try:
            os.rename(new, folder)
        except OSError:
            # Another process may have been faster.
            if not folder.is_dir():
                raise
    return folder


def _to_tables(layout: Layout, most_values: int) -> tuple[pa.Table, dict[str, np.ndarray], list[str]]:
    split_of = {dialogue: split for split, ids in layout.splits.items() for dialogue in ids}
    dialogues = [dialogue for dialogue in layout.labels.rows if dialogue in split_of]
    left_out = [dialogue for dialogue in layout.labels.rows if dialogue not in split_of]
    rows = [row | {"split": split_of[dialogue]} for dialogue in dialogues for row in _utterances(layout, dialogue)]
    counts = [len(layout.labels.rows[dialogue]) for dialogue in dialogues]
    warnings = [*layout.warnings]
    if left_out:
        warnings.append(f"{len(left_out)} dialogues are in no split and are left out ({_some(left_out)})")
    features: dict[str, np.ndarray] = {}
    for name, member in layout.features.items():
        matrix, missing = _to_matrix(name, member, dialogues, counts, most_values)
        features |= {name: matrix, name + MISSING: missing}
        lacking = [f"{rows[index]['dialogue_id']}/{rows[index]['utterance_id']}" for index in np.flatnonzero(missing)]
        if lacking:
            warnings.append(
                f"{len(lacking)} of {len(rows)} utterances have NaN, infinite or no {name} features "
                f"({_some(lacking)}): they stay in their dialogues without them"
            )
    return pa.Table.from_pylist(rows, SCHEMA), features, warnings


def _utterances(layout: Layout, dialogue: str) -> Iterator[dict[str, Any]]:
    labels = layout.labels.rows[dialogue]
    count = len(labels)
    if not count:
        raise CorpusError(f"dialogue {dialogue} has no utterances: remove it from the tables and the ids")
    ids = _rows_of("utterance ids", layout.ids, dialogue, count) if layout.ids else range(count)
    texts: list[Any] = _rows_of("sentences", layout.sentences, dialogue, count) if layout.sentences else [None] * count
    speakers = _rows_of("speakers", layout.speakers, dialogue, count)
    row_of: dict[str, int] = {}
    for row in range(count):
        place = f"dialogue {dialogue}, row {row}"
        utterance_id = _storable(to_id(ids[row]))
        if utterance_id in row_of:
            raise CorpusError(f"{place}: utterance id {utterance_id} is also in row {row_of[utterance_id]}")
        row_of[utterance_id] = row
        yield {
            "dialogue_id": _storable(dialogue),
            "utterance_id": utterance_id,
            "speaker": _to_speaker(speakers[row], place),
            "text": None if texts[row] is None else _storable(texts[row]),
            "strength" if layout.labels.kind == "decimals" else "label": labels[row],
            "emotions": None if layout.emotions is None else layout.emotions.rows[dialogue][row],
        }


def _rows_of(name: str, member: Member, dialogue: str, count: int) -> list[Any]:
    place = f"dialogue {dialogue}: {name} (member {member.position})"
    if dialogue not in member.rows:
        raise CorpusError(f"{place} are missing, but labels are present")
    rows = member.rows[dialogue]
    if len(rows) != count:
        raise CorpusError(f"{place} have {len(rows)} utterances, labels have {count}")
    return rows


def _to_speaker(row: Any, place: str) -> str:
    if isinstance(row, str):
        return _storable(row)
    values = [] if row is None else list(row)
    if sorted(values) != [0] * (len(values) - 1) + [1]:
        raise CorpusError(f"{place}: the speaker is neither a name nor a row with a single 1, but {str(values)[:80]}")
    return str(values.index(1))


def _to_matrix(
    name: str, member: Member, dialogues: list[str], counts: list[int], most_values: int
) -> tuple[np.ndarray, np.ndarray]:
    rows = [
        (dialogue, row, values)
        for dialogue, count in zip(dialogues, counts, strict=True)
        for row, values in enumerate(_rows_of(f"{name} features", member, dialogue, count))
    ]
    width = next((len(values) for _, _, values in rows if values is not None), 0)
    if len(rows) * width > most_values:
        raise CorpusError(f"{name} features (member {member.position}) repeat the same values")
    matrix = np.zeros((len(rows), width), np.float32)
    for index, (dialogue, row, values) in enumerate(rows):
        if values is None:
            matrix[index] = np.nan
            continue
        if len(values) != width:
            raise CorpusError(
                f"dialogue {dialogue}, row {row}: {name} features (member {member.position}) have {len(values)} values "
                f"where those before have {width}: all rows of a table need the same width"
            )
        # Numbers outside the range of float32 become infinite.
        with np.errstate(over="ignore"):
            matrix[index] = np.asarray(values, np.float64)
    missing = np.asarray(~np.isfinite(matrix).all(axis=1))
    matrix[missing] = 0
    return matrix, missing


def _storable(text: str) -> str:
    # A lone surrogate cannot be written as UTF-8.
    return text.encode("utf-8", "replace").decode()


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + ", ..." * (len(names) > 3)
