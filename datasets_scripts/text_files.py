"""Text files of a corpus, read as a stream: lines, rows of CSV and TSV, objects of JSONL."""

import contextlib
import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from .builder import CorpusError


class Row(NamedTuple):
    """A row: its file, its number (in a text file the line, from 1) and its cells by column."""

    path: Path
    number: int
    cells: dict[str, Any]

    @property
    def place(self) -> str:
        """File and row for messages."""
        return f"{self.path}, row {self.number}"


@contextlib.contextmanager
def open_text(path: Path, remedy: str, newline: str | None = None) -> Iterator[TextIO]:
    """Opens a text file in UTF-8, with or without a byte-order mark.

    Args:
        path: the file.
        remedy: what to do about a file in another encoding, for the message.
        newline: as for `open`.

    Raises:
        CorpusError: if the file cannot be opened, or is read and turns out not to be UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline=newline) as file:
            yield file
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is no text in UTF-8 ({error}): {remedy}") from error
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror}): check the file and its permissions") from error


def read_csv(path: Path, columns: Iterable[str], remedy: str, delimiter: str = ",") -> Iterator[Row]:
    """Yields the rows of a CSV in UTF-8 with any line ends; all cells are strings.

    Args:
        path: the file.
        columns: columns that it must have; it may have others.
        remedy: what to do about a broken file, for the message.
        delimiter: character between two cells.

    Raises:
        CorpusError: if the file cannot be read, lacks a column or all rows, or a row is too short or too long.

    Example:
        >>> for row in read_csv(Path("train_sent_emo.csv"), ["Utterance"], "download it again"):
        ...     print(row.place, row.cells["Utterance"])
    """
    row: Row | None = None
    # newline="" leaves the line ends to the csv module.
    with open_text(path, remedy, newline="") as file:
        try:
            reader = csv.DictReader(file, delimiter=delimiter)
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            require_columns(path, columns, reader.fieldnames, remedy)
            repeated = {name for name in reader.fieldnames if name and reader.fieldnames.count(name) > 1}
            if repeated:
                raise CorpusError(f"{path}: two columns are called {', '.join(sorted(repeated))}: rename one of them")
            for cells in reader:
                row = Row(path, reader.line_num, cells)
                short = [name for name, cell in cells.items() if cell is None]
                if short:
                    raise CorpusError(
                        f"{row.place} ends before {', '.join(short)}: is a quotation mark open, or the file cut off?"
                    )
                # DictReader collects the cells beyond the header under None.
                if None in cells:
                    raise CorpusError(f"{row.place} has more cells than the header: put quotation marks round commas")
                yield row
        except csv.Error as error:
            raise CorpusError(f"{path} is no CSV ({error}): {remedy}") from error
    if row is None:
        raise CorpusError(f"{path} has a header and no rows: {remedy}")


def read_jsonl(path: Path, columns: Iterable[str], remedy: str) -> Iterator[Row]:
    """Yields one row for each line, a JSON object.

    A row may lack columns that others have, so that `columns` are checked at the end of the file.

    Args:
        path: the file.
        columns: columns that at least one row must have.
        remedy: what to do about a broken file, for the message.

    Raises:
        CorpusError: if the file cannot be read, lacks a column or all rows, or a line is no JSON object.
    """
    found: dict[str, None] = {}
    with open_text(path, remedy) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                cells = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise CorpusError(f"{path}, row {number} is no JSON ({error}): is the file cut off?") from error
            if not isinstance(cells, dict):
                raise CorpusError(f"{path}, row {number} is no JSON object: write one {{...}} a line")
            found |= dict.fromkeys(cells)
            yield Row(path, number, cells)
    if not found:
        raise CorpusError(f"{path} has no rows: {remedy}")
    require_columns(path, columns, found, remedy)


def require_columns(path: Path, needed: Iterable[str], found: Iterable[str], remedy: str) -> None:
    """Raises `CorpusError` if a file lacks a needed column; the message lists the columns that it has."""
    needed, found = list(needed), list(found)
    lacking = [name for name in needed if name not in found]
    if lacking:
        raise CorpusError(
            f"{path}: no column {', '.join(lacking)}; found {', '.join(found) or 'none'}, "
            f"needed {', '.join(needed)}: {remedy}"
        )
