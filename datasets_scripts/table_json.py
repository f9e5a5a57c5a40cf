"""JSON files of users' own data: utterances and dialogues, in any number of levels."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .builder import CorpusError
from .split_draw import split_name
from .table_shapes import ALIASES, DIALOGUE_IDS, REMEDY, is_table, is_utterance, key_of, keys_of
from .text_files import Row


def json_rows(content: Any, path: Path, names: Mapping[str, str]) -> Iterator[Row]:
    """Yields the objects of a JSON file: utterances, or dialogues as objects with their utterances.

    The file holds a list of objects, a list of lists of objects, or an object of these by split, by dialogue id, or in
    any number of levels, such as episodes and scenes; or what pandas writes.

    Raises:
        CorpusError: if the file has another form, or no rows.
    """
    content = _listed(content, names)
    lists = [value for value in content.values() if isinstance(value, list)] if isinstance(content, dict) else []
    if len(lists) == 1 and not keys_of(content) & {*DIALOGUE_IDS, key_of(names["dialogue_id"])}:
        # The rows of the file under any name.
        content = lists[0]
    if content == []:
        raise CorpusError(f"{path} has no rows: {REMEDY}")
    known = isinstance(content, dict) and any(map(is_table, content.values()))
    if isinstance(content, list):
        known = all(isinstance(item, dict) or is_table(item) for item in content)
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
    lists = {key: value for key, value in node.items() if is_table(value)}
    facts = facts | {key: value for key, value in node.items() if key not in lists}
    if not lists or is_utterance(node, names):
        yield facts | lists
        return
    by_split = all(split_name(key) for key in lists)
    spoken = [key for key, items in lists.items() if all(is_utterance(item, names) for item in items)]
    for key, items in lists.items():
        if by_split:
            yield from _objects(items, {**facts, names["split"]: key}, names)
        elif key in spoken and names["dialogue_id"] not in items[0]:
            by_id = {names["dialogue_id"]: key} if len(spoken) > 1 else {}
            yield {**facts, **by_id, "utterances": items}
        else:
            yield from _objects(items, facts, names)


def _listed(node: Any, names: Mapping[str, str]) -> Any:
    """Returns a node of a JSON file with lists of objects in place of objects by id, and of the forms of pandas."""
    if isinstance(node, list):
        return [_listed(item, names) if isinstance(item, list | dict) else item for item in node]
    if not isinstance(node, dict) or not node:
        return node
    header, data = node.get("columns"), node.get("data")
    if isinstance(header, list) and isinstance(data, list) and all(isinstance(cells, list) for cells in data):
        return [dict(zip(header, cells, strict=False)) for cells in data]
    columns = list(node.values())
    if isinstance(node.get(names["dialogue_id"]), list) and len({*map(type, columns)}) == 1 == len(
        {*map(len, columns)}
    ):
        return [dict(zip(node, cells, strict=True)) for cells in zip(*columns, strict=True)]
    if not all(isinstance(value, dict) for value in columns) or all(split_name(key) for key in node):
        return {key: _listed(value, names) for key, value in node.items()}
    fields = {*map(key_of, names.values())}.union(*ALIASES.values())
    if any(key_of(name) in fields for name in node):
        return [{name: column.get(row) for name, column in node.items()} for row in columns[0]]
    items = {key: _listed(value, names) for key, value in node.items()}
    if all(isinstance(item, list) for item in items.values()):
        return items
    return [{"id": key, **(item if isinstance(item, dict) else {"utterances": item})} for key, item in items.items()]
