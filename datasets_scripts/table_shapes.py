"""Shapes of users' tables: a dialogue in each row, nested JSON, single clips, and other names of the columns."""

import functools
import mimetypes
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .builder import CorpusError, warn_once
from .split_draw import split_name
from .text_files import Row, require_columns

# Usual names of a column that the table does not have under its own name; case, spaces and underscores do not count.
ALIASES = {
    "text": ("utterance", "transcript", "transcription", "sentence"),
    "label": ("emotion", "emotions", "labels"),
    "speaker": ("speakers",),
    "audio": ("audiopath",),
    "video": ("videopath",),
}
# Names of these fields in rows that hold a whole dialogue, where the value is a list.
LIST_ALIASES = {"text": ("dialog", "dialogue", "utterances", "texts", *ALIASES["text"])}
# Names of a media file, which is audio or video by its ending.
FILE_ALIASES = ("filename", "path", "file", "filepath")
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
            columns |= dict.fromkeys(row.cells) | dict.fromkeys(renamed.cells)
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


def json_rows(content: Any, path: Path, names: Mapping[str, str]) -> Iterator[Row]:
    """Yields the objects of a JSON file: utterances, or dialogues as objects with their utterances.

    The file holds a list of objects, a list of lists of objects, or an object of these by split, by dialogue id, or in
    any number of levels, such as episodes and scenes.

    Raises:
        CorpusError: if the file has another form, or no rows.
    """
    lists = [value for value in content.values() if isinstance(value, list)] if isinstance(content, dict) else []
    if len(lists) == 1 and not _keys(content) & {*DIALOGUE_IDS, _key(names["dialogue_id"])}:
        # The rows of the file under any name.
        content = lists[0]
    if content == []:
        raise CorpusError(f"{path} has no rows: {REMEDY}")
    known = isinstance(content, dict) and any(map(_is_table, content.values()))
    if isinstance(content, list):
        known = all(isinstance(item, dict) or _is_table(item) for item in content)
    if not known:
        raise CorpusError(
            f"{path} is no list of JSON objects, one for each utterance or dialogue: write [{{...}}, ...]"
        )
    for number, cells in enumerate(_objects(content, {}, names), start=1):
        yield Row(path, number, cells)


