"""Users' own data: a table of utterances as CSV, TSV, JSON, JSONL or parquet."""

import functools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import datasets

from .builder import CorpusError, ErcBuilder, first_few, warn_once
from .feature_cells import feature_file, vector_of
from .labels import LabelSet, shared_emotion
from .schema import FEATURE_COLUMNS, Dialogue, Utterance
from .table_config import TableConfig
from .table_contents import dialogue_of, full_id, make_label_reader, scan, split_of
from .table_files import find_tables, media_path, shards_of
from .table_labels import LabelReader
from .table_rows import class_of, group_rows, index_rows, number_of, seconds_of, text_of, whole_number
from .text_files import Row


class Table(ErcBuilder):
    """A table with a row for each utterance and these columns; only `dialogue_id` and one modality are required.

    | column | content |
    | --- | --- |
    | `dialogue_id` | id of the dialogue; its rows are grouped in the file |
    | `utterance_id` | unique in its dialogue; default is the position, from 0 |
    | `order` | number that sorts the utterances; default is the order in the file, or by ids that run backwards |
    | `speaker` | name of the speaker; default is the same unnamed speaker throughout |
    | `text`, `audio`, `video` | words, and paths of media files; empty if an utterance has none |
    | `start`, `end` | times inside the media files: seconds, clock times or milliseconds; empty for the whole |
    | `text_features`, `audio_features`, `visual_features` | lists of numbers, or paths of `.npy` or `.safetensors` |
    | `label` | name of the class, in any case and spacing; empty, -1, n/a, ... for an utterance that is context only |
    | columns of `targets`, `label_columns` | numbers to predict; several labels of an utterance (see `TableConfig`) |
    | `split` | train, dev (validation, valid, ...) or test; default is the file's name, or train |

    The vectors of a modality have one width; from a file with features `(tokens, width)` their mean is taken.

    `data_dir` is a table, a folder of one table, or a folder of tables called train, dev and test; these may use the
    same dialogue ids, so dialogue `d1` of the dev file is `dev_d1`. If dev or test is missing, it is drawn from the
    training dialogues (see `split_by`); a warning reports the draw. The files are read as a stream.

    A row may also hold a whole dialogue: a list of utterances, or lists in the columns. JSON may be nested. What
    `python -m datasets_scripts NAME DIR --out COPY` wrote is read again. A list of single clips or sentences
    (`path,label`; `metadata.csv` with `file_name`) needs no `dialogue_id`. Audio of `datasets` inside the table is
    written into the cache.

    Raises:
        FileNotFoundError: if there is no table.
        CorpusError: if a table is broken, lacks a column, or has a row that is wrong.

    Example:
        >>> load_erc_dataset("table", "talks.csv", columns={"text": "words"}, labels=["calm", "glad"])
    """

    BUILDER_CONFIG_CLASS = TableConfig
    MAY_BE_FILE: ClassVar[bool] = True
    LICENSE: ClassVar[str] = "the owner's"
    LANGUAGE: ClassVar[str | None] = None
    REDISTRIBUTABLE: ClassVar[bool] = True

    def __init__(self, data_dir: str | Path | None = None, cache_dir: str | Path | None = None, **options: Any) -> None:
        # Before the base class needs the labels and names the cache folder.
        self.contents = scan(self.locate(data_dir, options), TableConfig(**options))
        super().__init__(data_dir, cache_dir, **options)

    @classmethod
    def raw_files(cls, root: Path) -> list[Path]:
        """Returns the tables."""
        return [shard for table in find_tables(root).values() for shard in shards_of(table)]

    def files_behind(self) -> list[Path]:
        """Returns the tables, their feature files, and the folders of their media, where files may be added."""
        folders = [Path(folder) for folder in self.contents.folders if os.path.isdir(folder)]
        features = [file for file in self.contents.feature_files if file.is_file()]
        return [*self.raw_files(self.root), *folders, *features]

    @property
    def media_root(self) -> Path:
        """Folder that relative audio and video paths start from."""
        return Path(os.path.abspath(self.config.media_folder(next(iter(find_tables(self.root).values())))))

    @property
    def GAPS(self) -> dict[str, str]:  # type: ignore[override]
        """A modality that no utterance has is no gap."""
        return {column: name for column, name in super().GAPS.items() if name in self.contents.modalities}

    @property
    def feature_sizes(self) -> Mapping[str, int] | None:
        """Width of the features of each modality, None for a table without features."""
        return self.contents.feature_sizes or None

    @property
    def several_labels(self) -> bool:
        """Whether the labels are in several columns."""
        return bool(self.config.label_columns)

    @functools.cached_property
    def label_set(self) -> LabelSet:
        """The classes; `shared_emotion` maps them to other corpora."""
        names = self.label_reader.names
        return LabelSet("table", tuple(names), {name: shared_emotion(name) for name in names})

    @functools.cached_property
    def label_reader(self) -> LabelReader:
        """Reader of the label column."""
        return make_label_reader(self.root, self.contents, self.config)

    def _info(self) -> datasets.DatasetInfo:
        info = super()._info()
        info.description = self.contents.split_note
        return info

    def dialogues(self, split: str) -> Iterator[Dialogue]:
        """Yields the dialogues of a split in the order of the file."""
        names = self.config.names
        for file_split, path in find_tables(self.root).items():
            if file_split not in (None, split, "train"):
                continue
            missing: list[str] = []
            reordered: list[str] = []
            repeated: list[str] = []
            rows = self.config.rows(path)
            for dialogue_id, members in group_rows(rows, lambda row: dialogue_of(row, names["dialogue_id"])):
                name = full_id(dialogue_id, file_split)
                if self.contents.split_of[name] == split:
                    check_split(members, self.config, file_split)
                    members = without_repetitions(members, names, repeated)
                    by_id = in_order(members, names, reordered)
                    utterances = [self._utterance(number, row, missing) for number, row in by_id.items()]
                    yield Dialogue(dialogue_id=name, utterances=utterances)
            if repeated:
                warn_once(
                    f"{path}, split {split}: {len(repeated)} rows repeat another one of their dialogue "
                    f"({first_few(repeated)}) and are left out"
                )
            if reordered:
                warn_once(
                    f"{path}, split {split}: {names['utterance_id']} runs backwards in {len(reordered)} dialogues "
                    f"({first_few(reordered)}), which are ordered by it; map a column of numbers as order where that "
                    "is wrong, columns={'order': '<its name>'}"
                )
            if missing:
                warn_once(
                    f"{path}, split {split}: {len(missing)} files are not there, {first_few(missing)}. "
                    "Their utterances stay without them; is media_dir right?"
                )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        splits = set(self.contents.split_of.values())
        return [generator for generator in super()._split_generators(dl_manager) if generator.name in splits]

    def _label(self, row: Row) -> str | None:
        column = self.config.label_column
        if column is None or not self.label_reader.names:
            return None
        return class_of(row, column, self.label_reader, "correct the row, or pass labels or label_map")

    def _labels(self, row: Row) -> list[str] | None:
        """Returns the labels with a number above 0, None for an utterance without any number."""
        numbers = {name: number_of(row, name) for name in self.config.label_columns or ()}
        if all(number is None for number in numbers.values()):
            return None
        return [name for name, number in numbers.items() if (number or 0) > 0]

    def _utterance(self, utterance_id: str, row: Row, missing: list[str]) -> Utterance:
        names = self.config.names
        media: dict[str, str | None] = {}
        for modality in ("audio", "video"):
            path = media_path(row, names[modality], self.config.media_folder(row.path))
            exists = path is not None and os.path.isfile(path)
            media[modality] = path if exists else None
            if path is not None and not exists:
                missing.append(path)
        utterance = Utterance(
            utterance_id=utterance_id,
            speaker=self.clean(text_of(row, names["speaker"]) or ""),
            text=self.clean(text_of(row, names["text"]) or "") or None,
            audio_path=media["audio"],
            video_path=media["video"],
            start=seconds_of(row, names["start"], self.contents.time_unit),
            end=seconds_of(row, names["end"], self.contents.time_unit),
            label=self._label(row),
            labels=self._labels(row),
            targets={name: number_of(row, name) for name in self.target_names},
        )
        for modality in self.contents.feature_sizes:
            column, folder = FEATURE_COLUMNS[modality], self.config.media_folder(row.path)
            utterance[column] = vector_of(row, names[column], folder)  # type: ignore[literal-required]
            file = feature_file(row, names[column], folder)
            if file and not file.is_file():
                missing.append(str(file))
        return utterance


