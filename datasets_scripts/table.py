"""Your own data: a table of utterances as CSV, TSV, JSONL or parquet."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import datasets

from .builder import CorpusError, ErcBuilder, warn_once
from .csv_rows import Row, group_rows, index_rows
from .labels import SHARED_EMOTIONS, LabelSet
from .schema import Dialogue, Utterance
from .table_files import REMEDY, SPLIT_NAMES, column_names, find_tables, media_path, number_of, read_rows, text_of
from .text_normalization import normalize_text

MODALITIES = ("text", "audio", "video")
FIELDS = ("dialogue_id", "utterance_id", "order", "speaker", *MODALITIES, "start", "end", "label", "split")


@dataclass
class TableConfig(datasets.BuilderConfig):
    """Options of a table.

    Args:
        columns: the file's name of each field that it calls otherwise, such as `{"text": "Utterance"}`.
        labels: class names in the order of their indices; default is those found, sorted. Give them where the order
            has to be that of another corpus or of a trained model.
        media_dir: folder that relative audio and video paths start from; default is that of the table.
        normalize_text: undo encoding accidents and curly punctuation in what is said and who says it.

    Raises:
        ValueError: where `labels` is no list of texts.
    """

    columns: dict[str, str] | None = None
    labels: list[str] | None = None
    media_dir: str | None = None
    normalize_text: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        names = self.labels
        if names is not None and not (isinstance(names, list | tuple) and names and {*map(type, names)} == {str}):
            # What YAML makes of [0, 1] and of [no, yes].
            raise ValueError(f"labels is {names!r}: give a list of texts, numbers and yes or no in quotation marks")


@dataclass(frozen=True)
class Contents:
    """What one pass over the tables finds.

    Args:
        labels: class names, sorted.
        splits: those that occur.
        modalities: those that at least one utterance has.
        folders: folders that audio and video paths point into, if they are there.
    """

    labels: tuple[str, ...]
    splits: frozenset[str]
    modalities: frozenset[str]
    folders: frozenset[Path]


@dataclass
class MissingFiles:
    """How many media files are not there, and the first three."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, path: str) -> None:
        """Count one."""
        self.count += 1
        if self.count <= 3:
            self.first.append(path)


class Table(ErcBuilder):
    """A table with a row an utterance, and these columns; all but `dialogue_id` and one modality may be left out.

    | column | holds |
    | --- | --- |
    | `dialogue_id` | which dialogue; its rows stand together in the file |
    | `utterance_id` | unique in its dialogue; default is the position, from 0 |
    | `order` | a number that sorts the utterances of a dialogue; default is the order in the file |
    | `speaker` | who speaks; default is the same nameless speaker throughout |
    | `text`, `audio`, `video` | what is said, and paths of media files; empty where an utterance has none |
    | `start`, `end` | seconds inside the media files; empty for the whole file |
    | `label` | name of the class, compared as text; empty for an utterance that is context only |
    | `split` | train, dev (validation, valid, val) or test; default is the file's name, or train |

    `data_dir` is a table, a folder of one table, or a folder of tables called train, dev and test; these may use the
    same dialogue ids, so dialogue `d1` of the file of dev is `dev_d1`. The files are read as a stream.

    Raises:
        FileNotFoundError: where there is no table.
        CorpusError: where a table is broken, lacks a column, or has a row that cannot be right.

    Example:
        >>> load_erc_dataset("table", "talks.csv", columns={"text": "words"}, labels=["calm", "glad"])
    """

    BUILDER_CONFIG_CLASS = TableConfig
    LICENSE: ClassVar[str] = "the owner's"
    REDISTRIBUTABLE: ClassVar[bool] = True

    def __init__(self, data_dir: str | Path | None = None, cache_dir: str | Path | None = None, **options: Any) -> None:
        # Before the base class asks for the labels and names the cache folder.
        self.contents = scan(self.locate(data_dir, options), TableConfig(**options))
        super().__init__(data_dir, cache_dir, **options)

    @classmethod
    def locate(cls, data_dir: str | Path | None, options: Mapping[str, Any]) -> Path:
        """Absolute path of the table or of its folder."""
        if data_dir is not None and Path(data_dir).expanduser().is_file():
            return Path(data_dir).expanduser().absolute()
        return super().locate(data_dir, options)

    @classmethod
    def raw_files(cls, root: Path) -> list[Path]:
        """The tables."""
        return list(find_tables(root).values())

    def files_behind(self) -> list[Path]:
        """The tables and the folders of their media, in which files may appear and vanish."""
        return [*self.raw_files(self.root), *self.contents.folders]

    @property
    def media_root(self) -> Path:
        """The folder that relative audio and video paths start from."""
        table = next(iter(find_tables(self.root).values()))
        return Path(os.path.abspath(media_folder(table, self.config)))

    @property
    def GAPS(self) -> dict[str, str]:  # type: ignore[override]
        """A modality that no utterance has is no gap."""
        return {column: name for column, name in super().GAPS.items() if name in self.contents.modalities}

    @functools.cached_property
    def label_set(self) -> LabelSet:
        """The classes; those named like a shared emotion stand for it in cross-corpus work."""
        names = self.contents.labels if self.config.labels is None else tuple(self.config.labels)
        return LabelSet("table", names, {name: name if name in SHARED_EMOTIONS else None for name in names})

    def dialogues(self, split: str) -> Iterator[Dialogue]:
        """Dialogues of a split in the order of the file."""
        names, needed = fields_of(self.config)
        clean: Callable[[str], str] = normalize_text if self.config.normalize_text else str
        for file_split, path in find_tables(self.root).items():
            if file_split not in (None, split):
                continue
            missing = MissingFiles()
            rows = read_rows(path, needed, names.values())
            for dialogue_id, members in group_rows(rows, lambda row: dialogue_of(row, names["dialogue_id"])):
                if common_split(members, names["split"], file_split) != split:
                    continue
                by_id = in_order(members, names)
                yield Dialogue(
                    dialogue_id=f"{file_split}_{dialogue_id}" if file_split else dialogue_id,
                    utterances=[self._utterance(name, row, names, clean, missing) for name, row in by_id.items()],
                )
            if missing.count:
                warn_once(
                    f"{path}, split {split}: {missing.count} media files are not there, {', '.join(missing.first)}"
                    f"{', ...' * (missing.count > 3)}. Their utterances stay without them; is media_dir right?"
                )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        return [
            generator for generator in super()._split_generators(dl_manager) if generator.name in self.contents.splits
        ]

    def _utterance(
        self, utterance_id: str, row: Row, names: Mapping[str, str], clean: Callable[[str], str], missing: MissingFiles
    ) -> Utterance:
        label = text_of(row, names["label"])
        if label is not None and label not in self.label_set.names:
            allowed = ", ".join(self.label_set.names)
            raise CorpusError(
                f"{row.place}: label {label!r} is none of {allowed}, which are compared as text, numbers too: "
                "correct the row, or pass labels"
            )
        paths = {}
        for modality in ("audio", "video"):
            path = media_path(row, names[modality], media_folder(row.path, self.config))
            paths[modality] = path if path and os.path.isfile(path) else None
            if path and not paths[modality]:
                missing.add(path)
        return Utterance(
            utterance_id=utterance_id,
            speaker=clean(text_of(row, names["speaker"]) or ""),
            text=clean(text_of(row, names["text"]) or "") or None,
            audio_path=paths["audio"],
            video_path=paths["video"],
            start=number_of(row, names["start"]),
            end=number_of(row, names["end"]),
            label=label,
        )


