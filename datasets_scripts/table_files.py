"""Tables of users' own data: which files there are, and their rows as a stream in any of the formats."""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .builder import CorpusError, first_few, warn_once
from .split_draw import SPLIT_NAMES, split_name
from .split_files import listing
from .table_cells import class_names_of, plain, with_class_names
from .table_json import json_rows
from .table_rows import text_of
from .table_shapes import MEDIA_FIELDS, REMEDY, shaped_rows
from .text_files import Row, holds_json_lines, load_json, read_csv, read_jsonl, require_columns

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
# In a folder, a file with one of these is seldom a table.
FILE_SUFFIXES = (*SUFFIXES, ".txt", ".tab")
SHARD = re.compile(r"-\d{5}-of-(\d{5})$")
BATCH_ROWS = 1024


def find_tables(root: Path) -> dict[str | None, Path]:
    """Returns the table of each split, or the only table under the key None.

    A table in shards (`train-00000-of-00002.parquet`) is given by its first one, and a folder whose subfolders are the
    classes of the clips in them by itself.

    Args:
        root: a table; or a folder with one table, with tables whose names contain train, dev (valid, ...) and test, or
            with folders of these names that hold a table or the folders of the classes.

    Raises:
        FileNotFoundError: if a folder has no table.
        CorpusError: if a file is no table, two files are of one split, or several tables have other names.
    """
    if root.is_file():
        if root.suffix.lower() not in FILE_SUFFIXES:
            raise CorpusError(
                f"{root} is no table: its name has to end with one of {', '.join(SUFFIXES)}; save a spreadsheet as CSV"
            )
        return {None: root}
    if tables := _tables_in(root):
        return _by_split(root, tables)
    folders = [entry for entry in sorted(root.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
    by_split: dict[str | None, Path] = {}
    for folder in folders:
        # The form of `audiofolder`: for each split a table and its clips, or the clips in folders of the classes.
        inside = _tables_in(folder)
        if split_name(folder.name) and (len(inside) == 1 or (not inside and _has_classes(folder))):
            by_split[split_name(folder.name)] = inside[0] if inside else folder
    if by_split:
        return by_split
    # A copy that `--out` wrote, or a configuration of a dataset of the Hub.
    holders = [folder for folder in folders if _tables_in(folder)]
    holders = [folder for folder in holders if folder.name == "data"] or holders
    if len(holders) == 1:
        return _by_split(holders[0], _tables_in(holders[0]))
    if holders:
        raise CorpusError(f"{root} has tables in {', '.join(map(str, holders[:20]))}: pass one of them as data_dir")
    if _has_classes(root):
        return {None: root}
    raise FileNotFoundError(
        f"no table ({', '.join(SUFFIXES)}; spreadsheets saved as CSV) in {root}, which holds {listing(root)}; "
        "clips without a table need a folder for each class"
    )


def _tables_in(folder: Path) -> list[Path]:
    """Returns the tables of a folder, the first shard of each."""
    files = sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_file())
    tables = {SHARD.sub("", file.stem) + file.suffix: file for file in reversed(files)}
    return [file for file in tables.values() if file.suffix.lower() in SUFFIXES][::-1]


def _by_split(folder: Path, tables: list[Path]) -> dict[str | None, Path]:
    by_split: dict[str | None, Path] = {}
    # test.csv takes precedence over test_speakers.csv.
    exact = [table for table in tables if SHARD.sub("", table.stem).lower() in SPLIT_NAMES]
    for table in exact or (tables if len(tables) > 1 else []):
        split = split_name(table.stem)
        if split in by_split:
            raise CorpusError(f"{table} and {by_split[split].name} are both of split {split}: keep one of them")
        if split:
            by_split[split] = table
    if by_split:
        return by_split
    # Beside a table of another form, JSON is often about the corpus.
    tables = [table for table in tables if table.suffix.lower() != ".json"] or tables
    if len(tables) > 1:
        raise CorpusError(
            f"{folder} holds {', '.join(table.name for table in tables[:20])}: "
            "name them train, dev and test, or pass one of them as data_dir"
        )
    return {None: tables[0]}


def shards_of(path: Path) -> list[Path]:
    """Returns the files of a table in shards, or the only file of another one.

    Raises:
        CorpusError: if a shard is missing.
    """
    match = SHARD.search(path.stem)
    if match is None:
        return [path]
    count, name = int(match[1]), path.stem[: match.start()]
    shards = [path.with_name(f"{name}-{i:05}-of-{count:05}{path.suffix}") for i in range(count)]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise CorpusError(f"{path.parent} lacks {first_few(missing)} of {count} shards: download them too")
    return shards


def _has_classes(folder: Path) -> bool:
    """Returns whether a folder has at least two subfolders with clips whose names may be classes, not `Actor_01`."""
    names = {row.cells["label"] for row in clips_in(folder, "label")}
    stems = {re.sub(r"\W|\d|_", "", name).lower() for name in names}
    return len(names) > 1 and (len(stems) > 1 or stems <= {"", "class", "label", "emotion"})


def clips_in(folder: Path, label: str) -> Iterator[Row]:
    """Yields a row for each clip below a folder: its path, and the subfolder that it is in as its label.

    Args:
        folder: folder of the corpus or of a split.
        label: name of the column of the label.
    """
    number = 0
    for path in sorted(folder.glob("*/**/*")):
        parts = path.relative_to(folder).parts
        if path.suffix.lower() in MEDIA_FIELDS and not any(part.startswith(".") for part in parts) and path.is_file():
            number += 1
            name = "/".join(parts)
            yield Row(folder, number, {"dialogue_id": name, "file_name": name, label: parts[0]})


def read_rows(path: Path, needed: Collection[str], names: Mapping[str, str]) -> Iterator[Row]:
    """Yields a row for each utterance of a table; one row or, for parquet, one batch is in memory.

    Args:
        path: a table as `find_tables` returns it.
        needed: columns that it must have.
        names: the file's column for each field.

    Raises:
        CorpusError: if the content does not match the format of the file name, or a column or all rows are missing.
    """
    for row in shaped_rows(_raw_rows(path, needed, names), path, names, needed):
        yield plain(row, names)


def _raw_rows(path: Path, needed: Collection[str], names: Mapping[str, str]) -> Iterator[Row]:
    """Yields the rows of a table as it is written, numbered over all of its shards."""
    if path.is_dir():
        rows = list(clips_in(path, names["label"]))
        labels = sorted({row.cells[names["label"]] for row in rows})
        warn_once(f"{path} has no table: each clip is a dialogue, with its folder as label: {first_few(labels, 40)}")
        yield from rows
        return
    before = 0
    for shard in shards_of(path):
        number = 0
        for row in _rows_of_file(shard, needed, names):
            number = row.number
            yield Row(shard, before + number, row.cells) if before else row
        before += number


def _rows_of_file(path: Path, needed: Collection[str], names: Mapping[str, str]) -> Iterator[Row]:
    match path.suffix.lower():
        case ".json" | ".jsonl" | ".ndjson":
            lines = holds_json_lines(path)
            return read_jsonl(path, [], REMEDY) if lines else json_rows(load_json(path), path, names)
        case ".parquet":
            return read_parquet(path)
        case _:
            if not path.stat().st_size:
                require_columns(path, needed, [], REMEDY)
            return read_csv(path, [], REMEDY, optional=names.values())


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
    if text is not None and os.sep == "/" and "\\" in text and not (folder / text).exists():
        text = text.replace("\\", "/")  # written on Windows
    return None if text is None else os.path.abspath(folder / text)


def class_labels(root: Path, column: str) -> list[str]:
    """Returns the class names that `datasets` stored in a parquet table for a column, empty if there are none."""
    for path in find_tables(root).values():
        if path.suffix.lower() == ".parquet":
            return class_names_of(pq.read_schema(path)).get(column, [])
    return []
