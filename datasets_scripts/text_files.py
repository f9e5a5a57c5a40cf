"""Text files in the usual encodings and forms: lines, tables with any delimiter, JSON and JSONL."""

import codecs
import contextlib
import csv
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, TextIO

from charset_normalizer import from_bytes

from .builder import CorpusError, warn_once

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# First bytes of .xlsx and .xls.
SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
DELIMITERS = ",;\t|"
# Bytes that decide about the encoding.
SAMPLE = 2**18


class Row(NamedTuple):
    """A row: its file, its number (in a text file the line, from 1) and its cells by column."""

    path: Path
    number: int
    cells: dict[str, Any]

    @property
    def place(self) -> str:
        """File and row for messages."""
        return f"{self.path}, row {self.number}"


def guess_encoding(content: bytes) -> str | None:
    """Returns the encoding of text that is not UTF-8, None if it is unknown.

    UTF-16 is recognized by its byte-order mark or its zero bytes; between cp1252 (Western Europe) and gb18030
    (Chinese), charset-normalizer decides.

    Args:
        content: the text, or its beginning.
    """
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return encoding
    zeros = content[0::2].count(0), content[1::2].count(0)
    if max(zeros) > len(content) / 8 and max(zeros) > 4 * min(zeros):
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    if any(zeros):
        return None
    text = content.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    if sum(not character.isascii() for character in text) > 3 * broken:
        return None  # UTF-8 with a few broken characters
    # ASCII lines say nothing about the encoding; the last line may end within a character.
    lines = [line for line in content.splitlines(keepends=True) if not line.isascii()]
    if len(content) >= SAMPLE:
        lines = lines[:-1]
    best = from_bytes(b"".join(lines), cp_isolation=["cp1252", "gb18030"]).best()
    return None if best is None else best.encoding


def encoding_of(path: Path) -> str:
    """Returns the encoding of a text file; a warning reports one that was guessed.

    Raises:
        CorpusError: if the file is no text or its encoding is unknown.
    """
    problem: UnicodeDecodeError | None = None
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    with path.open("rb") as file:
        head = file.read(SAMPLE)
        if head.startswith(SPREADSHEETS):
            raise CorpusError(f"{path} is a spreadsheet of Excel or another archive: save it as CSV in UTF-8")
        try:
            if b"\0" not in head:
                chunk = head
                while chunk:
                    decoder.decode(chunk)
                    chunk = file.read(SAMPLE)
                decoder.decode(b"", final=True)
                return "utf-8-sig"
        except UnicodeDecodeError as error:
            problem = error
    encoding = guess_encoding(head)
    if encoding is None:
        details = f" ({problem})" if problem else ""
        raise CorpusError(f"{path} is no text in UTF-8, UTF-16, cp1252 or gb18030{details}: save it as UTF-8")
    if encoding in ("cp1252", "gb18030"):
        warn_once(f"{path} is read as {encoding}, which is a guess: save it as UTF-8 if characters are wrong")
    return encoding


@contextlib.contextmanager
def open_text(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """Opens a text file in UTF-8, UTF-16, cp1252 or gb18030, with or without a byte-order mark.

    Args:
        path: the file.
        newline: as for `open`.

    Raises:
        CorpusError: if the file cannot be opened, or its encoding is unknown.
    """
    try:
        encoding = encoding_of(path)
        with path.open(encoding=encoding, newline=newline) as file:
            yield file
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is no text in {error.encoding} ({error}): save it as UTF-8") from error
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror}): check the file and its permissions") from error


def split_header(line: str, needed: Iterable[str], optional: Iterable[str] = ()) -> tuple[list[str], str]:
    """Returns the column names of a header and the character between its cells: comma, semicolon, tab or pipe.

    A name that differs from a known one only in case, spaces or underscores is replaced by it.

    Args:
        line: first line of the file.
        needed: columns that the file must have.
        optional: other known columns.

    Example:
        >>> split_header("dialogue id;Text", ["dialogue_id"])
        (['dialogue_id', 'Text'], ';')
    """
    needed = list(needed)
    known = [*needed, *optional]
    by_key = {_column_key(name): name for name in known}
    headers = []
    for delimiter in DELIMITERS:
        names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
        replaced = [name if name in known else by_key.get(_column_key(name), name) for name in names]
        headers.append((replaced if len({*replaced}) == len(replaced) else names, delimiter))
    return max(headers, key=lambda header: (set(needed) <= set(header[0]), len(header[0])))


