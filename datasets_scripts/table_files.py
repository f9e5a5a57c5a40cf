"""Tables of users' own data: which files there are, and their rows as a stream in any of the formats."""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .builder import CorpusError
from .split_draw import SPLIT_NAMES, split_name
from .split_files import listing
from .table_cells import class_names_of, plain, with_class_names
from .table_rows import text_of
from .table_shapes import REMEDY, json_rows, shaped_rows
from .text_files import Row, load_json, read_csv, read_jsonl, require_columns

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
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
    tables = _tables_in(root)
    if not tables and (root / "data").is_dir():
        # A copy that `--out` wrote, or a dataset of the Hub.
        root = root / "data"
        tables = _tables_in(root)
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
        for folder in sorted(entry for entry in root.iterdir() if entry.is_dir() and split_name(entry.name)):
            # The form of `audiofolder`: a table and its clips for each split.
            if len(inside := _tables_in(folder)) == 1:
                by_split[split_name(folder.name)] = inside[0]
        if by_split:
            return by_split
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


def _tables_in(folder: Path) -> list[Path]:
    files = sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_file())
    return [file for file in files if file.suffix.lower() in SUFFIXES]


def read_rows(path: Path, needed: Collection[str], names: Mapping[str, str]) -> Iterator[Row]:
    """Yields a row for each utterance of a table; one row or, for parquet, one batch is in memory.

    Args:
        path: a file that ends with one of `SUFFIXES`.
        needed: columns that it must have.
        names: the file's column for each field.

    Raises:
        CorpusError: if the content does not match the format of the file name, or a column or all rows are missing.
    """
    match path.suffix.lower():
        case ".jsonl":
            rows = read_jsonl(path, [], REMEDY)
        case ".json":
            rows = json_rows(load_json(path), path, names)
        case ".parquet":
            rows = read_parquet(path)
        case _:
            if not path.stat().st_size:
                require_columns(path, needed, [], REMEDY)
            rows = read_csv(path, [], REMEDY, optional=names.values())
    for row in shaped_rows(rows, path, names, needed):
        yield plain(row, names)


def read_parquet(path: Path) -> Iterator[Row]:
    """Yields the rows of a parquet file, numbered from 1; `datasets` stores class names beside the indices."""
    count = 0
    try:
        with pq.ParquetFile(path) as file:
            classes = class_names_of(file.schema_arrow)
            # A nested row may hold a dialogue or a recording.
            nested = any(pa.types.is_nested(column) for column in file.schema_arrow.types)
            for batch in file.iter_batches(batch_size=64 if nested else BATCH_ROWS):
                for number, cells in enumerate(batch.to_pylist(), start=count + 1):
                    yield Row(path, number, with_class_names(cells, classes))
                count += len(batch)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} cannot be read as parquet ({error}): write it again") from error
    if not count:
        raise CorpusError(f"{path} has no rows: {REMEDY}")


def media_path(row: Row, column: str, folder: Path) -> str | None:
    """Returns the absolute path in a cell, relative paths below `folder`; the file need not exist."""
    text = text_of(row, column)
    return None if text is None else os.path.abspath(folder / text)


def class_labels(root: Path, column: str) -> list[str]:
    """Returns the class names that `datasets` stored in a parquet table for a column, empty if there are none."""
    for path in find_tables(root).values():
        if path.suffix.lower() == ".parquet":
            return class_names_of(pq.read_schema(path)).get(column, [])
    return []