def _objects(node: Any, facts: dict[str, Any], names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yields the utterances and dialogues below a node of a JSON file; `facts` are those of the nodes above."""
    if isinstance(node, list):
        for item in node:
            if isinstance(item, list):
                yield {**facts, "utterances": item}
            else:
                yield from _objects(item, facts, names)
        return
    lists = {key: value for key, value in node.items() if _is_table(value)}
    facts = facts | {key: value for key, value in node.items() if key not in lists}
    if not lists or _is_utterance(node, names):
        yield facts | lists
        return
    by_split = all(split_name(key) for key in lists)
    spoken = [key for key, items in lists.items() if all(_is_utterance(item, names) for item in items)]
    for key, items in lists.items():
        if by_split:
            yield from _objects(items, {**facts, names["split"]: key}, names)
        elif key in spoken and names["dialogue_id"] not in items[0]:
            by_id = {names["dialogue_id"]: key} if len(spoken) > 1 else {}
            yield {**facts, **by_id, "utterances": items}
        else:
            yield from _objects(items, facts, names)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _is_utterance(cells: Mapping[str, Any], names: Mapping[str, str]) -> bool:
    """Whether an object has text, media or features of one utterance."""
    known = {_key(names[field]) for field in CONTENT}
    known |= {*ALIASES["text"], *ALIASES["audio"], *ALIASES["video"], *FILE_ALIASES}
    return any(_key(name) in known and (not isinstance(v, list) or "features" in name) for name, v in cells.items())


def _dialogue_in(row: Row, names: Mapping[str, str]) -> list[dict[str, Any]] | None:
    """Returns the utterances of a row that holds a whole dialogue, None for a row that is one utterance."""
    if not any(isinstance(row.cells.get(names[field]), str) for field in CONTENT):
        for value in row.cells.values():
            if isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values()):
                value = _transposed(row, value)
            if _is_table(value) and any(_is_utterance(cells, names) for cells in value):
                return list(value)
    contents = [row.cells.get(names[field]) for field in CONTENT]
    lists = [
        value
        for field, value in zip(CONTENT, contents, strict=True)
        if isinstance(value, list) and not ("features" in field and not (value and isinstance(value[0], list)))
    ]
    if not lists:
        return None
    columns = {
        name: row.cells[name]
        for field, name in names.items()
        if field not in ("dialogue_id", "split")
        and isinstance(row.cells.get(name), list)
        and not ("features" in field and not isinstance((row.cells[name] or [None])[0], list))
    }
    return _transposed(row, columns)


def _transposed(row: Row, columns: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    if len({*map(len, columns.values())}) > 1:
        sizes = ", ".join(f"{name} {len(values)}" for name, values in columns.items())
        raise CorpusError(f"{row.place}: the lists of the dialogue differ in length ({sizes}): correct the row")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _dialogue_id(cells: Mapping[str, Any], default: str) -> str:
    by_key = {_key(name): value for name, value in cells.items() if isinstance(value, str | int)}
    return next((str(by_key[key]) for key in DIALOGUE_IDS if key in by_key), default)


def _with_known_names(row: Row, names: Mapping[str, str]) -> Row:
    """Returns a row in which usual names of a column are replaced by the name that its field has."""
    cells = dict(row.cells)
    renames = _renames(tuple(str(name) for name in cells), tuple(names.items()))
    for field, candidates in renames:
        for name in candidates:
            if name not in cells or (_key(name) not in ALIASES.get(field, ()) and not isinstance(cells[name], list)):
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


@functools.lru_cache(maxsize=256)
def _renames(columns: tuple[str, ...], names: tuple[tuple[str, str], ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Returns the columns that may stand for each field that has no column of its own and is not mapped."""
    by_key = {_key(name): name for name in columns}
    taken = {name for _, name in names}
    found = []
    for field, name in names:
        if name == field and name not in columns:
            keys = [*ALIASES.get(field, ()), *LIST_ALIASES.get(field, ())]
            candidates = tuple(by_key[key] for key in keys if key in by_key and by_key[key] not in taken)
            if candidates:
                found.append((field, candidates))
    return tuple(found)


def _take_file(row: Row, cells: dict[str, Any], names: Mapping[str, str]) -> None:
    for name in list(cells):
        if _key(str(name)) in FILE_ALIASES and name not in names.values() and isinstance(cells[name], str):
            kind = (mimetypes.guess_type(cells[name])[0] or "").split("/")[0]
            fields = {"audio": ("audio",), "video": ("audio", "video"), "image": ("video",)}.get(kind, ())
            fields = tuple(field for field in fields if names[field] == field)
            for field in fields:
                cells[field] = cells[name]
            if fields:
                warn_once(f"{row.path}: column {name} is read as {' and '.join(fields)}")
                return


def _is_single(row: Row, names: Mapping[str, str]) -> bool:
    """Whether a row without dialogue id is a clip or sentence of its own, no turn of a conversation."""
    cells, keys = row.cells, _keys(row.cells)
    if "dialogue_id" in cells or any(names[field] in cells for field in ("utterance_id", "order", "start", "end")):
        return False
    if any(CONVERSATION.search(key) for key in keys):
        return False
    if any(names[field] in cells for field in CONTENT if field not in ("text", "text_features")):
        return True
    return names["text"] in cells and names["speaker"] not in cells and not any(key.endswith("id") for key in keys)


def _keys(cells: Mapping[str, Any]) -> set[str]:
    return {_key(str(name)) for name in cells}


def _key(name: str) -> str:
    return "".join(name.casefold().replace("_", " ").split())
