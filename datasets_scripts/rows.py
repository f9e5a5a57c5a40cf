"""Rows of a prepared corpus for training: feature vectors as NumPy arrays, all other values as Python objects."""

from collections.abc import Iterable, Iterator
from typing import Any

import datasets
import pyarrow as pa


class DialogueRows:
    """The rows of a split, each a dictionary of the schema.

    `datasets` converts every value of a feature vector to a Python number, which takes longer than a training step.
    Here the vectors are read-only float32 views `(width,)` of the memory-mapped file.

    Args:
        split: split of a corpus that a builder of this package prepared.

    Attributes:
        features: the `datasets.Features`.
        split_note: a sentence about how missing splits were drawn, empty if none was.
        words: texts that replace those of the file, by index of the row and of the utterance.

    Example:
        >>> rows = DialogueRows(load_erc_dataset("mosi_features", "MOSI")["train"])  # doctest: +SKIP
        >>> rows[0]["utterances"][0]["text_features"].shape  # doctest: +SKIP
        (100,)
    """

    def __init__(self, split: datasets.Dataset) -> None:
        self.features = split.features
        self.split_note: str = split.info.description
        self.words: dict[int, dict[int, str]] = {}
        self._tables = split.with_format("arrow")

    def __len__(self) -> int:
        return len(self._tables)

    def __getitem__(self, index: int) -> dict[str, Any]:
        table = self._tables[index]
        utterances = table.column("utterances").combine_chunks().flatten()
        names = [field.name for field in utterances.type]
        columns = [_values(utterances.field(name)) for name in names]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        for place, text in self.words.get(index % len(self), {}).items():
            rows[place]["text"] = text
        return {"dialogue_id": table.column("dialogue_id")[0].as_py(), "utterances": rows}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))


def _values(column: pa.Array) -> Iterable[Any]:
    """Returns one value for each utterance: arrays for vectors, None for nulls."""
    if not pa.types.is_fixed_size_list(column.type):
        values: list[Any] = column.to_pylist()
        return values
    vectors = iter(column.flatten().to_numpy().reshape(-1, column.type.list_size))
    return [next(vectors) if valid else None for valid in column.is_valid().to_pylist()]
