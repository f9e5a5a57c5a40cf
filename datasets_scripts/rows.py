"""Rows of a prepared corpus as training reads them: precomputed features as NumPy arrays, all else as Python values."""

from collections.abc import Iterable, Iterator
from typing import Any

import datasets
import pyarrow as pa


class DialogueRows:
    """A split, row by row, each as a dictionary of the schema.

    `datasets` makes a Python number of every value of a feature vector, which takes longer than a training step does.
    Here the vectors are views of the mapped file: float32 `(width,)`, read only.

    Args:
        split: prepared by a builder of this package.

    Example:
        >>> rows = DialogueRows(load_erc_dataset("mosi_features", "MOSI")["train"])  # doctest: +SKIP
        >>> rows[0]["utterances"][0]["text_features"].shape  # doctest: +SKIP
        (100,)
    """

    def __init__(self, split: datasets.Dataset) -> None:
        self.features = split.features
        self._tables = split.with_format("arrow")

    def __len__(self) -> int:
        return len(self._tables)

    def __getitem__(self, index: int) -> dict[str, Any]:
        table = self._tables[index]
        utterances = table.column("utterances").combine_chunks().flatten()
        columns = [_values(utterances.field(field.name)) for field in utterances.type]
        names = [field.name for field in utterances.type]
        return {
            "dialogue_id": table.column("dialogue_id")[0].as_py(),
            "utterances": [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)],
        }

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))


def _values(column: pa.Array) -> Iterable[Any]:
    """One value for each utterance: arrays for vectors, `None` for nulls."""
    if not pa.types.is_fixed_size_list(column.type):
        values: list[Any] = column.to_pylist()
        return values
    vectors = column.flatten().to_numpy().reshape(-1, column.type.list_size)
    found = iter(vectors)
    return [next(found) if here else None for here in column.is_valid().to_pylist()]
