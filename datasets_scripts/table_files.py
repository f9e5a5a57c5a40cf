"""Tables of one's own: which files there are, their rows as a stream whatever the format, and the cells in them."""

import json
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .builder import CorpusError
from .csv_rows import Row, read_csv, require_columns

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
# What files and cells may call a split.
SPLIT_NAMES = {"train": "train", "dev": "dev", "validation": "dev", "valid": "dev", "val": "dev", "test": "test"}
REMEDY = (
    "write one row an utterance, in UTF-8, with a column dialogue_id, "
    "or map that column with columns={'dialogue_id': '<its name in the file>'}"
)
BATCH_ROWS = 1024


def find_tables(root: Path) -> dict[str | None, Path]:
    """The file of each split, or the only table under the key None.

    Args:
        root: a table, or a folder of either one table or tables called train, dev (validation, valid, val) and test.

    Raises:
        FileNotFoundError: where a folder has no table.
        CorpusError: where a file is no table, two files are of one split, or several tables have other names.
    """
    if root.is_file():
        if root.suffix.lower() not in SUFFIXES:
            raise CorpusError(f"{root} is no table: its name has to end with one of {', '.join(SUFFIXES)}")
        return {None: root}
    held = sorted(entry for entry in root.iterdir() if not entry.name.startswith(".") and entry.is_file())
    tables = [entry for entry in held if entry.suffix.lower() in SUFFIXES]
    found: dict[str | None, Path] = {}
    for table in tables:
        split = SPLIT_NAMES.get(table.stem.lower())
        if split in found:
            raise CorpusError(f"{table} and {found[split].name} are both of split {split}: keep one of them")
        if split:
            found[split] = table
    if found:
        return found
    if not tables:
        names = ", ".join(entry.name for entry in held[:20]) or "no files"
        raise FileNotFoundError(f"no table ({', '.join(SUFFIXES)}) in {root}, which holds {names}")
    if len(tables) > 1:
        names = ", ".join(table.name for table in tables[:20])
        raise CorpusError(f"{root} holds {names}: name them train, dev and test, or pass one of them as data_dir")
    return {None: tables[0]}


def read_rows(path: Path, needed: Collection[str], wanted: Collection[str]) -> Iterator[Row]:
    """Rows of a table, one at a time or, for parquet, a batch at a time.

    Args:
        path: a file that ends with one of `SUFFIXES`.
        needed: columns that it must have.
        wanted: columns worth reading; only parquet leaves the others on disk.

    Raises:
        CorpusError: where the file is not of the format that its name says, or lacks a column or all rows.
    """
    match path.suffix.lower():
        case ".jsonl":
            return read_jsonl(path, needed)
        case ".parquet":
            return read_parquet(path, needed, wanted)
        case suffix:
            return read_csv(path, needed, REMEDY, delimiter="\t" if suffix == ".tsv" else ",")


def read_jsonl(path: Path, needed: Collection[str]) -> Iterator[Row]:
    """One JSON object a line; a row may lack columns that others have, so the needed ones are checked at the end."""
    seen: dict[str, None] = {}
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    cells = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise CorpusError(f"{path}, row {number} is no JSON ({error}): is the file cut off?") from error
                if not isinstance(cells, dict):
                    raise CorpusError(f"{path}, row {number} is no JSON object: write one {{...}} a line")
                seen |= dict.fromkeys(cells)
                yield Row(path, number, cells)
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is no text in UTF-8 ({error}): save it as UTF-8") from error
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror}): check the file and its permissions") from error
    if not seen:
        raise CorpusError(f"{path} has no rows: {REMEDY}")
    require_columns(path, needed, seen, REMEDY)


def read_parquet(path: Path, needed: Collection[str], wanted: Collection[str]) -> Iterator[Row]:
    """Rows of the wanted columns, numbered from 1."""
    count = 0
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            require_columns(path, needed, names, REMEDY)
            columns = [name for name in names if name in wanted]
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                for number, cells in enumerate(batch.to_pylist(), start=count + 1):
                    yield Row(path, number, cells)
                count += len(batch)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} cannot be read as parquet ({error}): write it again") from error
    if not count:
        raise CorpusError(f"{path} has no rows: {REMEDY}")


def text_of(row: Row, column: str) -> str | None:
    """A cell as text, numbers as they are written; None where it is absent, empty or NaN.

    Raises:
        CorpusError: where it is neither text nor a number.
    """
    value = row.cells.get(column)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, str | int | float):
        raise CorpusError(f"{row.place}: {column} is {str(value)[:80]!r}, neither text nor a number: write it as text")
    # JSON may hold half of an emoji, which cannot be written as UTF-8.
    return str(value).encode("utf-8", "replace").decode().strip() or None


def number_of(row: Row, column: str) -> float | None:
    """A cell as a finite number; None where it is absent, empty or NaN.

    Raises:
        CorpusError: where it is anything else.
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


def column_names(fields: Iterable[str], columns: Mapping[str, str] | None) -> dict[str, str]:
    """The name in the file of each field, its own where `columns` does not map it.

    Raises:
        ValueError: where `columns` maps what is no field, or to what is no name.
    """
    fields = list(fields)
    unknown = sorted(set(columns or {}) - set(fields))
    if unknown:
        raise ValueError(f"columns maps {', '.join(unknown)}: its keys are among {', '.join(fields)}")
    nameless = [field for field, name in (columns or {}).items() if not isinstance(name, str)]
    if nameless:
        raise ValueError(f"columns maps {', '.join(nameless)} to no text: write the names of the file's columns")
    return {field: field for field in fields} | dict(columns or {})


def media_path(row: Row, column: str, folder: Path) -> str | None:
    """Absolute path of the file that a cell names, relative ones below `folder`; it need not be there."""
    text = text_of(row, column)
    return None if text is None else os.path.abspath(folder / text)
