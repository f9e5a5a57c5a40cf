"""Reads conversations from plain text: lines of speakers, transcripts with headings, and exported chats."""

import re
from collections import Counter
from itertools import pairwise
from typing import Any

from .clock import SPOKEN, parse_time
from .speakers import are_names, find_speakers, split_speaker
from .text_file import TextFile

Row = dict[str, Any]
TIME = (
    r"(?:\d{2}:\d{2}:\d{2}[:;]\d{2}|\d{1,6}:\d{1,2}:\d{1,2}[.,]\d{1,6}|(?:\d{1,6}:)?\d{1,2}:\d{2}(?:[.,]\d{1,6})?|"
    rf"{re.sub(r'[(](?=[^?])', '(?:', SPOKEN.pattern)})"
)
ANY_TIME = rf"(?:{TIME}|\d{{1,9}}(?:[.,]\d{{1,6}})?)"
DASH = r"\s*(?:-{1,3}>?|\u2013|\u2014|to|,)\s*"
# Times in front of a line: `[0:01 - 0:02.5]`, `0:01.000,0:02.500`, `[00:00:01]`, `(0:01)`, `0:01`.
BOTH_TIMES = re.compile(rf"[\[(]\s*({ANY_TIME})s?{DASH}({ANY_TIME})s?\s*[\])]:?\s*|({TIME}){DASH}({TIME})(?:\s+|$)")
ONE_TIME = re.compile(rf"[\[(]\s*({TIME})\s*[\])]:?\s*|({TIME})(?:\s+|$)")
# A speaker with a time and no words is a heading: `Anna Smith  0:00`, `Speaker 1 (00:01):`, `[Ann] 21:40:10`.
NAME = r"([^\W\d_][^\n:\[\]()<>?!;]{0,59}?)(?:\s?\([^()\n]{1,40}\))?"
HEADING = re.compile(rf"\[?{NAME}\]?\s{{0,9}}[\s(\[]\s?({TIME})\s?[\])]?\s?:?", re.IGNORECASE)
# A time between a speaker and the words: `Ann: [0:01] Hi`, `Ann (0:01): Hi`.
INNER_TIME = re.compile(rf"{NAME}(?::\s?[\[(]({TIME})[\])]|\s?[\[(]({TIME})[\])]\s?:)\s*", re.IGNORECASE)
# Marks of a new turn without a name.
TURN_MARK = re.compile(r"\A\s*(?:>{2,3}|[-\u2013\u2014\u2022])\s+(?=\S)")
FOOTER = re.compile(
    r"\[(?:by|re|ve|la|ti|ar|al|au):.{0,80}|"
    r"(?:transcribed|transcript|generated|created) (?:by|with) .{0,80}|.{1,60} (?:started|stopped) transcription",
    re.IGNORECASE,
)

TIMES_OF_DAY = "the times are times of day, so they are left out"
HOUR = 3600
# The stamps of chats: WhatsApp on Android (`12/31/23, 9:41 PM - `) and iOS (`[31.12.23, 21:41:10] `), and Zoom.
DATE = r"\d{1,4}[./-]\s?\d{1,2}[./-]\s?\d{1,4}"
# PM, p.m., p. m., and the words of other languages before or after the time.
HALF = r"(?:\s?[^\W\d_]{1,2}\.?(?:\s?[^\W\d_]\.?)?)?"
DAYTIME = rf"[^\d\s\[\]]{{0,3}}\s?\d{{1,2}}[:.]\d{{2}}(?:[:.]\d{{2}})?{HALF}"
STAMP = re.compile(rf"\[{DATE}[.,]?\s+{DAYTIME}\]\s*|{DATE}[.,]?\s+{DAYTIME}\s+[-\u2013]\s+")
ZOOM = re.compile(rf"(?:{DATE}\s+)?\d{{1,2}}:\d{{2}}:\d{{2}}{HALF}\s+From\s+")
ZOOM_HEAD = re.compile(r"([^:\n]{1,80}?)(?:\s+to\s+[^:\n]{1,80}?)?\s*:\s*")
SENDER = re.compile(r"([^:\"\u201c\n]{1,80}):\s?")
NO_MESSAGE = re.compile(
    r"<[^<>]{1,60}>|[\w ]{1,30} omitted|"
    r".{0,200}\((?:file attached|.{1,40} angehängt)\)|<?(?:attached|anhang): .{0,200}>?|"
    r"(?:reacted to|removed a .{1,20} reaction from) \".{0,300}\"(?: with .{1,20})?|"
    r"(?:this message was|you) deleted(?: this message)?\.?|(?:null|missed (?:voice|video) call)",
    re.IGNORECASE,
)
# Zoom puts the message that is answered in front of the answer.
QUOTE = re.compile(r'\Areplying to ".{0,300}?"\s+', re.IGNORECASE)
EDITED = re.compile(r"\s*<(?:this message was edited|diese nachricht wurde bearbeitet)>$", re.IGNORECASE)
# Marks of writing direction and the narrow blank before PM.
MARKS = {ord(mark): None for mark in "\u200e\u200f\u202a\u202c\ufeff"} | {0x202F: " ", 0xA0: " "}


