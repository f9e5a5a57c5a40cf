"""Users' own data: a table of utterances as CSV, TSV, JSONL or parquet."""

import functools
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import datasets

from .builder import CorpusError, ErcBuilder, TextConfig, first_few, warn_once
from .labels import LabelSet, shared_emotion
from .schema import Dialogue, Utterance
from .table_files import REMEDY, SPLIT_NAMES, find_tables, media_path, read_rows
from .table_labels import LabelReader, class_names, label_notes
from .table_rows import group_rows, index_rows, number_of, text_of
from .text_files import Row

# Column of the schema for each modality of a table.
MODALITIES = {"text": "text", "audio": "audio_path", "video": "video_path"}
FIELDS = ("dialogue_id", "utterance_id", "order", "speaker", *MODALITIES, "start", "end", "label", "split")


@dataclass
class TableConfig(TextConfig):
    """Options of a table.

    Args:
        normalize_text: whether to repair encoding errors and to replace typographic punctuation in texts and speaker
            names; off by default.
        columns: the column of the file for each field with another name, such as `{"text": "Utterance"}`.
        labels: class names in the order of their indices; default is those of the table, sorted. Give them if the order
            has to be that of another corpus or of a trained model, or to name a class that reads like a mark of an
            unlabelled utterance.
        label_map: class name for each label that the table writes in another way, such as `{"0": "joy", "ärger":
            "anger"}`; null for a label that is read as unlabelled.
        media_dir: folder that relative audio and video paths start from; default is that of the table.

    Raises:
        ValueError: if `labels` is no list of texts, `label_map` no mapping to texts, or `columns` has an unknown field
            or maps one to no text.
    """

    normalize_text: bool = False
    columns: dict[str, str] | None = None
    labels: list[str] | None = None
    label_map: dict[str, str | None] | None = None
    media_dir: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        names, columns = self.labels, self.columns or {}
        if names is not None and not (isinstance(names, list | tuple) and names and {*map(type, names)} == {str}):
            # YAML reads [0, 1] as numbers and [no, yes] as booleans.
            raise ValueError(f"labels is {names!r}: give a list of texts, numbers and yes or no in quotation marks")
        if self.label_map is not None:
            if not isinstance(self.label_map, dict) or not all(
                isinstance(v, str | None) for v in self.label_map.values()
            ):
                raise ValueError(f"label_map is {self.label_map!r}: give a class name, as text, for each label")
            # YAML reads the keys of {0: joy} as numbers.
            self.label_map = {str(label): name for label, name in self.label_map.items()}
        unknown = sorted(set(columns) - set(FIELDS))
        if unknown:
            raise ValueError(f"columns maps {', '.join(unknown)}: its keys are among {', '.join(FIELDS)}")
        nameless = [key for key, name in columns.items() if not isinstance(name, str)]
        if nameless:
            raise ValueError(f"columns maps {', '.join(nameless)} to no text: write the names of the file's columns")

    @property
    def names(self) -> dict[str, str]:
        """The file's column for each field."""
        return {name: name for name in FIELDS} | dict(self.columns or {})

    def rows(self, table: Path) -> Iterator[Row]:
        """Returns the rows of a table, which must have the dialogue's column and those that are mapped."""
        names = self.names
        return read_rows(table, [names["dialogue_id"], *(self.columns or {}).values()], names.values())

    def media_folder(self, table: Path) -> Path:
        """Returns the folder that relative paths in a table start from."""
        return table.parent if self.media_dir is None else Path(self.media_dir).expanduser()


@dataclass
class Contents:
    """What has to be known of the tables before the first dialogue is read.

    Args:
        labels: number of utterances of each label, as it is written.
        splits: splits that occur.
        modalities: modalities that at least one utterance has.
        folders: folders of the audio and video paths.
    """

    labels: Counter[str] = field(default_factory=Counter)
    splits: set[str] = field(default_factory=set)
    modalities: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)


