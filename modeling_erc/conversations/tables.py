"""Reads conversations from tables, with one utterance per row."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from .fields import CONTENT, build_utterances, read_fields
from .text_file import TextFile

QUOTED_FIELD = re.compile(r'(?:^|\t)"[^\t"]*"(?:\t|$)', re.MULTILINE)


def read_csv(file: TextFile) -> list[dict[str, Any]]:
    """Reads the rows of a table with a header; the delimiter is a comma, a semicolon or a tab."""
    header = file.text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    # Whisper writes tables with tabs without quoting, so a quotation mark can be part of the words.
    plain = delimiter == "\t" and not QUOTED_FIELD.search(file.text)
    reader = csv.DictReader(
        io.StringIO(file.text), delimiter=delimiter, quoting=csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL
    )
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    known = read_fields(dict.fromkeys(names, "x"))
    if not any(known.get(name) for name in CONTENT):
        raise file.error(1, f"columns {', '.join(names) or '(none)'}: expected at least one of {', '.join(CONTENT)}")
    reader.fieldnames = names
    rows = []
    for row in _rows(file, reader):
        if None in row or None in row.values():
            raise file.error(
                reader.line_num, f"{len(names)} columns expected: put quotation marks around text with commas"
            )
        if any(row.values()):
            rows.append(
                (reader.line_num, "", read_fields({name: value.strip() or None for name, value in row.items()}))
            )
    return build_utterances(file, rows)


def _rows(file: TextFile, reader: "csv.DictReader[str]") -> Iterator[dict[str, Any]]:
    """Yields the rows; errors of the csv module, such as for a huge field, get file and line as well."""
    try:
        yield from reader
    except csv.Error as error:
        raise file.error(
            reader.line_num, f"not CSV ({error}): look for a quotation mark that is never closed"
        ) from error
