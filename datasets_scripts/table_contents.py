"""What a table contains as a whole: read once and checked before the first dialogue is read."""

import contextlib
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .builder import CorpusError, first_few, warn_once
from .clock_times import are_milliseconds, names_milliseconds
from .feature_cells import feature_file, features_of
from .schema import FEATURE_COLUMNS
from .split_draw import SPLITS, draw_splits, split_name
from .table_config import MODALITIES, TableConfig
from .table_files import class_labels, find_tables, media_path
from .table_labels import LabelReader, class_names, label_notes
from .table_rows import text_of
from .table_shapes import REMEDY
from .text_files import Row

# Rows whose times decide whether times are milliseconds.
TIMED_ROWS = 10_000


@dataclass
class Contents:
    """Facts about all tables of a corpus.

    Args:
        labels: number of utterances of each label, as it is written.
        speakers: number of utterances of each speaker.
        split_of: split of each dialogue, after the draw of missing splits.
        labels_of: labels of each dialogue.
        speakers_of: named speakers of each dialogue.
        modalities: modalities that at least one utterance has as text or media.
        feature_sizes: width of the precomputed features of each modality that has them.
        feature_files: files of the precomputed features.
        folders: folders of the audio and video paths.
        time_unit: seconds that a number in the columns of start and end counts for.
        split_note: a sentence about the draw of splits, empty without one.
    """

    labels: Counter[str] = field(default_factory=Counter)
    speakers: Counter[str] = field(default_factory=Counter)
    split_of: dict[str, str] = field(default_factory=dict)
    labels_of: dict[str, set[str]] = field(default_factory=dict)
    speakers_of: dict[str, set[str]] = field(default_factory=dict)
    modalities: set[str] = field(default_factory=set)
    feature_sizes: dict[str, int] = field(default_factory=dict)
    feature_files: set[Path] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    time_unit: float = 1.0
    split_note: str = ""


def scan(root: Path, config: TableConfig) -> Contents:
    """Reads all tables once, and draws missing splits.

    Raises:
        CorpusError: if a row has no dialogue or no split, nothing has a modality, or the draw is impossible.
    """
    names = config.names
    contents = Contents()
    ranges: list[tuple[str, str]] = []
    renamed: dict[str, str] = {}
    tables = find_tables(root)
    for file_split, path in tables.items():
        folder = config.media_folder(path)
        for row in config.rows(path):
            dialogue = full_id(dialogue_of(row, names["dialogue_id"]), file_split)
            label = text_of(row, config.label_column) or "" if config.label_column else ""
            speaker = text_of(row, names["speaker"]) or ""
            split = split_of(row, config, file_split)
            contents.split_of.setdefault(dialogue, split)
            contents.labels[label] += 1
            contents.labels_of.setdefault(dialogue, set()).add(label)
            contents.speakers[speaker] += 1
            contents.speakers_of.setdefault(dialogue, set()).update({speaker} - {""})
            contents.modalities |= {modality for modality in MODALITIES if text_of(row, names[modality])}
            for modality, field_name in FEATURE_COLUMNS.items():
                _note_features(row, modality, names[field_name], folder, contents)
            media = (media_path(row, names[modality], folder) for modality in ("audio", "video"))
            contents.folders |= {os.path.dirname(file) for file in media if file}
            start, end = text_of(row, names["start"]), text_of(row, names["end"])
            if start and end and len(ranges) < TIMED_ROWS:
                ranges.append((start, end))
            if (cell := text_of(row, names["split"])) and cell.lower() not in SPLITS:
                renamed[cell] = split
    if not (contents.modalities or contents.feature_sizes):
        shown = ", ".join(str(path) for path in tables.values())
        raise CorpusError(f"{shown}: no row has text, audio or video: map one, columns={{'text': '<its name>'}}")
    if renamed:
        warn_once(f"{root}: splits are read as {', '.join(f'{name} = {split}' for name, split in renamed.items())}")
    _draw_missing(root, contents, config)
    _set_time_unit(root, contents, config, ranges)
    _warn_of_speakers(root, contents, config)
    return contents


def _note_features(row: Row, modality: str, column: str, folder: Path, contents: Contents) -> None:
    """Notes the file and the width of a row's features; raises `CorpusError` if an earlier row has another width."""
    if file := feature_file(row, column, folder):
        contents.feature_files.add(file)
    features = features_of(row, column, folder)
    if features is None:
        return
    width, sizes = features.shape[-1], contents.feature_sizes
    if sizes.setdefault(modality, width) != width:
        raise CorpusError(
            f"{row.place}: {column} has {width} numbers, earlier rows have {sizes[modality]}: "
            "all vectors of a modality have the same width"
        )


def _draw_missing(root: Path, contents: Contents, config: TableConfig) -> None:
    splits = set(contents.split_of.values())
    shares = {"test": config.test_share, "dev": config.dev_share}
    missing = {split: share for split, share in shares.items() if split not in splits}
    train = {name: contents.speakers_of[name] for name, split in contents.split_of.items() if split == "train"}
    if not (missing and train) or config.split_by == "none":
        return
    try:
        drawn, contents.split_note = draw_splits(train, missing, config.split_by, config.split_seed)
    except CorpusError as error:
        raise CorpusError(f"{root}: {error}") from None
    contents.split_of |= drawn
    remedy = "split_by, split_seed, dev_share and test_share change the draw" if drawn else "add a split column"
    warn_once(f"{root}: {contents.split_note}; {remedy}")


