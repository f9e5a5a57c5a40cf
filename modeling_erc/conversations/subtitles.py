"""Reads subtitles (SubRip and WebVTT) as utterances with speaker, text and times."""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from .clock import parse_time
from .speakers import are_names, find_speakers, split_speaker
from .text_file import TextFile
from .words import merge_captions

Voices = list[tuple[str | None, list[str]]]

# The number of digits is limited, since `int` and `float` fail on very long numbers.
CLOCK = r"((?:\d{1,6}:)?\d{1,2}:\d{1,2}(?:[,.]\d{1,9})?)"
TIMES = re.compile(rf"\s*{CLOCK}\s*-->\s*{CLOCK}(?:\s.*)?")
REMEDY = "write times as 00:01:02,500 --> 00:01:04,000"

# No part of these patterns matches past the start of the next tag or what the part before it matches: otherwise a line
# of unclosed tags would take quadratic time.
VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s+([^\s<>][^<>]*)>")
# Tags of HTML and WebVTT, the readings of its ruby text, its inline times, and the {\an8} of Advanced SubStation.
TAG = re.compile(r"<rt>[^<>]*</rt>|</?[a-zA-Z][^<>]*>|<[\d:.]+>|\{\\[^{}]*\}")
# Only at the beginning of a line: "Jean-Luc" has none.
DASH = re.compile(r"\A\s*(?:[-\u2013]|>>)\s*(?=\S)")
INLINE_TIME = re.compile(r"<[\d:.]{5,16}>")
# Python cannot parse numbers of this length; in HTML an invalid character number stands for U+FFFD.
INVALID_REFERENCE = re.compile(r"&#[0-9]{4000,};?")
# "[door slams]", "(sighs)", "♪ la la ♪": the description of a sound, or a song.
NO_SPEECH = re.compile(r"(?:\s|[♪♫#*]|\[[^\]]*\]|\([^)]*\))*|[♪♫].*[♪♫]\s*", re.DOTALL)


@dataclass
class Cue:
    """A cue: times in seconds, line number of the times in the file (from 1), and lines of text."""

    start: float
    end: float
    line: int
    lines: list[str]


@dataclass
class Turn:
    """The text of one speaker within a cue; the speaker is None if the subtitles name none."""

    speaker: str | None
    text: str


def read_srt(file: TextFile) -> list[dict[str, Any]]:
    """Reads the utterances of SubRip subtitles."""
    return utterances(file, cues(file, first=1))


def read_vtt(file: TextFile) -> list[dict[str, Any]]:
    """Reads the utterances of WebVTT subtitles."""
    if not re.match(r"WEBVTT(?:[ \t\n]|$)", file.text):
        raise file.error(1, "a WebVTT file begins with the line WEBVTT: add it, or name the file .srt if it is SubRip")
    # The header ends at the first empty line, or at the first times where that line lacks.
    header = next((n for n, line in enumerate(file.lines) if not line.strip() or "-->" in line), len(file.lines))
    return utterances(file, cues(file, first=header + 1))


def cues(file: TextFile, first: int) -> Iterator[Cue]:
    """Yields the cues from line `first` on: blocks between empty lines, of an optional name, times, and text.

    Raises:
        ConversationError: times are invalid or end before they start, or text has no times.
    """
    block: list[tuple[int, str]] = []
    lines = [*file.lines[first - 1 :], ""]
    for number, line in enumerate(lines, start=first):
        # YouTube writes a blank into the empty lines of its cues; other blank lines end a cue.
        after = lines[number - first + 1 : number - first + 3]
        if line.strip():
            block.append((number, line))
        elif block and not (line and after and after[0].strip() and not any("-->" in text for text in after)):
            cue = _cue(file, block)
            if cue is not None:
                yield cue
            block = []


def _cue(file: TextFile, block: list[tuple[int, str]]) -> Cue | None:
    if re.match(r"(?:NOTE|STYLE|REGION)(?:\s|$)", block[0][1]) and "-->" not in block[0][1]:
        return None
    timing = next((index for index, (_, line) in enumerate(block[:2]) if "-->" in line), None)
    if timing is None:
        number, line = block[0]
        if len(block) == 1 and line.strip().isdecimal():
            return None  # the number of an empty cue
        raise file.error(
            number, f"{line.strip()[:60]!r} belongs to no cue: {REMEDY} above it, or remove the empty line"
        )
    number, line = block[timing]
    match = TIMES.fullmatch(line)
    times = [time for text in match.groups() if (time := parse_time(text))] if match else []
    if len(times) < 2:
        raise file.error(number, f"{line.strip()[:60]!r} is not a pair of times: {REMEDY}")
    start, end = (round(time, 3) for time, _ in times)
    if end < start:
        raise file.error(number, f"the cue ends at {end:g} s, before it begins at {start:g} s: correct its times")
    inner = next((n for n, text in block[timing + 1 :] if "-->" in text), None)
    if inner is not None:
        raise file.error(inner, "times in the middle of a cue: put an empty line before the next cue")
    return Cue(start, end, number, [text for _, text in block[timing + 1 :]])