class Table(ErcBuilder):
    """A table with a row for each utterance and these columns; only `dialogue_id` and one modality are required.

    | column | content |
    | --- | --- |
    | `dialogue_id` | id of the dialogue; its rows are grouped in the file |
    | `utterance_id` | unique in its dialogue; default is the position, from 0 |
    | `order` | number that sorts the utterances of a dialogue; default is the order in the file |
    | `speaker` | name of the speaker; default is the same unnamed speaker throughout |
    | `text`, `audio`, `video` | words, and paths of media files; empty if an utterance has none |
    | `start`, `end` | seconds inside the media files; empty for the whole file |
    | `label` | name of the class, in any case and spacing; empty, -1, n/a, ... for an utterance that is context only |
    | `split` | train, dev (validation, valid, val) or test; default is the file's name, or train |

    `data_dir` is a table, a folder of one table, or a folder of tables called train, dev and test; these may use the
    same dialogue ids, so dialogue `d1` of the dev file is `dev_d1`. The files are read as a stream.

    Raises:
        FileNotFoundError: if there is no table.
        CorpusError: if a table is broken, lacks a column, or has a row that is wrong.

    Example:
        >>> load_erc_dataset("table", "talks.csv", columns={"text": "words"}, labels=["calm", "glad"])
    """

    BUILDER_CONFIG_CLASS = TableConfig
    MAY_BE_FILE: ClassVar[bool] = True
    LICENSE: ClassVar[str] = "the owner's"
    REDISTRIBUTABLE: ClassVar[bool] = True

    def __init__(self, data_dir: str | Path | None = None, cache_dir: str | Path | None = None, **options: Any) -> None:
        # Before the base class needs the labels and names the cache folder.
        self.contents = scan(self.locate(data_dir, options), TableConfig(**options))
        super().__init__(data_dir, cache_dir, **options)

    @classmethod
    def raw_files(cls, root: Path) -> list[Path]:
        """Returns the tables."""
        return list(find_tables(root).values())

    def files_behind(self) -> list[Path]:
        """Returns the tables and the folders of their media, where files may be added and removed."""
        folders = [Path(folder) for folder in self.contents.folders if os.path.isdir(folder)]
        return [*self.raw_files(self.root), *folders]

    @property
    def media_root(self) -> Path:
        """Folder that relative audio and video paths start from."""
        return Path(os.path.abspath(self.config.media_folder(self.raw_files(self.root)[0])))

    @property
    def GAPS(self) -> dict[str, str]:  # type: ignore[override]
        """Columns of the modalities that occur; one that no utterance has is no gap."""
        return {column: word for word, column in MODALITIES.items() if word in self.contents.modalities}

    @functools.cached_property
    def label_set(self) -> LabelSet:
        """The classes; `shared_emotion` maps them to other corpora."""
        names = self.label_reader.names
        return LabelSet("table", tuple(names), {name: shared_emotion(name) for name in names})

    @functools.cached_property
    def label_reader(self) -> LabelReader:
        """Reader of the label column."""
        return make_label_reader(self.root, self.contents, self.config)

    def dialogues(self, split: str) -> Iterator[Dialogue]:
        """Yields the dialogues of a split in the order of the file."""
        names = self.config.names
        for file_split, path in find_tables(self.root).items():
            if file_split not in (None, split):
                continue
            missing: list[str] = []
            rows = self.config.rows(path)
            for dialogue_id, members in group_rows(rows, lambda row: dialogue_of(row, names["dialogue_id"])):
                if common_split(members, names["split"], file_split) == split:
                    by_id = in_order(members, names)
                    yield Dialogue(
                        dialogue_id=f"{file_split}_{dialogue_id}" if file_split else dialogue_id,
                        utterances=[self._utterance(name, row, missing) for name, row in by_id.items()],
                    )
            if missing:
                warn_once(
                    f"{path}, split {split}: {len(missing)} media files are not there, {first_few(missing)}. "
                    "Their utterances stay without them; is media_dir right?"
                )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        return [
            generator for generator in super()._split_generators(dl_manager) if generator.name in self.contents.splits
        ]

    def _utterance(self, utterance_id: str, row: Row, missing: list[str]) -> Utterance:
        names = self.config.names
        label = text_of(row, names["label"])
        try:
            label = self.label_reader(label)
        except KeyError:
            raise CorpusError(
                f"{row.place}: label {label!r} is none of {', '.join(self.label_set.names)}, which are compared as "
                "text, numbers too: correct the row, or pass labels or label_map"
            ) from None
        media: dict[str, str | None] = {}
        for modality in ("audio", "video"):
            path = media_path(row, names[modality], self.config.media_folder(row.path))
            exists = path is not None and os.path.isfile(path)
            media[modality] = path if exists else None
            if path is not None and not exists:
                missing.append(path)
        return Utterance(
            utterance_id=utterance_id,
            speaker=self.clean(text_of(row, names["speaker"]) or ""),
            text=self.clean(text_of(row, names["text"]) or "") or None,
            audio_path=media["audio"],
            video_path=media["video"],
            start=number_of(row, names["start"]),
            end=number_of(row, names["end"]),
            label=label,
        )