def read_text(file: TextFile) -> list[Row]:
    """Reads plain text: an exported chat, a transcript with headings, or a turn per line."""
    lines = file.lines
    spoken = [text for line in lines if (text := line.translate(MARKS).strip())]
    for stamp, head in ((STAMP, SENDER), (ZOOM, ZOOM_HEAD)):
        if spoken and stamp.match(spoken[0]):
            return _chat(file, lines, stamp, head)
    spoken = _without_repeats(spoken)
    headings = [match[1] for line in spoken if (match := HEADING.fullmatch(line))]
    names = {name for name, count in Counter(headings).items() if count > 1 or are_names([name])}
    if names and len(headings) > (0 if len(spoken) < 3 else 1):
        return _with_headings(file, spoken, names)
    if sum(map(_is_time, spoken)) > 1:
        return _below_times(file, spoken)
    return _lines(file, lines)


def read_markdown(file: TextFile) -> list[Row]:
    """Reads Markdown, as Descript exports it: without its marks; a paragraph without speaker has the last one."""
    lines = [re.sub(r"\*{1,3}|__|\\(?=[^\w\s])", "", line) for line in file.lines if not re.match(r"#{1,6}\s", line)]
    rows = read_text(TextFile(file.path, "\n".join(lines), file.notes))
    for last, row in pairwise(rows):
        row["speaker"] = row["speaker"] or last["speaker"]
    return rows


def _is_time(line: str) -> bool:
    return bool(ONE_TIME.fullmatch(line) or BOTH_TIMES.fullmatch(line))


def _without_repeats(lines: list[str]) -> list[str]:
    """Drops what Teams' window adds to a copied text: a time given twice, and initials above a name and its time."""
    kept: list[str] = []
    for line, name, time in zip(lines, [*lines[1:], ""], [*lines[2:], "", ""], strict=False):
        initials = len(line) < 4 and line.isupper() and _is_time(time) and all(sign in name for sign in line)
        if not initials and not (kept and _is_time(line) and _is_time(kept[-1])):
            kept.append(line)
    return kept


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
        text = QUOTE.sub("", EDITED.sub("", " ".join(part for part in parts if part))).strip()
        if text and not NO_MESSAGE.fullmatch(text):
            rows.append({"speaker": name, "text": text})
        else:
            left_out += 1
    file.notes.append(TIMES_OF_DAY)
    if left_out:
        file.notes.append(f"{left_out} message(s) without words, such as those of the system or media, are left out")
    return rows


def _with_headings(file: TextFile, lines: list[str], names: set[str]) -> list[Row]:
    """Reads turns below headings of speaker and start; Teams repeats both above them in lines of their own."""
    rows: list[Row] = []
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        match = HEADING.fullmatch(line)
        if match and match[1] in names:
            time = parse_time(match[2])
            rows.append({"speaker": match[1].strip(), "text": [], "start": time[0] if time else 0.0})
        elif rows and not (FOOTER.fullmatch(line) or _is_time(line) or (line in names and _is_time(after))):
            rows[-1]["text"].append(line)
    rows = _joined(rows)
    if rows and rows[0]["start"] > HOUR and rows[-1]["start"] < 2 * rows[0]["start"]:
        file.notes.append(TIMES_OF_DAY)
        rows = [{"speaker": row["speaker"], "text": row["text"]} for row in rows]
    return rows


def _below_times(file: TextFile, spoken: list[str]) -> list[Row]:
    """Reads turns below lines of times; a name can be on the line above or in front of the words."""
    at = [place for place, line in enumerate(spoken) if _is_time(line)]
    above = [spoken[place - 1] if place else "" for place in at]
    name_above = all(0 < len(line) <= 60 and not re.search(r"[.?!,:]$", line) for line in above)
    below = list(zip(at, [*at[1:], len(spoken)], strict=True))
    name_below = (
        not name_above
        and all(end - place > 2 for place, end in below)
        and are_names([spoken[place + 1] for place in at])
    )
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
                rows.append({"speaker": speaker, "text": [text], **(times if len(rows) == first else {})})
            else:
                rows[-1]["text"].append(text)
    return _joined(rows)


def _joined(rows: list[Row]) -> list[Row]:
    """Joins the lines of each turn at once: appending line by line would copy the text each time."""
    return [{**row, "text": " ".join(row["text"])} for row in rows if row["text"]]


def _lines(file: TextFile, lines: list[str]) -> list[Row]:
    """Reads a turn per line, each with optional times and speaker; one without either continues a turn with a start."""
    plain = ((number, line.translate(MARKS).strip()) for number, line in enumerate(lines, start=1))
    parsed = [(number, *_times(file, number, line)) for number, line in plain if line]
    names = find_speakers([line for *_, line in parsed], lines=True)
    rows: list[Row] = []
    for _, times, line in parsed:
        speaker, text = split_speaker(line, names)
        text = TURN_MARK.sub("", text)
        # Whoever writes both times of a turn, as the page does, writes it in one line.
        wrapped = rows and rows[-1]["speaker"] and "start" in rows[-1] and "end" not in rows[-1]
        if wrapped and not (speaker or times):
            rows[-1]["text"].append(text)
        elif not (FOOTER.fullmatch(text) and not speaker):
            rows.append({"speaker": speaker, "text": [text.strip()], **times})
    return [{**row, "text": " ".join(row["text"]) or None} for row in rows]


def _times(file: TextFile, number: int, line: str) -> tuple[dict[str, float], str]:
    """Returns the times in front of a line, or behind its speaker, and the rest of the line."""
    if match := INNER_TIME.match(line):
        line = f"[{match[2] or match[3]}] {match[1]}: {line[match.end() :]}"
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
