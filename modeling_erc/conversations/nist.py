"""Reads the transcripts of NIST's scoring tools: segments (STM) and timed words (CTM)."""

import re

from .fields import Placed, Row, build_utterances, check_utterance, resolve_times
from .text_file import TextFile
from .words import group_words

LABELS = re.compile(r"<[^<>\s]*>")
NO_SPEAKER = ("inter_segment_gap", "excluded_region")
# `{ a / b }` lists alternatives, best first, in which `@` is no word; `%uh` and tags such as `[noise]` are no words.
ALTERNATIVES = re.compile(r"\{([^{}/]*)(?:/[^{}]*)?\}")
NO_WORD = re.compile(r"<[^<>\s]*>|\[[^\[\]\s]*\]|\(?%\S*|@|ignore_time_segment_in_scoring")
# Types of words in CTM files that are not spoken words.
NO_WORD_TYPES = ("non-lex", "misc", "noscore")
UNKNOWN = ("na", "null", "unknown", "<na>")


def read_stm(file: TextFile) -> list[Row]:
    """Reads lines of recording, channel, speaker, start, end, labels in angle brackets, and words."""
    rows: list[Placed] = []
    for number, cells in _lines(file, 5):
        speaker, start, end, *rest = cells[2:]
        words = LABELS.sub("", rest[0], count=1) if rest and rest[0].startswith("<") else " ".join(rest)
        text = _words(words)
        if text and speaker.lower() not in NO_SPEAKER:
            rows.append((number, "", {"speaker": speaker, "text": text, "start": (start, 1.0), "end": (end, 1.0)}))
    return build_utterances(file, rows)


def read_ctm(file: TextFile) -> list[Row]:
    """Reads lines of recording, channel, start, duration and word, and perhaps confidence, type and speaker."""
    rows: list[Placed] = []
    channels = []
    alternative = 0  # place of the one being read; only the first is kept
    for number, cells in _lines(file, 8):
        start, duration, word, *rest = cells[2:]
        mark = word.upper()
        alternative = {"<ALT_BEGIN>": 1, "<ALT>": alternative + 1, "<ALT_END>": 0}.get(mark, alternative)
        kind, speaker = (*rest[1:3], "", "")[:2]
        text = _words(word)
        if text and alternative < 2 and kind.lower() not in NO_WORD_TYPES:
            times = {"start": (start, 1.0), "duration": (duration, 1.0)}
            named = speaker if speaker.lower() not in UNKNOWN else ""
            rows.append((number, "", {"speaker": named or None, "text": text, **times}))
            channels.append(cells[1])
    if len(set(channels)) > 1 and not any(row["speaker"] for *_, row in rows):
        for (*_, row), channel in zip(rows, channels, strict=True):
            row["speaker"] = f"channel {channel}"
    words = sorted((row for *_, row in resolve_times(file, rows)), key=lambda row: row["start"])
    return [check_utterance(file, 1, "", row) for row in group_words(words)]


def _lines(file: TextFile, splits: int) -> list[tuple[int, list[str]]]:
    """Returns number and cells of each line that is not a comment.

    Raises:
        ConversationError: a line is too short, or the file holds more than one recording.
    """
    found: list[tuple[int, list[str]]] = []
    for number, line in enumerate(file.lines, start=1):
        if line.strip() and not line.lstrip().startswith(";;"):
            cells = line.split(None, splits)
            if len(cells) < 5:
                raise file.error(number, f"{line.strip()[:60]!r} has {len(cells)} columns: expected at least 5")
            if found and cells[0] != found[0][1][0]:
                raise file.error(number, f"a second recording, {cells[0][:40]!r}: keep the lines of one recording")
            found.append((number, cells))
    return found


def _words(text: str) -> str:
    text = NO_WORD.sub(" ", ALTERNATIVES.sub(r"\1", text))
    return " ".join(re.sub(r"[()]", "", text).split())
