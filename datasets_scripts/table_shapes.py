"""Shapes of users' tables: a dialogue in each row, nested JSON, single clips, and other names of the columns."""

import functools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .builder import CorpusError, first_few, warn_once
from .text_files import Row, require_columns

# Usual names of a column that the table does not have under its own name; case, spaces and underscores do not count.
ALIASES = {
    "dialogue_id": ("dialogid", "conversationid", "convid"),
    "speaker": ("speakers", "speakerid", "role"),
    "text": ("utterance", "transcript", "transcription", "sentence", "content"),
    "audio": ("audiopath",),
    "video": ("videopath",),
    "label": ("emotion", "emotions", "labels", "emotionlabel"),
}
# Names of a dialogue id in a table that has its text under another name: alone they may be what is said.
BARE_IDS = ("dialogue", "dialog", "conversation")
# Names of these fields in rows that hold a whole dialogue, where the value is a list.
LIST_ALIASES = {"text": ("dialog", "dialogue", "utterances", "texts", *ALIASES["text"])}
# Names of a media file, which is audio or video by its ending.
FILE_ALIASES = ("filename", "path", "file", "filepath")
MEDIA_FIELDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".wma"), ("audio",)),
    **dict.fromkeys((".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".flv"), ("audio", "video")),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".webp"), ("video",)),
}
DIALOGUE_IDS = ("dialogid", "conversationid", "convid", "sceneid", "id")
CONTENT = ("text", "audio", "video", "text_features", "audio_features", "visual_features")
# Facts of a dialogue that hold for each of its utterances; a label of the dialogue is none of an utterance.
INHERITED = ("dialogue_id", "split", "audio", "video")
REMEDY = (
    "write one row an utterance, with a column dialogue_id, "
    "or map that column with columns={'dialogue_id': '<its name in the file>'}"
)
CONVERSATION = re.compile(r"dialog|conv|scene|session|episode|thread")


def shaped_rows(rows: Iterable[Row], path: Path, names: Mapping[str, str], needed: Collection[str]) -> Iterator[Row]:
    """Yields one row for each utterance of a table, with a dialogue id.

    Args:
        rows: rows of the file as it is: one for each utterance or for each dialogue.
        path: the file.
        names: the file's column for each field.
        needed: columns that at least one row must have.

    Raises:
        CorpusError: if a column is missing, or the lists of a dialogue differ in length.
    """
    columns: dict[str, None] = {}
    number, single = 0, None
    for position, row in enumerate(rows):
        renamed = _with_known_names(row, names)
        dialogue = _dialogue_in(renamed, names)
        if dialogue is None:
            columns |= dict.fromkeys(renamed.cells)
            if single is None:
                single = names["dialogue_id"] == "dialogue_id" and _is_single(renamed, names)
                if single:
                    warn_once(f"{path} has no column dialogue_id: each row is read as a dialogue of its own")
            if single:
                renamed.cells.setdefault("dialogue_id", str(row.number))
                columns["dialogue_id"] = None
            elif names["dialogue_id"] not in columns:
                require_columns(path, needed, columns, REMEDY)
            yield renamed
            continue
        shared = {names[field]: renamed.cells[names[field]] for field in INHERITED if names[field] in renamed.cells}
        if shared.get(names["dialogue_id"]) is None:
            shared[names["dialogue_id"]] = _dialogue_id(renamed.cells, str(position))
        for cells in dialogue:
            number += 1
            utterance = _with_known_names(Row(path, number, dict(cells)), names)
            columns |= dict.fromkeys(utterance.cells) | dict.fromkeys(shared)
            yield Row(path, number, {**utterance.cells, **{k: v for k, v in shared.items() if k not in cells}})
    require_columns(path, needed, columns, REMEDY)
    unused = [str(name) for name in columns if name and name not in {"id", "Unnamed: 0", *names.values()}]
    if unused:
        warn_once(f"{path}: columns that are not used: {first_few(unused, 20)}")


def is_table(value: Any) -> bool:
    """Returns whether a value of a JSON file is a list of objects."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def is_utterance(cells: Mapping[str, Any], names: Mapping[str, str]) -> bool:
    """Returns whether an object has text, media or features of one utterance."""
    known = {key_of(names[field]) for field in CONTENT}
    known |= {*ALIASES["text"], *ALIASES["audio"], *ALIASES["video"], *FILE_ALIASES}
    return any(key_of(name) in known and (not isinstance(v, list) or "features" in name) for name, v in cells.items())


def _dialogue_in(row: Row, names: Mapping[str, str]) -> list[dict[str, Any]] | None:
    """Returns the utterances of a row that holds a whole dialogue, None for a row that is one utterance."""
    if not any(isinstance(row.cells.get(names[field]), str) for field in CONTENT):
        for value in row.cells.values():
            if isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values()):
                value = _transposed(row, value)
            if is_table(value) and any(is_utterance(cells, names) for cells in value):
                return list(value)
    contents = [row.cells.get(names[field]) for field in CONTENT]
    lists = [
        value
        for field, value in zip(CONTENT, contents, strict=True)
        if isinstance(value, list) and not ("features" in field and not (value and isinstance(value[0], list | str)))
    ]
    if not lists:
        return None
    columns = {
        name: row.cells[name]
        for field, name in names.items()
        if field not in ("dialogue_id", "split")
        and isinstance(row.cells.get(name), list)
        and not ("features" in field and not isinstance((row.cells[name] or [None])[0], list | str))
    }
    return _transposed(row, columns)


def _transposed(row: Row, columns: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    if len({*map(len, columns.values())}) > 1:
        sizes = ", ".join(f"{name} {len(values)}" for name, values in columns.items())
        raise CorpusError(f"{row.place}: the lists of the dialogue differ in length ({sizes}): correct the row")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _dialogue_id(cells: Mapping[str, Any], default: str) -> str:
    by_key = {key_of(name): value for name, value in cells.items() if isinstance(value, str | int)}
    return next((str(by_key[key]) for key in DIALOGUE_IDS if key in by_key), default)


def _with_known_names(row: Row, names: Mapping[str, str]) -> Row:
    """Returns a row in which usual names of a column are replaced by the name that its field has."""
    cells = dict(row.cells)
    cells |= {name: _inside(cells, name.split(".")) for name in names.values() if "." in name and name not in cells}
    renames = _renames(tuple(str(name) for name in cells), tuple(names.items()))
    for field, candidates in renames:
        for name in candidates:
            plain = key_of(name) in (key_of(field), *ALIASES.get(field, ()))
            bare = field == "dialogue_id" and key_of(name) in BARE_IDS and isinstance(cells.get(name), str | int)
            if name not in cells or not (plain or bare or isinstance(cells[name], list)):
                continue
            if isinstance(cells[name], list) and cells[name] and isinstance(cells[name][0], dict):
                continue  # the utterances themselves
            cells[names[field]] = cells.pop(name)
            if names[field] not in row.cells:
                warn_once(f"{row.path}: column {name} is read as {field}")
            break
    if not any(cells.get(names[field]) for field in ("audio", "video")):
        _take_file(row, cells, names)
    speaker = cells.get(names["speaker"])
    if isinstance(speaker, list) and not any(isinstance(cells.get(names[field]), list) for field in CONTENT):
        cells[names["speaker"]] = ", ".join(map(str, speaker))
    return Row(row.path, row.number, cells)


def _inside(cells: Any, parts: list[str]) -> Any:
    """Returns the value of a nested object, None if there is none."""
    for part in parts:
        cells = cells.get(part) if isinstance(cells, dict) else None
    return cells


@functools.lru_cache(maxsize=256)
def _renames(columns: tuple[str, ...], names: tuple[tuple[str, str], ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Returns the columns that may stand for each field that has no column of its own and is not mapped."""
    by_key = {key_of(name): name for name in columns}
    taken = {name for _, name in names}
    has_text = dict(names)["text"] in columns or any(key in by_key for key in ALIASES["text"])
    found = []
    for field, name in names:
        if name == field and name not in columns:
            keys = [key_of(field), *ALIASES.get(field, ()), *LIST_ALIASES.get(field, ())]
            keys += BARE_IDS if field == "dialogue_id" and has_text else ()
            candidates = tuple(by_key[key] for key in keys if key in by_key and by_key[key] not in taken)
            if candidates:
                found.append((field, candidates))
    return tuple(found)


def _take_file(row: Row, cells: dict[str, Any], names: Mapping[str, str]) -> None:
    for name in list(cells):
        if key_of(str(name)) in FILE_ALIASES and name not in names.values() and isinstance(cells[name], str):
            fields = MEDIA_FIELDS.get(Path(cells[name]).suffix.lower(), ())
            fields = tuple(field for field in fields if names[field] == field)
            for field in fields:
                cells[field] = cells[name]
            if fields:
                del cells[name]
                warn_once(f"{row.path}: column {name} is read as {' and '.join(fields)}")
                return


def _is_single(row: Row, names: Mapping[str, str]) -> bool:
    """Whether a row without dialogue id is a clip or sentence of its own, no turn of a conversation."""
    cells, keys = row.cells, keys_of(row.cells)
    if "dialogue_id" in cells or any(names[field] in cells for field in ("utterance_id", "order", "start", "end")):
        return False
    if any(CONVERSATION.search(key) for key in keys):
        return False
    if any(names[field] in cells for field in CONTENT if field not in ("text", "text_features")):
        return True
    return names["text"] in cells and names["speaker"] not in cells and not any(key.endswith("id") for key in keys)


def keys_of(cells: Mapping[str, Any]) -> set[str]:
    """Returns the names of columns as `key_of` does."""
    return {key_of(str(name)) for name in cells}


def key_of(name: str) -> str:
    """Returns what the spellings of a column's name have in common: case, spaces and underscores do not count."""
    return "".join(name.casefold().replace("_", " ").split())