def _column_key(name: str) -> str:
    return "".join(name.casefold().replace("_", " ").split())


def read_csv(path: Path, columns: Iterable[str], remedy: str, optional: Iterable[str] = ()) -> Iterator[Row]:
    """Yields the rows of a table as text, with any of the usual encodings, delimiters and line ends.

    Args:
        path: the file.
        columns: columns that it must have; it may have others.
        remedy: what to do about a broken file, for the message.
        optional: columns that are used if it has them, in any spelling.

    Raises:
        CorpusError: if the file cannot be read, lacks a column or all rows, or a row is too short or too long.

    Example:
        >>> for row in read_csv(Path("train_sent_emo.csv"), ["Utterance"], "download it again"):
        ...     print(row.place, row.cells["Utterance"])
    """
    row: Row | None = None
    # newline="" leaves the line ends to the csv module.
    with open_text(path, newline="") as file:
        try:
            header, header_line = file.readline(), 1
            # Excel writes a first line `sep=;` for some languages.
            while header and (not header.strip() or header.lower().startswith("sep=")):
                header, header_line = file.readline(), header_line + 1
            names, delimiter = split_header(header, columns, optional)
            require_columns(path, columns, names, remedy)
            repeated = {name for name in names if name and names.count(name) > 1}
            if repeated:
                raise CorpusError(f"{path}: two columns are called {', '.join(sorted(repeated))}: rename one of them")
            literal = delimiter == "\t" and _has_plain_lines(file, len(names))
            quoting: Literal[0, 3] = csv.QUOTE_NONE if literal else csv.QUOTE_MINIMAL
            # Strict: a stray quotation mark would otherwise merge rows without an error.
            reader = csv.DictReader(file, names, delimiter=delimiter, quoting=quoting, strict=True)
            for cells in reader:
                if not any(cells.values()):
                    continue  # Excel writes rows of delimiters alone
                if literal:
                    cells = {name: _without_quotes(cell) for name, cell in cells.items()}
                row = Row(path, reader.line_num + header_line, cells)
                short = [name for name, cell in cells.items() if cell is None]
                if short:
                    raise CorpusError(
                        f"{row.place} ends before {', '.join(short)}: is a quotation mark open, or the file cut off?"
                    )
                # DictReader collects the cells beyond the header under None.
                if None in cells:
                    raise CorpusError(
                        f"{row.place} has more cells than the header: put quotation marks round text with {delimiter!r}"
                    )
                yield row
        except csv.Error as error:
            after = header_line if row is None else row.number
            raise CorpusError(
                f"{path} is no CSV after row {after} ({error}): double each quotation mark that is part of a text"
            ) from error
    if row is None:
        raise CorpusError(f"{path} has a header and no rows: {remedy}")


def _has_plain_lines(file: TextIO, columns: int) -> bool:
    """Returns whether each further line has all cells, so that quotation marks cannot hide delimiters or line ends."""
    start = file.tell()
    plain = all(line.count("\t") == columns - 1 for line in iter(file.readline, "") if line.strip())
    file.seek(start)
    return plain


def _without_quotes(cell: str) -> str:
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return cell[1:-1].replace('""', '"') if quoted else cell


def load_json(path: Path) -> Any:
    """Returns the content of a JSON file.

    Raises:
        CorpusError: if the file cannot be read, or is no JSON.
    """
    with open_text(path) as file:
        try:
            return json.load(file)
        except UnicodeDecodeError:
            raise
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{path} is no JSON ({error}): is the file cut off?") from error


def holds_json_lines(path: Path) -> bool:
    """Returns whether a file has a JSON object a line; the names `.json` and `.jsonl` are both in use for that."""
    with open_text(path) as file:
        first, second = itertools.islice(itertools.chain(filter(str.strip, file), ("", "")), 2)
    if path.suffix.lower() != ".json":
        return not first.lstrip().startswith("[")
    try:
        return bool(second) and isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


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
    with open_text(path) as file:
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