def scan(root: Path, config: TableConfig) -> Contents:
    """Reads all tables once."""
    names = config.names
    contents = Contents()
    tables = find_tables(root)
    for file_split, path in tables.items():
        folder = config.media_folder(path)
        for row in config.rows(path):
            contents.labels[text_of(row, names["label"]) or ""] += 1
            contents.splits.add(split_of(row, names["split"], file_split))
            contents.modalities |= {modality for modality in MODALITIES if text_of(row, names[modality])}
            media = (media_path(row, names[modality], folder) for modality in ("audio", "video"))
            contents.folders |= {os.path.dirname(file) for file in media if file}
    shown = ", ".join(str(path) for path in tables.values())
    if not contents.modalities:
        raise CorpusError(f"{shown}: no row has text, audio or video: map one, columns={{'text': '<its name>'}}")
    return contents


def make_label_reader(root: Path, contents: Contents, config: TableConfig) -> LabelReader:
    """Returns the reader of the label column; warnings report merged spellings and marks of unlabelled utterances.

    Raises:
        CorpusError: if no row has a label and `labels` is not given, or the labels are no classes.
    """
    column = config.names["label"]
    try:
        names = class_names(contents.labels, config.label_map) if config.labels is None else config.labels
    except CorpusError as error:
        raise CorpusError(
            f"{root}: column {column} has {error}, columns={{'label': '<its name>'}}, or pass labels or label_map"
        ) from None
    if not names:
        raise CorpusError(f"{root}: no row has a label: map it, columns={{'label': '<its name>'}}, or pass labels")
    reader = LabelReader(names, config.label_map)
    for note in label_notes(contents.labels, reader):
        warn_once(f"{root}, column {column}: {note}")
    return reader


def dialogue_of(row: Row, column: str) -> str:
    """Returns the dialogue id of a row."""
    dialogue_id = text_of(row, column)
    if dialogue_id is None:
        columns = ", ".join(map(str, row.cells))
        raise CorpusError(f"{row.place} has no {column}, which every row needs; its columns are {columns}: {REMEDY}")
    return dialogue_id


def split_of(row: Row, column: str, file_split: str | None) -> str:
    """Returns the split of a row: that of its cell, or of the file, or train.

    Raises:
        CorpusError: if the cell names no split, or another one than the file.
    """
    name = text_of(row, column)
    if name is None and (file_split or column not in row.cells):
        return file_split or "train"
    split = SPLIT_NAMES.get((name or "").lower())
    if split is None:
        raise CorpusError(f"{row.place}: {column} {name!r} is none of {', '.join(SPLIT_NAMES)}: correct the row")
    if file_split not in (None, split):
        raise CorpusError(f"{row.place}: {column} {name!r} in the file of {file_split}: move the row, or correct it")
    return split


def common_split(rows: list[Row], column: str, file_split: str | None) -> str:
    """Returns the split of all rows of a dialogue.

    Raises:
        CorpusError: if they have more than one.
    """
    first = split_of(rows[0], column, file_split)
    for row in rows:
        split = split_of(row, column, file_split)
        if split != first:
            raise CorpusError(
                f"{row.place}: {column} is {split} here and {first} in row {rows[0].number} of the same dialogue: "
                "a dialogue belongs to one split"
            )
    return first


def in_order(rows: list[Row], names: Mapping[str, str]) -> dict[str, Row]:
    """Returns the rows of a dialogue by utterance id, in the order in which they are spoken.

    Raises:
        CorpusError: if only some rows have an order, or two have the same utterance id.
    """
    order = {row.number: number_of(row, names["order"]) for row in rows}
    if any(number is not None for number in order.values()):
        empty = next((row for row in rows if order[row.number] is None), None)
        if empty:
            raise CorpusError(f"{empty.place} has no {names['order']}, as others of its dialogue have: fill it in")
        rows = sorted(rows, key=lambda row: order[row.number] or 0.0)
    positions = {row.number: str(position) for position, row in enumerate(rows)}
    place = f"dialogue {text_of(rows[0], names['dialogue_id'])!r}, utterance_id"
    return index_rows(rows, lambda row: text_of(row, names["utterance_id"]) or positions[row.number], place)
