"""Typed conversations: one turn per line, `Name: words`, with optional times in front."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..conversations import Conversation, TextFile, parse_conversation
from .limits import PageError

NOBODY = "?"


def read_script(text: str) -> Conversation:
    """Reads typed or pasted text: lines such as `Ann: We won!`, `[0:01.0 - 0:02.5] Ann: We won!` or `We won!`.

    The content of a file that `read_conversation` reads, such as subtitles, is recognised as well.

    Args:
        text: the lines; empty lines are skipped, and the name `?` stands for an unknown speaker.

    Raises:
        PageError: there is no line, or the text cannot be read.

    Example:
        >>> read_script("[0:01 - 0:02.5] Ann: We won!").utterances
        [{'speaker': 'Ann', 'text': 'We won!', 'start': 1.0, 'end': 2.5}]
    """
    if not text.strip():
        raise PageError("The conversation is empty: write a line such as “Ann: We won!”, or open a file.")
    try:
        return parse_conversation(TextFile(Path("text.txt"), text.replace("\r\n", "\n")))
    except ValueError as error:
        raise PageError(str(error).replace("text.txt, line", "Line")) from error


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
    speaker = re.sub(r"[:?!,;\[\]()<>{}|/\"\uff1a\s]+", " ", utterance.get("speaker") or "").strip()[:40] or NOBODY
    return f"{times}{speaker}: {' '.join((utterance.get('text') or '').split())}".rstrip()


def clock(seconds: float) -> str:
    """Formats seconds as `minutes:seconds`.

    Example:
        >>> clock(62.5)
        '1:02.5'
    """
    minutes, rest = divmod(round(1000 * seconds), 60_000)
    return f"{minutes}:{rest // 1000:02d}.{rest % 1000:03d}".rstrip("0").rstrip(".")
