"""Tables of users' own data: which files there are, and their rows as a stream in any of the formats."""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .builder import CorpusError
from .split_draw import SPLIT_NAMES, split_name
from .split_files import listing
from .table_rows import text_of
from .text_files import Row, read_csv, read_json, read_jsonl, require_columns

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
REMEDY = (
    "write one row an utterance, with a column dialogue_id, "
    "or map that column with columns={'dialogue_id': '<its name in the file>'}"
)
BATCH_ROWS = 1024


def find_tables(root: Path) -> dict[str | None, Path]:
    """Returns the file of each split, or the only table under the key None.

    Args:
        root: a table, or a folder with either one table or tables whose names contain train, dev (valid, ...) and test.

    Raises:
        FileNotFoundError: if a folder has no table.
        CorpusError: if a file is no table, two files are of one split, or several tables have other names.
    """
    if root.is_file():
        if root.suffix.lower() not in SUFFIXES:
            raise CorpusError(
                f"{root} is no table: its name has to end with one of {', '.join(SUFFIXES)}; save a spreadsheet as CSV"
            )
        return {None: root}
    files = sorted(entry for entry in root.iterdir() if not entry.name.startswith(".") and entry.is_file())
    tables = [file for file in files if file.suffix.lower() in SUFFIXES]
    by_split: dict[str | None, Path] = {}
    # test.csv takes precedence over test_speakers.csv.
    exact = [table for table in tables if table.stem.lower() in SPLIT_NAMES]
    for table in exact or (tables if len(tables) > 1 else []):
        split = split_name(table.stem)
        if split in by_split:
            raise CorpusError(f"{table} and {by_split[split].name} are both of split {split}: keep one of them")
        if split:
            by_split[split] = table
    if by_split:
        return by_split
    if not tables:
        raise FileNotFoundError(
            f"no table ({', '.join(SUFFIXES)}; spreadsheets saved as CSV) in {root}, which holds {listing(root)}"
        )
    # Beside a table of another form, JSON is often about the corpus.
    tables = [table for table in tables if table.suffix.lower() != ".json"] or tables
    if len(tables) > 1:
        raise CorpusError(
            f"{root} holds {', '.join(table.name for table in tables[:20])}: "
            "name them train, dev and test, or pass one of them as data_dir"
        )
    return {None: tables[0]}


def read_rows(path: Path, needed: Collection[str], wanted: Collection[str]) -> Iterator[Row]:
    """Returns an iterator over the rows of a table that holds one row or, for parquet, one batch in memory.

    Args:
        path: a file that ends with one of `SUFFIXES`.
        needed: columns that it must have.
        wanted: columns that are used; from parquet only these are read.

    Raises:
        CorpusError: if the content does not match the format of the file name, or a column or all rows are missing.
    """
    match path.suffix.lower():
        case ".jsonl":
            return read_jsonl(path, needed, REMEDY)
        case ".json":
            return read_json(path, needed, REMEDY)
        case ".parquet":
            return read_parquet(path, needed, wanted)
        case _:
            return read_csv(path, needed, REMEDY, optional=wanted)


def read_parquet(path: Path, needed: Collection[str], wanted: Collection[str]) -> Iterator[Row]:
    """Yields the rows of a parquet file with the wanted columns, numbered from 1."""
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


def media_path(row: Row, column: str, folder: Path) -> str | None:
    """Returns the absolute path in a cell, relative paths below `folder`; the file need not exist."""
    text = text_of(row, column)
    return None if text is None else os.path.abspath(folder / text)