def utterances(file: TextFile, cues: Iterable[Cue]) -> list[dict[str, Any]]:
    """Returns the utterances of cues, ordered by start: tags are removed, a cue of several speakers is split.

    A speaker is a `<v Ann>` voice, a name that `find_speakers` finds in front of a line, or the first line of each cue
    if all are names.
    """
    ordered = sorted(cues, key=lambda cue: cue.start)
    # A cue has inline times where captions roll up word by word, as those of YouTube do.
    rolling = sum(bool(INLINE_TIME.search(line)) for cue in ordered for line in cue.lines) > 1
    voices = [(cue, _voices(cue)) for cue in ordered]
    voices = _named_above(_without_repeats(voices, rolling))
    names = find_speakers(line for _, parts in voices for voice, lines in parts if voice is None for line in lines)
    spoken: list[dict[str, Any]] = []
    silent = 0
    for cue, parts in voices:
        turns = [turn for voice, lines in parts for turn in _turns(voice, lines, names)]
        turns = [turn for turn in turns if not NO_SPEECH.fullmatch(turn.text)]
        silent += not turns
        spoken += _timed(cue, turns)
    if silent:
        file.notes.append(f"{silent} cue(s) without speech, such as [music] or a song, are left out")
    return merge_captions(spoken) if rolling else spoken


def _named_above(voices: list[tuple[Cue, Voices]]) -> list[tuple[Cue, Voices]]:
    """Makes the first line of each cue its speaker where all of them are names, as in old transcripts of Teams."""
    said = [(cue, parts[0]) for cue, parts in voices if parts]
    named = len(said) > 1 and all(voice is None and len(lines) > 1 for _, (voice, lines) in said)
    if not named or any(len(parts) > 1 for _, parts in voices) or not are_names(list({p[1][0] for _, p in said})):
        return voices
    return [(cue, [(lines[0], lines[1:])]) for cue, (_, lines) in said]


def _without_repeats(voices: list[tuple[Cue, Voices]], rolling: bool) -> list[tuple[Cue, Voices]]:
    """Drops the first lines of a cue that repeat the last lines of the cue before, if many cues repeat lines at once.

    Captions that roll up repeat them, and subtitles that highlight one word after the other.
    """
    pairs = list(pairwise(voices))
    repeated = [
        bool(before and now and before[-1][1][-1] == now[0][1][0]) and (rolling or cue.start - last.end < 0.05)
        for (last, before), (cue, now) in pairs
    ]
    if 3 * sum(repeated) < len(pairs) or not any(repeated):
        return voices
    kept = voices[:1]
    for ((_, before), (cue, now)), again in zip(pairs, repeated, strict=True):
        shown = [line for _, lines in before for line in lines]
        first = now[0][1] if now else []
        size = (
            next((n for n in range(min(len(shown), len(first)), 0, -1) if shown[-n:] == first[:n]), 0) if again else 0
        )
        left = [(voice, lines[size:] if place == 0 else lines) for place, (voice, lines) in enumerate(now)]
        left = [(voice, lines) for voice, lines in left if lines]
        if left or not now:
            kept.append((cue, left))
        elif cue.end - cue.start > 0.05:
            kept[-1] = (replace(kept[-1][0], end=max(kept[-1][0].end, cue.end)), kept[-1][1])
    return kept


def _voices(cue: Cue) -> Voices:
    """Returns the lines of each voice of a cue, without tags; lines before the first voice have the voice None."""
    before, *rest = VOICE.split("\n".join(cue.lines))
    pieces: list[tuple[str | None, str]] = [(None, before), *zip(rest[::2], rest[1::2], strict=True)]
    plain = [(voice, _unescaped(TAG.sub("", text)).split("\n")) for voice, text in pieces]
    cleaned = [(voice and _unescaped(voice).strip(), [line.strip() for line in lines]) for voice, lines in plain]
    return [(voice, kept) for voice, lines in cleaned if (kept := [line for line in lines if line])]


def _unescaped(text: str) -> str:
    return html.unescape(INVALID_REFERENCE.sub("\ufffd", text))


def _turns(voice: str | None, lines: list[str], names: set[str]) -> list[Turn]:
    """Splits lines into turns: a dash or a speaker's name starts a new one."""
    turns: list[tuple[str | None, list[str]]] = []
    for line in lines:
        bare = DASH.sub("", line)
        speaker, text = split_speaker(bare, names) if voice is None else (None, bare)
        if not turns or (voice is None and (speaker or bare != line)):
            turns.append((voice or speaker, [text]))
        else:
            turns[-1][1].append(text)
    # Joined once at the end: appending line by line would copy the text each time.
    return [Turn(speaker, " ".join(texts)) for speaker, texts in turns]


def _timed(cue: Cue, turns: list[Turn]) -> Iterator[dict[str, Any]]:
    """Yields the utterances of a cue; several divide its time by their number of characters."""
    total = sum(len(turn.text) for turn in turns)
    start, length = cue.start, cue.end - cue.start
    for turn in turns:
        end = start + length * len(turn.text) / total
        yield {"speaker": turn.speaker, "text": turn.text, "start": round(start, 3), "end": round(end, 3)}
        start = end