def check_split(rows: list[Row], config: TableConfig, file_split: str | None) -> None:
    """Raises `CorpusError` if the rows of a dialogue have more than one split."""
    first = split_of(rows[0], config, file_split)
    for row in rows:
        split = split_of(row, config, file_split)
        if split != first:
            raise CorpusError(
                f"{row.place}: {config.names['split']} is {split} here and {first} in row {rows[0].number} of the same "
                "dialogue: a dialogue belongs to one split"
            )


def without_repetitions(rows: list[Row], names: Mapping[str, str], repeated: list[str]) -> list[Row]:
    """Returns the rows of a dialogue without those that equal another one, utterance id included.

    Args:
        rows: rows of the dialogue.
        names: the file's column for each field.
        repeated: list to which the number of each row that is left out is added.
    """
    first: dict[str, Row] = {}
    kept = []
    for row in rows:
        utterance_id = text_of(row, names["utterance_id"])
        if utterance_id and first.setdefault(utterance_id, row) is not row and first[utterance_id].cells == row.cells:
            repeated.append(f"row {row.number}")
        else:
            kept.append(row)
    return kept


def in_order(rows: list[Row], names: Mapping[str, str], reordered: list[str]) -> dict[str, Row]:
    """Returns the rows of a dialogue by utterance id, in the order in which they are spoken.

    Args:
        rows: rows of the dialogue.
        names: the file's column for each field.
        reordered: list to which the dialogue is added if its utterance ids change its order.

    Raises:
        CorpusError: if only some rows have an order, or two have the same utterance id.
    """
    dialogue = text_of(rows[0], names["dialogue_id"]) or ""
    order = [number_of(row, names["order"]) for row in rows]
    numbers = [whole_number(text_of(row, names["utterance_id"])) for row in rows]
    if any(number is not None for number in order):
        empty = next((row for row, number in zip(rows, order, strict=True) if number is None), None)
        if empty:
            raise CorpusError(f"{empty.place} has no {names['order']}, as others of its dialogue have: fill it in")
    elif None not in numbers and numbers != sorted(number or 0 for number in numbers):
        order = [float(number or 0) for number in numbers]
        reordered.append(dialogue)
    rows = [row for _, row in sorted(zip(order, rows, strict=True), key=lambda pair: pair[0] or 0.0)]
    positions = {row.number: str(position) for position, row in enumerate(rows)}
    place = f"dialogue {dialogue!r}, utterance_id"
    return index_rows(rows, lambda row: text_of(row, names["utterance_id"]) or positions[row.number], place)
