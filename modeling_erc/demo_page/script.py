"""Typed conversations: one turn per line, `Name: words`, with optional times in front."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..conversations import Conversation
from .limits import PageError

CLOCK = r"\s*((?:(?:\d+:)?\d{1,2}:)?\d+(?:[.,]\d{1,3})?)\s*"
TIMES = re.compile(rf"\[{CLOCK}(?:-+>?|\u2013|\u2014){CLOCK}\]\s*")
# A colon inside a sentence, a clock time or an address does not end a speaker's name.
SPEAKER = re.compile(r"([^:?!,;\[\]]{1,40}|\?):(?:\s+|$)")
NOBODY = "?"
# Matched line by line: on the whole text, the time would grow with the square of the number of empty lines.
SUBTITLES = re.compile(r"[\d:.,\s]+-->\s*\d")


def read_script(text: str) -> Conversation:
    """Reads lines such as `Ann: We won!`, `[0:01.0 - 0:02.5] Ann: We won!` or `We won!`.

    Args:
        text: the lines; empty lines are skipped, and the name `?` stands for an unknown speaker.

    Raises:
        PageError: there is no line, a turn ends before it begins, or the text is a subtitle file.

    Example:
        >>> read_script("[0:01 - 0:02.5] Ann: We won!").utterances
        [{'speaker': 'Ann', 'text': 'We won!', 'start': 1.0, 'end': 2.5}]
    """
    lines = text.splitlines()
    if any(SUBTITLES.match(line) for line in lines):
        raise PageError("These look like the lines of a subtitle file: open them as a file (.srt or .vtt).")
    numbered = ((number, line.strip()) for number, line in enumerate(lines, start=1))
    utterances = [_utterance(number, line) for number, line in numbered if line]
    if not utterances:
        raise PageError("The conversation is empty: write a line such as “Ann: We won!”, or open a file.")
    return Conversation(utterances)


def _utterance(number: int, line: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    times = TIMES.match(line)
    if times:
        found["start"], found["end"] = _seconds(times[1]), _seconds(times[2])
        if found["end"] < found["start"]:
            raise PageError(f"Line {number} ends before it begins: correct {times[0].strip()}.")
        line = line[times.end() :]
    speaker = SPEAKER.match(line)
    words = line[speaker.end() :] if speaker else line
    name = speaker[1].strip() if speaker else NOBODY
    return {"speaker": None if name == NOBODY else name, "text": words or None, **found}


def _seconds(clock: str) -> float:
    seconds = 0.0
    for part in clock.replace(",", ".").split(":"):
        seconds = 60 * seconds + float(part)
    return round(seconds, 3)


def write_script(utterances: Iterable[Mapping[str, Any]]) -> str:
    """Writes utterances in the form of `read_script`.

    Example:
        >>> write_script([{"speaker": "Ann", "text": "We won!", "start": 1.0, "end": 2.5}])
        '[0:01 - 0:02.5] Ann: We won!'
    """
    return "\n".join(_line(utterance) for utterance in utterances)


def _line(utterance: Mapping[str, Any]) -> str:
    start, end = utterance.get("start"), utterance.get("end")
    times = "" if start is None or end is None else f"[{clock(start)} - {clock(end)}] "
    speaker = re.sub(r"[:?!,;\[\]\s]+", " ", utterance.get("speaker") or "").strip()[:40] or NOBODY
    return f"{times}{speaker}: {' '.join((utterance.get('text') or '').split())}".rstrip()


def clock(seconds: float) -> str:
    """Formats seconds as `minutes:seconds`.

    Example:
        >>> clock(62.5)
        '1:02.5'
    """
    minutes, rest = divmod(round(1000 * seconds), 60_000)
    return f"{minutes}:{rest // 1000:02d}.{rest % 1000:03d}".rstrip("0").rstrip(".")
