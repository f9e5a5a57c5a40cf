"""Reads conversations from plain text: lines of speakers, transcripts with headings, and exported chats."""

import re
from typing import Any

from .clock import parse_time
from .speakers import find_speakers, split_speaker
from .text_file import TextFile

Row = dict[str, Any]
TIME = r"(?:\d{2}:\d{2}:\d{2}[:;]\d{2}|(?:\d{1,6}:)?\d{1,2}:\d{2}(?:[.,]\d{1,6})?)"
ANY_TIME = rf"(?:{TIME}|\d{{1,9}}(?:[.,]\d{{1,6}})?)"
DASH = r"\s*(?:-{1,3}>?|\u2013|\u2014|to|,)\s*"
# Times in front of a line: `[0:01 - 0:02.5]`, `0:01.000,0:02.500`, `[00:00:01]`, `(0:01)`, `0:01`.
BOTH_TIMES = re.compile(rf"[\[(]\s*({ANY_TIME})s?{DASH}({ANY_TIME})s?\s*[\])]:?\s*|({TIME}){DASH}({TIME})(?:\s+|$)")
ONE_TIME = re.compile(rf"[\[(]\s*({TIME})\s*[\])]:?\s*|({TIME})(?:\s+|$)")
# A speaker with a time and no words is a heading: `Anna Smith  0:00`, `Speaker 1 (00:01):`, `[Ann] 21:40:10`.
HEADING = re.compile(rf"\[?([^\W\d_][^\n:\[\]()<>?!;]{{0,59}}?)\]?\s*[\s(\[]\s*({TIME})\s*[\])]?\s*:?\s*")
# Marks of a new turn without a name.
TURN_MARK = re.compile(r"\A\s*(?:>{2,3}|[-\u2013\u2014\u2022])\s+(?=\S)")
FOOTER = re.compile(
    r"(?:transcribed|transcript|generated|created) (?:by|with) .{0,80}|.{1,60} (?:started|stopped) transcription",
    re.IGNORECASE,
)
NAME = re.compile(r"[^\W\d_][^.?!,:;\d]{0,39}")

TIMES_OF_DAY = "the times are times of day, so they are left out"
HOUR = 3600
# The stamps of chats: WhatsApp on Android (`12/31/23, 9:41 PM - `) and iOS (`[31.12.23, 21:41:10] `), and Zoom.
DATE = r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}"
DAYTIME = r"\d{1,2}[:.]\d{2}(?:[:.]\d{2})?(?:\s?[AaPp]\.?\s?[Mm]\.?)?"
STAMP = re.compile(rf"\[{DATE},?\s+{DAYTIME}\]\s*|{DATE},?\s+{DAYTIME}\s+[-\u2013]\s+")
ZOOM = re.compile(r"\d{2}:\d{2}:\d{2}\s+From\s+")
ZOOM_HEAD = re.compile(r"([^:\n]{1,80}?)(?:\s+to\s+[^:\n]{1,80}?)?\s*:\s*")
SENDER = re.compile(r"([^:\n]{1,80}):\s?")
NO_MESSAGE = re.compile(
    r"<[^<>]{1,60}>|[\w ]{1,30} omitted|"
    r".{0,200}\((?:file attached|.{1,40} angehängt)\)|<?(?:attached|anhang): .{0,200}>?|"
    r"(?:this message was|you) deleted(?: this message)?\.?|(?:null|missed (?:voice|video) call)",
    re.IGNORECASE,
)
EDITED = re.compile(r"\s*<(?:this message was edited|diese nachricht wurde bearbeitet)>$", re.IGNORECASE)
# Marks of writing direction and the narrow blank before PM.
MARKS = {ord(mark): None for mark in "\u200e\u200f\u202a\u202c\ufeff"} | {0x202F: " ", 0xA0: " "}


def read_text(file: TextFile) -> list[Row]:
    """Reads plain text: an exported chat, a transcript with headings, or a turn per line."""
    lines = file.lines
    spoken = [line.translate(MARKS).strip() for line in lines if line.strip()]
    for stamp, head in ((STAMP, SENDER), (ZOOM, ZOOM_HEAD)):
        if spoken and stamp.match(spoken[0]):
            return _chat(file, lines, stamp, head)
    if sum(bool(HEADING.fullmatch(line)) for line in spoken) > (0 if len(spoken) < 3 else 1):
        return _with_headings(file, spoken)
    if sum(bool(ONE_TIME.fullmatch(line) or BOTH_TIMES.fullmatch(line)) for line in spoken) > 1:
        return _below_times(file, lines)
    return _lines(file, lines)


