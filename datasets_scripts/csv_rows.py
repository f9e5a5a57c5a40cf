"""Rows of a table as a stream: read from CSV, gathered into dialogues, told apart by their ids."""

import csv
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from .builder import CorpusError

Key = TypeVar("Key", bound=Hashable)


class Row(NamedTuple):
    """One row: its file, its number in it (in text files the line, from 1), and its cells by column."""

    path: Path
    number: int
    cells: dict[str, Any]

    @property
    def place(self) -> str:
        """How errors name the row."""
        return f"{self.path}, row {self.number}"


def read_csv(path: Path, columns: Iterable[str], remedy: str, delimiter: str = ",") -> Iterator[Row]:
    """Rows of a CSV in UTF-8, with or without byte-order mark, with any line ends; all cells are strings.

    Args:
        path: the file.
        columns: those it must have; it may have others.
        remedy: what to do about a broken file, for the error.
        delimiter: between two cells.

    Raises:
        CorpusError: where the file cannot be read, lacks a column or all rows, or a row is too short or too long.

    Example:
        >>> for row in read_csv(Path("train_sent_emo.csv"), ["Utterance"], "download it again"):
        ...     print(row.place, row.cells["Utterance"])
    """
    row: Row | None = None
    try:
        # utf-8-sig drops the mark that spreadsheet programs put first; newline="" leaves CRLF to the csv module.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter)
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            require_columns(path, columns, reader.fieldnames, remedy)
            twice = {name for name in reader.fieldnames if name and reader.fieldnames.count(name) > 1}
            if twice:
                raise CorpusError(f"{path}: two columns are called {', '.join(sorted(twice))}: rename one of them")
            for cells in reader:
                row = Row(path, reader.line_num, cells)
                short = [name for name, cell in cells.items() if cell is None]
                if short:
                    raise CorpusError(
                        f"{row.place} ends before {', '.join(short)}: is a quotation mark open, or the file cut off?"
                    )
                # DictReader gathers what goes beyond the header under None.
                if None in cells:
                    raise CorpusError(f"{row.place} has more cells than the header: put quotation marks round commas")
                yield row
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} is no CSV in UTF-8 ({error}): {remedy}") from error
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror}): check the file and its permissions") from error
    if row is None:
        raise CorpusError(f"{path} has a header and no rows: {remedy}")


def require_columns(path: Path, needed: Iterable[str], found: Iterable[str], remedy: str) -> None:
    """Refuse a file that lacks a needed column, naming those that it has."""
    needed, found = list(needed), list(found)
    lacking = [name for name in needed if name not in found]
    if lacking:
        raise CorpusError(
            f"{path}: no column {', '.join(lacking)}; found {', '.join(found) or 'none'}, "
            f"needed {', '.join(needed)}: {remedy}"
        )


def group_rows(rows: Iterable[Row], key: Callable[[Row], Key]) -> Iterator[tuple[Key, list[Row]]]:
    """Dialogues of a file in which the rows of a dialogue stand together; it holds the rows of one dialogue at a time.

    Args:
        rows: of one file.
        key: what tells the dialogues apart.

    Raises:
        CorpusError: where a dialogue comes back after another one.
    """
    last_row: dict[Key, int] = {}
    for value, group in itertools.groupby(rows, key):
        members = list(group)
        if value in last_row:
            raise CorpusError(
                f"{members[0].place}: dialogue {value!r} comes back after it ended in row {last_row[value]}; "
                "the rows of a dialogue have to stand together: sort the file by dialogue"
            )
        last_row[value] = members[-1].number
        yield value, members


def index_rows(rows: Iterable[Row], key: Callable[[Row], Key], name: str) -> dict[Key, Row]:
    """Rows by their id, in the order in which they come.

    Args:
        rows: of one dialogue.
        key: the id of a row.
        name: what the id is called in the error, such as "Dialogue_ID 3, Utterance_ID".

    Raises:
        CorpusError: where two rows have the same id.
    """
    found: dict[Key, Row] = {}
    for row in rows:
        value = key(row)
        if value in found:
            raise CorpusError(
                f"{row.place}: {name} {value} stands in row {found[value].number} already: keep one of the two rows"
            )
        found[value] = row
    return found


def whole_numbers(row: Row, columns: Iterable[str]) -> tuple[int, ...]:
    """Cells of `columns` as integers.

    Raises:
        CorpusError: where one of them is none.
    """
    columns = list(columns)
    try:
        return tuple(int(row.cells[name]) for name in columns)
    except ValueError:
        found = ", ".join(f"{name} {row.cells[name]!r}" for name in columns)
        raise CorpusError(f"{row.place}: {found}: all have to be whole numbers") from None
