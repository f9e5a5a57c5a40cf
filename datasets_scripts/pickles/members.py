"""Identifies the members of a feature pickle; public code uses several undocumented orders of one tuple."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..builder import CorpusError
from ..table_labels import UNLABELLED, label_key

MAX_MEMBERS = 32
MAX_ID = 1000  # characters
SPLITS = ("train", "test", "dev")
LAYOUT = (
    "utterance ids, speakers, labels, 1 or 4 text tables, audio, visual, sentences, train ids, test ids; "
    "optionally dev ids and a second table of labels"
)


@dataclass(frozen=True)
class Member:
    """One member of the tuple.

    Args:
        position: index in the tuple, or a column name.
        kind: "strings", "integers", "decimals" or "vectors" for a table with one item per utterance, "empty", "dialogue
            ids", or the name of another type.
        rows: items of a table by dialogue; None for an utterance without one.
        ids: dialogue ids, if the member is a collection of them.
    """

    position: int | str
    kind: str
    rows: Mapping[str, list[Any]] = field(default_factory=dict)
    ids: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Layout:
    """Members by role; None for a role without a member."""

    ids: Member | None
    speakers: Member
    labels: Member
    texts: list[Member]
    audio: Member | None
    vision: Member | None
    sentences: Member | None
    splits: dict[str, frozenset[str]]
    emotions: Member | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def features(self) -> dict[str, Member]:
        """Tables of features that are not empty: `text_0` to `text_3`, `audio`, `vision`."""
        tables = {f"text_{number}": table for number, table in enumerate(self.texts)}
        named = {**tables, "audio": self.audio, "vision": self.vision}
        return {name: member for name, member in named.items() if member and member.kind == "vectors"}


def recognize(content: Any, most_values: int) -> Layout:
    """Identifies the members of a feature pickle by their types and order.

    Utterance ids are strings or integers and may be missing. Speakers are strings or one-hot rows. Labels are the first
    table of integers after the speakers, or one of decimals (strengths of a sentiment, or whole numbers written as
    decimals); a second one of integers (sentiment) is ignored. Where an empty table stands for the speakers, each
    dialogue has one. The feature tables between the labels
    and the ids of the splits are text, audio and visual, or four text tables (layers of RoBERTa) of equal width
    followed by audio and visual. An empty table stands for an absent member; the last one may stand for the sentences.
    The collections of dialogue ids are train, test and, if there are three, dev.

    Args:
        content: content of the pickle.
        most_values: limit on the number of values; a pickle with more of them repeats references.

    Raises:
        CorpusError: if the order is ambiguous; the message lists the type at each position.
    """
    if not isinstance(content, tuple | list) or len(content) > MAX_MEMBERS:
        raise CorpusError(f"it holds a {type(content).__name__}, not a tuple of {LAYOUT}")
    members = [_look_at(position, value, most_values) for position, value in enumerate(content)]
    try:
        return _assign(members)
    except CorpusError as error:
        found = "; ".join(f"{m.position}: {_describe(m)}" for m in members)
        raise CorpusError(f"{error}. The expected order is {LAYOUT}. The pickle has {found}") from None


def _assign(members: list[Member]) -> Layout:
    first_split = next((index for index, m in enumerate(members) if m.kind == "dialogue ids"), len(members))
    at = next(
        (
            index
            for kinds in (("integers",), ("decimals", "decimals and integers"))
            for index, member in enumerate(members[:first_split])
            if member.kind in kinds and _of_kind(members[:index], "strings", "vectors")
        ),
        None,
    )
    if at is None:
        raise CorpusError("there is no table of labels (numbers) after one of speakers")
    labels, head = members[at], [member for member in members[:at] if member.kind != "empty"]
    if members[at - 1].kind == "empty" and len(head) == 1 and _all_differ(head[0]):
        one_each = {dialogue: [dialogue] * len(rows) for dialogue, rows in labels.rows.items()}
        head.append(Member(at - 1, "strings", one_each))
    speakers, ids = head[-1], head[-2] if len(head) == 2 else None
    sound = speakers.kind in ("strings", "vectors") and (ids is None or ids.kind in ("strings", "integers"))
    if not sound or len(head) > 2 or (ids is None and _all_differ(speakers)):
        raise CorpusError(f"the members before the labels at {labels.position} are not utterance ids and speakers")

    body, tail = members[at + 1 : first_split], members[first_split:]
    strange = [m for m in body if m.kind not in ("strings", "integers", "vectors", "empty")]
    strange += _of_kind(tail, "vectors")
    sentences = _of_kind(body + tail, "strings")
    if strange or len(sentences) > 1:
        where = ", ".join(str(member.position) for member in strange or sentences)
        raise CorpusError(f"the role of member {where} is unclear")
    classes = len(set(_values(labels)))
    if any(len(set(_values(member))) > classes for member in _of_kind(body + tail, "integers")):
        raise CorpusError(f"the labels at {labels.position} have fewer classes than a table of integers after them")

    tables = _of_kind(body, "vectors", "empty")
    if tables and tables[-1].kind == "empty" and not sentences:
        tables.pop()
    count = 1 if len(tables) <= 3 else 4
    if not tables or len(tables) > 6 or len({len(next(_values(t))) for t in _of_kind(tables[:count], "vectors")}) > 1:
        raise CorpusError(f"it is unclear which of {len(tables)} tables of features are text, audio and visual")
    rest = dict(zip(("audio", "vision"), tables[count:], strict=False))
    return Layout(
        ids=ids,
        speakers=speakers,
        labels=labels_of(labels),
        texts=tables[:count],
        audio=rest.get("audio"),
        vision=rest.get("vision"),
        sentences=sentences[0] if sentences else None,
        splits=_splits(_of_kind(tail, "dialogue ids"), labels.rows.keys()),
    )


def labels_of(member: Member) -> Member:
    """Returns labels as integers (classes) or decimals (strengths), with None for the marks of "unlabelled".

    Labels are strengths if any of them has a fraction or is below 0 and no mark.
    """
    numbers = [float(value) for value in _values(member) if not isinstance(value, str)]
    numbers = [value for value in numbers if math.isfinite(value) and value not in (-1, -100)]
    strengths = any(value < 0 or not value.is_integer() for value in numbers)

    def label(value: Any) -> int | float | None:
        if value is None or isinstance(value, str) or not math.isfinite(value):
            return None
        if strengths:
            return float(value)
        return None if value in (-1, -100) else int(value)

    rows = {dialogue: [label(value) for value in values] for dialogue, values in member.rows.items()}
    return replace(member, kind="decimals" if strengths else "integers", rows=rows)


def _splits(collections: list[Member], known: Iterable[str]) -> dict[str, frozenset[str]]:
    known = frozenset(known)
    # Other lists, such as names, may follow the ids.
    collections = collections[:2] + [member for member in collections[2:] if member.ids & known]
    if not 2 <= len(collections) <= 3:
        raise CorpusError(f"it has {len(collections)} collections of dialogue ids, not 2 or 3 (train, test, dev)")
    splits = dict(zip(SPLITS, (member.ids for member in collections), strict=False))
    for name, ids in splits.items():
        if not ids or ids - known:
            unknown = ", ".join(sorted(ids - known)[:3])
            raise CorpusError(f"{name} has {f'ids of dialogues without labels: {unknown}' if ids else 'no ids'}")
        for other in SPLITS[: SPLITS.index(name)]:
            if ids & splits[other]:
                both = ", ".join(sorted(ids & splits[other])[:3])
                raise CorpusError(f"{len(ids & splits[other])} dialogues are in both {other} and {name} ({both})")
    # In EmoryNLP dev is a little larger than test. In the other corpora the sizes tell the two apart.
    if len(splits.get("dev", ())) > 1.5 * len(splits["test"]):
        raise CorpusError("the third collection of ids is larger than the second: it is unclear which is dev")
    return splits


def _look_at(position: int, value: Any, most_values: int) -> Member:
    if isinstance(value, dict):
        return _look_at_table(position, value, most_values)
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = value.tolist()
    if isinstance(value, list | tuple | set | frozenset) and {_kind(item) for item in value} <= {"strings", "integers"}:
        return Member(position, "dialogue ids", ids=frozenset(map(to_id, value)))
    return Member(position, type(value).__name__)


def _look_at_table(position: int, value: dict[Any, Any], most_values: int) -> Member:
    if not all(
        isinstance(rows, list | tuple) or (isinstance(rows, np.ndarray) and rows.ndim) for rows in value.values()
    ):
        return Member(position, "dict of " + " and ".join(sorted({type(rows).__name__ for rows in value.values()})))
    if sum(map(len, value.values())) > most_values:
        raise CorpusError(f"the table at {position} repeats the same rows")
    table = {to_id(key): list(rows) for key, rows in value.items()}
    if len(table) < len(value):
        raise CorpusError(f"the table at {position} has a dialogue twice, once as a number and once as a string")
    if sum(_count(row) for rows in table.values() for row in rows) > most_values:
        raise CorpusError(f"the table at {position} repeats the same values")
    kinds = {_kind(row) for rows in table.values() for row in rows} - {"None"}
    if kinds & {"integers", "decimals"} and all(
        label_key(row) in UNLABELLED for rows in table.values() for row in rows if isinstance(row, str)
    ):
        kinds.discard("strings")
    return Member(position, " and ".join(sorted(kinds)) or "empty", table)


def to_id(value: Any) -> str:
    """Returns the id of a dialogue or an utterance as a string."""
    if _kind(value) not in ("strings", "integers"):
        raise CorpusError(f"an id is a {type(value).__name__}, not a string or a 64-bit integer")
    if isinstance(value, str) and len(value) > MAX_ID:
        raise CorpusError(f"an id has {len(value):,} characters")
    return value if isinstance(value, str) else str(int(value))


def _kind(row: Any) -> str:
    if isinstance(row, np.ndarray) and row.ndim == 1:
        if row.dtype.kind in "fiu":
            return "vectors"
        row = row.tolist()
    if isinstance(row, list | tuple) and all(_is_number(item) for item in row):
        return "vectors"
    if isinstance(row, str):
        return "strings"
    if _is_number(row):
        return "integers" if isinstance(row, int | np.integer) else "decimals"
    return type(row).__name__.removesuffix("Type")


def _is_number(value: Any) -> bool:
    if isinstance(value, int | np.integer):
        return not isinstance(value, bool) and -(2**63) <= int(value) < 2**63
    return isinstance(value, float | np.floating)


def _count(row: Any) -> int:
    if isinstance(row, np.ndarray):
        return int(row.size)
    return len(row) if isinstance(row, str | list | tuple) else 1


def _of_kind(members: list[Member], *kinds: str) -> list[Member]:
    return [member for member in members if member.kind in kinds]


def _values(member: Member) -> Iterator[Any]:
    return (row for rows in member.rows.values() for row in rows if row is not None)


def _all_differ(speakers: Member) -> bool:
    names = list(_values(speakers)) if speakers.kind == "strings" else []
    return len(names) > 1 and len(set(names)) == len(names)


def _describe(member: Member) -> str:
    if member.kind == "dialogue ids":
        return f"{len(member.ids)} dialogue ids"
    return f"{member.kind} of {len(member.rows)} dialogues" if member.rows else member.kind