def _chat(file: TextFile, lines: list[str], stamp: re.Pattern[str], head: re.Pattern[str]) -> list[Row]:
    """Reads messages that begin with a date and a time; a line without these continues the message above it."""
    messages: list[tuple[str, list[str]]] = []
    left_out = 0
    open_message = False
    for line in lines:
        text = line.translate(MARKS).strip()
        match = stamp.match(text)
        if match:
            sender = head.match(text, match.end())
            # WhatsApp on iOS writes this mark in front of the messages of the system and of media.
            open_message = sender is not None and ": \u200e" not in line
            if sender and open_message:
                messages.append((sender[1].strip("~ "), [text[sender.end() :]]))
            else:
                left_out += 1
        elif text and open_message:
            messages[-1][1].append(text)
    rows = []
    for name, parts in messages:
        text = EDITED.sub("", " ".join(part for part in parts if part)).strip()
        if text and not NO_MESSAGE.fullmatch(text):
            rows.append({"speaker": name, "text": text})
        else:
            left_out += 1
    file.notes.append(TIMES_OF_DAY)
    if left_out:
        file.notes.append(f"{left_out} message(s) without words, such as those of the system or media, are left out")
    return rows


def _with_headings(file: TextFile, lines: list[str]) -> list[Row]:
    """Reads turns below headings of speaker and start."""
    rows: list[Row] = []
    for line in lines:
        if match := HEADING.fullmatch(line):
            time = parse_time(match[2])
            rows.append({"speaker": match[1].strip(), "text": None, "start": time[0] if time else 0.0})
        elif rows and not FOOTER.fullmatch(line):
            rows[-1]["text"] = f"{rows[-1]['text']} {line}" if rows[-1]["text"] else line
    rows = [row for row in rows if row["text"]]
    if rows and rows[0]["start"] > HOUR and rows[-1]["start"] < 2 * rows[0]["start"]:
        file.notes.append(TIMES_OF_DAY)
        rows = [{"speaker": row["speaker"], "text": row["text"]} for row in rows]
    return rows


def _below_times(file: TextFile, lines: list[str]) -> list[Row]:
    """Reads turns below lines of times; a name can be on the line above or in front of the words."""
    spoken = [line.strip() for line in lines if line.strip()]
    at = [place for place, line in enumerate(spoken) if ONE_TIME.fullmatch(line) or BOTH_TIMES.fullmatch(line)]
    above = [spoken[place - 1] if place else "" for place in at]
    name_above = all(0 < len(line) <= 60 and not re.search(r"[.?!,:]$", line) for line in above)
    below = list(zip(at, [*at[1:], len(spoken)], strict=True))
    name_below = not name_above and all(end - place > 2 and NAME.fullmatch(spoken[place + 1]) for place, end in below)
    names = find_speakers(line for place, line in enumerate(spoken) if place not in set(at))
    rows: list[Row] = []
    for place, end in below:
        times, _ = _times(file, 0, spoken[place])
        words = spoken[place + 1 + name_below : end - 1 if name_above and end < len(spoken) else end]
        first = len(rows)
        speaker: str | None
        for line in words:
            if FOOTER.fullmatch(line):
                continue
            if name_above or name_below:
                speaker, text = spoken[place - 1 if name_above else place + 1], line
            else:
                speaker, text = split_speaker(line, names)
            if len(rows) == first or (speaker and not name_above and not name_below):
                rows.append({"speaker": speaker, "text": text, **(times if len(rows) == first else {})})
            else:
                rows[-1]["text"] += f" {text}"
    return rows


def _lines(file: TextFile, lines: list[str]) -> list[Row]:
    """Reads a turn per line, each with optional times and speaker."""
    plain = ((number, line.translate(MARKS).strip()) for number, line in enumerate(lines, start=1))
    parsed = [(number, *_times(file, number, line)) for number, line in plain if line]
    names = find_speakers([line for *_, line in parsed], lines=True)
    rows = []
    for _, times, line in parsed:
        speaker, text = split_speaker(line, names)
        text = TURN_MARK.sub("", text)
        if not (FOOTER.fullmatch(text) and not speaker):
            rows.append({"speaker": speaker, "text": text.strip() or None, **times})
    return rows


def _times(file: TextFile, number: int, line: str) -> tuple[dict[str, float], str]:
    """Returns the times in front of a line, and the rest of the line."""
    if match := BOTH_TIMES.match(line):
        start, end = (parse_time(text) for text in match.groups() if text)
        assert start and end
        if end[0] < start[0]:
            raise file.error(number, f"the turn ends before it begins: correct {match[0].strip()}")
        return {"start": round(start[0], 3), "end": round(end[0], 3)}, line[match.end() :]
    if match := ONE_TIME.match(line):
        time = parse_time(match[1] or match[2])
        return {"start": round(time[0], 3)} if time else {}, line[match.end() :]
    return {}, line