def _set_time_unit(root: Path, contents: Contents, config: TableConfig, ranges: list[tuple[str, str]]) -> None:
    columns = [config.names["start"], config.names["end"]]
    if all(map(names_milliseconds, columns)) or are_milliseconds(ranges):
        contents.time_unit = 0.001
        warn_once(f"{root}: {' and '.join(columns)} are read as milliseconds")


def _warn_of_speakers(root: Path, contents: Contents, config: TableConfig) -> None:
    utterances, dialogues = contents.speakers.total(), len(contents.split_of)
    column = config.names["speaker"]
    # Of two turns or of single clips nothing can be concluded.
    if utterances <= max(dialogues, 3):
        return
    if len(contents.speakers) == utterances:
        warn_once(
            f"{root}: each of the {utterances} utterances has its own {column} ({first_few(list(contents.speakers))}): "
            "is it an id of the turn? map the column of the speakers, columns={'speaker': '<its name>'}"
        )
    elif len(contents.speakers) == 1:
        speaker = next(iter(contents.speakers))
        which = f"all {utterances} utterances have the same {column} {speaker!r}" if speaker else f"{column} is empty"
        warn_once(
            f"{root}: {which}, so that the model sees one speaker: map the column of the speakers, "
            "columns={'speaker': '<its name>'}"
        )


def dialogue_of(row: Row, column: str) -> str:
    """Returns the dialogue id of a row."""
    dialogue_id = text_of(row, column)
    if dialogue_id is None:
        columns = ", ".join(map(str, row.cells))
        raise CorpusError(f"{row.place} has no {column}, which every row needs; its columns are {columns}: {REMEDY}")
    return dialogue_id


def split_of(row: Row, config: TableConfig, file_split: str | None) -> str:
    """Returns the split of a row: that of its cell, or of the file, or train.

    Raises:
        CorpusError: if the cell names no split, or another one than the file.
    """
    column = config.names["split"]
    name = text_of(row, column)
    if name is None and (file_split or column not in row.cells):
        return file_split or "train"
    split = split_name(name or "", config.split_map)
    if split is None:
        raise CorpusError(
            f"{row.place}: {column} {name!r} is none of train, dev (valid, validation, val) and test: correct the row, "
            "or pass split_map={'<the name>': 'train'}"
        )
    if file_split not in (None, split):
        raise CorpusError(f"{row.place}: {column} {name!r} in the file of {file_split}: move the row, or correct it")
    return split


def full_id(dialogue_id: str, file_split: str | None) -> str:
    """Returns the id of a dialogue in the corpus; files of several splits may use the same ids."""
    return f"{file_split}_{dialogue_id}" if file_split else dialogue_id


def make_label_reader(root: Path, contents: Contents, config: TableConfig) -> LabelReader:
    """Returns the reader of the label column; warnings report merged spellings and marks of unlabelled utterances.

    Raises:
        CorpusError: if no row has a label and `labels` is not given, or the labels are no classes.
    """
    column = config.names["label"]
    if config.label_columns:
        return LabelReader(config.label_columns)
    if config.targets and not any(contents.labels):
        return LabelReader([])
    try:
        names = config.labels or class_names(contents.labels, config.label_map)
    except CorpusError as error:
        raise CorpusError(
            f"{root}: column {column} has {error}, columns={{'label': '<its name>'}}, or pass labels or label_map; to "
            f"predict it as a number pass targets={[column]}"
        ) from None
    if not names:
        raise CorpusError(f"{root}: no row has a label: map it, columns={{'label': '<its name>'}}, or pass labels")
    stored = class_labels(root, column)
    if config.labels is None and set(names) <= set(stored):
        names = stored
    reader = LabelReader(names, config.label_map)
    several = [name for name in names if config.labels is None and re.search(r"\S\s*[,;|]\s*\S", name)]
    if several:
        warn_once(
            f"{root}, column {column}: {first_few(several)}: an utterance has one class; if these are several, choose "
            "one by label_map"
        )
    for note in label_notes(contents.labels, reader):
        warn_once(f"{root}, column {column}: {note}")
    _warn_of_classes(root, contents, reader)
    return reader


def _warn_of_classes(root: Path, contents: Contents, reader: LabelReader) -> None:
    """Warns of a single class, and of classes that are absent from a split."""
    classes: dict[str, set[str | None]] = {split: set() for split in contents.split_of.values()}
    for dialogue, split in contents.split_of.items():
        for label in contents.labels_of[dialogue]:
            # A label that is no class is refused with its row later.
            with contextlib.suppress(KeyError):
                classes[split].add(reader(label))
    problems = [f"there is only one class, {reader.names[0]}"] if len(reader.names) == 1 else []
    for split in SPLITS:
        absent = [name for name in reader.names if split in classes and name not in classes[split]]
        if len(absent) == len(reader.names):
            problems.append(f"no utterance of {split} is labelled")
        elif absent:
            problems.append(f"{split} has no utterance of {', '.join(absent)}")
    if problems:
        warn_once(f"{root}: {'; '.join(problems)}")