def scan(root: Path, config: TableConfig) -> Contents:
    """One pass over all tables, for what has to be known before the first dialogue is read."""
    names, needed = fields_of(config)
    labels: set[str] = set()
    splits: set[str] = set()
    modalities: set[str] = set()
    folders: set[str] = set()
    tables = find_tables(root)
    for file_split, path in tables.items():
        folder = media_folder(path, config)
        for row in read_rows(path, needed, names.values()):
            labels.add(text_of(row, names["label"]) or "")
            splits.add(split_of(row, names["split"], file_split))
            modalities.update(modality for modality in MODALITIES if text_of(row, names[modality]))
            paths = (media_path(row, names[modality], folder) for modality in ("audio", "video"))
            folders.update(os.path.dirname(path) for path in paths if path)
    shown = ", ".join(str(path) for path in tables.values())
    if not modalities:
        raise CorpusError(f"{shown}: no row has text, audio or video: map one, columns={{'text': '<its name>'}}")
    if not labels - {""} and config.labels is None:
        raise CorpusError(f"{shown}: no row has a label: map it, columns={{'label': '<its name>'}}, or pass labels")
    return Contents(
        labels=tuple(sorted(labels - {""})),
        splits=frozenset(splits),
        modalities=frozenset(modalities),
        folders=frozenset(Path(folder) for folder in folders if os.path.isdir(folder)),
    )


def fields_of(config: TableConfig) -> tuple[dict[str, str], list[str]]:
    """The file's name of each field, and the columns that must be there: the dialogue's and those that are mapped."""
    names = column_names(FIELDS, config.columns)
    return names, [names["dialogue_id"], *(config.columns or {}).values()]


def media_folder(table: Path, config: TableConfig) -> Path:
    """Folder that relative paths in a table start from."""
    return table.parent if config.media_dir is None else Path(config.media_dir).expanduser()


def dialogue_of(row: Row, column: str) -> str:
    """Dialogue id of a row."""
    dialogue_id = text_of(row, column)
    if dialogue_id is None:
        found = ", ".join(map(str, row.cells))
        raise CorpusError(f"{row.place} has no {column}, which every row needs; its columns are {found}: {REMEDY}")
    return dialogue_id


def split_of(row: Row, column: str, file_split: str | None) -> str:
    """Split of a row: that of its cell, which may not contradict the file's name, or the file's, or train."""
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
    """Split of all rows of a dialogue."""
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
    """Rows of a dialogue by utterance id, in the order in which they are spoken."""
    order = {row.number: number_of(row, names["order"]) for row in rows}
    given = [number for number in order.values() if number is not None]
    if given:
        empty = next((row for row in rows if order[row.number] is None), None)
        if empty:
            raise CorpusError(f"{empty.place} has no {names['order']}, as others of its dialogue have: fill it in")
        rows = sorted(rows, key=lambda row: order[row.number] or 0.0)
    positions = {row.number: str(position) for position, row in enumerate(rows)}
    place = f"dialogue {text_of(rows[0], names['dialogue_id'])!r}, utterance_id"
    return index_rows(rows, lambda row: text_of(row, names["utterance_id"]) or positions[row.number], place)
