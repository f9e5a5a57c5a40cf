"""Rows of a table: gathered into dialogues, indexed by their ids, and their cells as text, numbers and classes."""

import datetime
import itertools
import math
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from .builder import CorpusError
from .clock_times import to_seconds
from .table_labels import LabelReader
from .text_files import Row

Key = TypeVar("Key", bound=Hashable)


def group_rows(rows: Iterable[Row], key: Callable[[Row], Key]) -> Iterator[tuple[Key, list[Row]]]:
    """Yields the dialogues of a file whose rows are grouped by dialogue; it holds one dialogue at a time.

    Args:
        rows: rows of one file.
        key: function that returns the dialogue's id.

    Raises:
        CorpusError: if a dialogue continues after another one began.
    """
    last_row: dict[Key, int] = {}
    for value, group in itertools.groupby(rows, key):
        members = list(group)
        if value in last_row:
            raise CorpusError(
                f"{members[0].place}: dialogue {value!r} comes back after it ended in row {last_row[value]}; "
                "the rows of a dialogue have to stand together: sort the file by dialogue and, inside it, by time "
                "or by a column order"
            )
        last_row[value] = members[-1].number
        yield value, members


def index_rows(rows: Iterable[Row], key: Callable[[Row], Key], name: str) -> dict[Key, Row]:
    """Returns the rows of a dialogue by their id, in their order.

    Args:
        rows: rows of one dialogue.
        key: function that returns the id of a row.
        name: name of the id in the message, such as "Dialogue_ID 3, Utterance_ID".

    Raises:
        CorpusError: if two rows have the same id.
    """
    indexed: dict[Key, Row] = {}
    for row in rows:
        value = key(row)
        if value in indexed:
            raise CorpusError(
                f"{row.place}: {name} {value} stands in row {indexed[value].number} already: keep one of the two rows"
            )
        indexed[value] = row
    return indexed


def text_of(row: Row, column: str) -> str | None:
    """Returns a cell as text, numbers as they are written; None if it is absent, empty or NaN.

    Raises:
        CorpusError: if it is neither text nor a number.
    """
    value = row.cells.get(column)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, str | int | float | datetime.time | datetime.timedelta):
        raise CorpusError(f"{row.place}: {column} is {str(value)[:80]!r}, neither text nor a number: write it as text")
    # JSON may hold half of an emoji, which cannot be written as UTF-8.
    return str(value).encode("utf-8", "replace").decode().strip() or None


def number_of(row: Row, column: str) -> float | None:
    """Returns a cell as a finite number; None if it is absent, empty or NaN.

    Raises:
        CorpusError: if it is anything else.
    """
    text = text_of(row, column)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise CorpusError(f"{row.place}: {column} {text!r} is no number: write it like 12.5, or leave it empty")
    return number


def seconds_of(row: Row, column: str, unit: float) -> float | None:
    """Returns a cell as a time in seconds; None if it is absent, empty or NaN.

    Args:
        row: the row.
        column: its column.
        unit: seconds that a number without a unit counts for.

    Raises:
        CorpusError: if it is no time.
    """
    text = text_of(row, column)
    seconds = None if text is None else to_seconds(text, unit)
    if text is not None and seconds is None:
        raise CorpusError(f"{row.place}: {column} {text!r} is no time: write seconds, like 12.5, or 00:01:02.5")
    return seconds


def whole_number(cell: Any) -> int | None:
    """Returns a cell as an integer, None if it is none; tables that pandas wrote may hold 2.0."""
    match = re.fullmatch(r"\s*([+-]?\d{1,18})(?:\.0*)?\s*", str(cell))
    return int(match[1]) if match else None


def whole_numbers(row: Row, columns: Sequence[str]) -> tuple[int, ...]:
    """Returns the cells of `columns` as integers.

    Raises:
        CorpusError: if one of them is no whole number.
    """
    numbers = [whole_number(row.cells[name]) for name in columns]
    if None in numbers:
        values = ", ".join(f"{name} {row.cells[name]!r}" for name in columns)
        raise CorpusError(f"{row.place}: {values}: all have to be whole numbers")
    return tuple(number for number in numbers if number is not None)


def class_of(row: Row, column: str, reader: LabelReader, remedy: str = "correct the row") -> str | None:
    """Returns the class in a cell, None for one that marks an unlabelled utterance.

    Args:
        row: the row.
        column: its column.
        reader: reader of the column.
        remedy: what to do about another label, for the message.

    Raises:
        CorpusError: if it is neither.
    """
    label = text_of(row, column)
    try:
        return reader(label)
    except KeyError:
        raise CorpusError(f"{row.place}: {column} {label!r} is none of {', '.join(reader.names)}: {remedy}") from None
