"""Reads conversations from tables and JSON, with one utterance per row or object."""

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .text_file import TextFile

TEXTS = ("speaker", "text")
TIMES = ("start", "end")
MEDIA = {"audio": ("audio", "audio_path"), "video": ("video", "video_path")}
CONTENT = ("text", "audio", "video", "audio_path", "video_path")
TOO_DEEP = "too many nested brackets: write a flat list of utterances"
# Python parses no integer of more than 4,300 digits.
TOO_LONG = re.compile(r"(?<!\d)\d{4301,}")
ENDLESS = "a number with thousands of digits: write seconds, like 62.5"


def read_csv(file: TextFile) -> list[dict[str, Any]]:
    """Reads the rows of a CSV file with a header; the delimiter is a comma, a semicolon or a tab."""
    header = file.text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(io.StringIO(file.text), delimiter=delimiter)
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    if not set(names) & set(CONTENT):
        raise file.error(1, f"columns {', '.join(names) or '(none)'}: expected at least one of {', '.join(CONTENT)}")
    reader.fieldnames = names
    utterances = []
    for row in _rows(file, reader):
        if None in row or None in row.values():
            raise file.error(
                reader.line_num, f"{len(names)} columns expected: put quotation marks around text with commas"
            )
        if any(row.values()):
            utterances.append(
                _utterance(file, reader.line_num, {name: value.strip() or None for name, value in row.items()})
            )
    return utterances


def _rows(file: TextFile, reader: "csv.DictReader[str]") -> Iterator[dict[str, Any]]:
    """Yields the rows; errors of the csv module, such as for a huge field, get file and line as well."""
    try:
        yield from reader
    except csv.Error as error:
        raise file.error(
            reader.line_num, f"not CSV ({error}): look for a quotation mark that is never closed"
        ) from error


def read_jsonl(file: TextFile) -> list[dict[str, Any]]:
    """Reads one JSON object per line."""
    utterances = []
    for number, line in enumerate(file.lines, start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise file.error(number, f"not JSON ({error.msg}): write one object per line") from error
            except RecursionError as error:
                raise file.error(number, TOO_DEEP) from error
            except ValueError as error:
                raise file.error(number, ENDLESS) from error
            utterances.append(_utterance(file, number, row))
    return utterances


def read_json(file: TextFile) -> list[dict[str, Any]]:
    """Reads a list of objects, or an object whose `utterances` are that list."""
    try:
        content = json.loads(file.text)
    except json.JSONDecodeError as error:
        raise file.error(
            error.lineno, f"not JSON ({error.msg}, column {error.colno}): check commas and quotes"
        ) from error
    except RecursionError as error:
        raise file.error(1, TOO_DEEP) from error
    except ValueError as error:
        number = TOO_LONG.search(file.text)
        raise file.error(1 + file.text.count("\n", 0, number.start() if number else 0), ENDLESS) from error
    rows = content.get("utterances") if isinstance(content, Mapping) else content
    if not isinstance(rows, list):
        raise file.error(1, 'expected a list of utterances, or an object with "utterances"')
    return [_utterance(file, None, row, f"utterance {index}: ") for index, row in enumerate(rows)]


def _utterance(file: TextFile, line: int | None, row: Any, place: str = "") -> dict[str, Any]:
    """Checks the entries of a row that the pipeline reads; other entries are left out."""
    line = 1 if line is None else line
    if not isinstance(row, Mapping):
        raise file.error(line, f'{place}{str(row)[:40]!r} is not an object: write {{"speaker": "Ann", "text": "Hi."}}')
    utterance: dict[str, Any] = {}
    for name in TEXTS:
        value = row.get(name)
        if not isinstance(value, str | None):
            raise file.error(line, f"{place}{name} is {str(value)[:40]!r}: write it as text")
        utterance[name] = value
    for name in TIMES:
        if row.get(name) is not None:
            utterance[name] = _seconds(file, line, name, row[name], place)
    if utterance.get("end") is not None and utterance["end"] < utterance.get("start", 0.0):
        raise file.error(
            line, f"{place}end {utterance['end']:g} is before start {utterance.get('start', 0.0):g}: correct them"
        )
    for medium, names in MEDIA.items():
        value = next((row[name] for name in names if row.get(name) is not None), None)
        if not isinstance(value, str | None):
            raise file.error(line, f"{place}{medium} is {str(value)[:40]!r}: write the path of a file")
        if value is not None and "://" in value:
            raise file.error(line, f"{place}{medium} {value!r} is a URL: download it and write its path")
        if value is not None:
            utterance[medium] = str(file.path.parent / value)
    if not any(utterance.get(name) for name in CONTENT):
        raise file.error(line, f"{place}an utterance without {', '.join(CONTENT[:3])}: give it one, or remove it")
    return utterance


def _seconds(file: TextFile, line: int, name: str, value: Any, place: str) -> float:
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise file.error(line, f"{place}{name} is {str(value)[:40]!r}: write seconds, like 62.5")
    return seconds
