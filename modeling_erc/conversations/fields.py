"""Names that tools give to the text, the speaker and the times of an utterance, and the checks of their values."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..registry_erc import MODALITIES
from .clock import are_milliseconds, frame_rate_of, parse_time
from .text_file import TextFile

# In order of preference; compared in lower case without blanks and punctuation.
FIELDS = {
    "text": "text transcript transcription sentence utterance content message caption subtitle punctuatedword word "
    "displaytext display body utf8 value",
    "speaker": "speaker speakername speakerlabel speakerid speakertag spk spkid author participant participantrole "
    "character sender user username realname from name role channeltag",
    "start": "start starttime begin begintime from tstart t0 ts startts onset xmin timestart starttimestamp "
    "startoffset beginoffset offset offsetinticks timestamp time timein in timecodein timecodestart timecode",
    "end": "end endtime stop stoptime to tend t1 endts finish xmax timeend endtimestamp endoffset timeout out "
    "timecodeout timecodeend",
    "duration": "duration dduration dur durationinticks",
}
ALIASES = {field: names.split() for field, names in FIELDS.items()}
UNIT = re.compile(r"(.+?)(?:in)?(ms|msec|millis|milliseconds|s|sec|secs|seconds|ticks)")
SCALES = {"m": 1e-3, "s": 1.0, "t": 1e-7}
MEDIA = {MODALITIES[m].raw[0]: MODALITIES[m].raw for m in ("audio", "vision")}
# Short names first, as a message lists them.
CONTENT = ("text", *MEDIA, *(names[-1] for names in MEDIA.values()))
Row = dict[str, Any]
Placed = tuple[int, str, Row]


def read_fields(row: Mapping[str, Any]) -> Row:
    """Returns the entries of a row under our names: text, speaker, start, end, and the media.

    A time is a pair of its value and the factor to seconds, which is None if the name does not say its unit.
    """
    keys: dict[str, tuple[Any, float | None]] = {}
    for key, value in row.items():
        if value is None or value == "":
            continue
        name = re.sub(r"[\W_]+", "", str(key).lower())
        keys.setdefault(name, (value, SCALES["t"] if name.endswith("ticks") else None))
        if (match := UNIT.fullmatch(name)) and match[1] in ALIASES["start"] + ALIASES["end"] + ALIASES["duration"]:
            keys.setdefault(match[1], (value, SCALES[match[2][0]]))
    # Pairs: `timestamp: [0.5, 4.1]`, `offsets: {"from": 500, "to": 4153}`.
    for name, factor in (("timestamps", None), ("offsets", 1e-3), ("timestamp", None)):
        pair = keys.get(name, (None, None))[0]
        ends = [pair.get("from"), pair.get("to")] if isinstance(pair, Mapping) else pair
        if isinstance(ends, Sequence) and not isinstance(ends, str):
            del keys[name]
            if len(ends) == 2 and not any(isinstance(time, Sequence) and not isinstance(time, str) for time in ends):
                keys.update({field: (time, factor) for field, time in zip(("start", "end"), ends, strict=True)})
    fields: Row = {name: row[name] for names in MEDIA.values() for name in names if row.get(name) is not None}
    for field, aliases in ALIASES.items():
        for alias in aliases:
            value, factor = keys.get(alias, (None, None))
            # `from` is a person in one form and a time in another.
            if value is None or (alias == "from" and (field == "speaker") != (parse_time(value) is None)):
                continue
            fields[field] = value if field in ("text", "speaker") else (value, factor)
            break
    fields["text"], fields["speaker"] = _text(fields.get("text")), _speaker(fields.get("speaker"))
    return fields


def _text(value: Any) -> Any:
    """Joins the parts of a formatted text, strings and `{"text": ...}`."""
    if isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
        return "".join(str(part.get("text", "")) if isinstance(part, Mapping) else str(part) for part in value)
    return value


def _speaker(value: Any) -> Any:
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("name", "displayName", "label", "id") if value.get(key) is not None), None)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def resolve_times(file: TextFile, rows: Sequence[Placed]) -> list[Placed]:
    """Converts the times of rows, and of their `words`, to seconds; a duration becomes an end.

    Args:
        file: the file, for messages and notes.
        rows: for each row its line, its place for the message, and the output of `read_fields`.

    Raises:
        ConversationError: a time is invalid.
    """
    rate = frame_rate_of([row[field][0] for *_, row in rows for field in ("start", "end") if field in row])
    if rate:
        file.notes.append(f"time codes are read with {rate:g} frames per second")
    spans: list[tuple[float, float | None, int]] = []
    for *_, row in rows:
        start, end = (parse_time(row[field][0]) if field in row else None for field in ("start", "end"))
        if start and not start[1] and row["start"][1] is None:
            spans.append((start[0], end[0] if end else None, len(row["text"]) if isinstance(row["text"], str) else 0))
    scale = 1.0
    if are_milliseconds(spans):
        scale = 1e-3
        file.notes.append("times are milliseconds")
    return [(line, place, _seconds(file, line, place, row, rate or 25.0, scale)) for line, place, row in rows]


def _seconds(file: TextFile, line: int, place: str, row: Row, rate: float, scale: float) -> Row:
    resolved = dict(row)
    for name in ("start", "end", "duration"):
        if name in row:
            value, factor = row[name]
            time = parse_time(value, rate)
            if time is None:
                raise file.error(line, f"{place}{name} is {str(value)[:40]!r}: write seconds, like 62.5")
            number, in_seconds = time
            resolved[name] = round(number if in_seconds else number * (scale if factor is None else factor), 3)
    length = resolved.pop("duration", None)
    if length is not None and "start" in resolved:
        resolved.setdefault("end", round(resolved["start"] + length, 3))
    if "words" in row:
        resolved["words"] = [_seconds(file, line, place, word, rate, scale) for word in row["words"]]
    return resolved


def check_utterance(file: TextFile, line: int, place: str, row: Row) -> Row:
    """Checks the entries of a row whose times are seconds, and returns those that the pipeline reads.

    Raises:
        ConversationError: an entry is invalid; the message names file, line and remedy.
    """
    utterance: Row = {}
    for name in ("speaker", "text"):
        value = row.get(name)
        if not isinstance(value, str | None):
            raise file.error(line, f"{place}{name} is {str(value)[:40]!r}: write it as text")
        utterance[name] = value.strip() or None if value else None
    utterance.update({name: row[name] for name in ("start", "end") if row.get(name) is not None})
    start, end = utterance.get("start", 0.0), utterance.get("end")
    if end is not None and end < start:
        raise file.error(line, f"{place}end {end:g} is before start {start:g}: correct them")
    for medium, names in MEDIA.items():
        value = next((row[name] for name in names if row.get(name) is not None), None)
        if not isinstance(value, str | None):
            raise file.error(line, f"{place}{medium} is {str(value)[:40]!r}: write the path of a file")
        if value is not None and "://" in value:
            raise file.error(line, f"{place}{medium} {value!r} is a URL: download it and write its path")
        if value is not None:
            utterance[medium] = str(file.path.parent / value)
    if not any(utterance.get(name) for name in CONTENT):
        raise file.error(line, f"{place}an utterance without {', '.join(CONTENT[:3])}: give it one, or remove it")
    return utterance


def build_utterances(file: TextFile, rows: Sequence[Placed]) -> list[Row]:
    """Returns the checked utterances of rows; see `resolve_times` and `check_utterance`."""
    return [check_utterance(file, *row) for row in resolve_times(file, rows)]
