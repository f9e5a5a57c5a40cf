"""Words with speakers and times, as speech recognisers give them, grouped into turns."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

Row = dict[str, Any]
PAUSE, SENTENCE_PAUSE = 1.5, 0.3  # seconds that end a turn, inside and after a sentence
LONGEST = 15.0  # seconds of merged captions
SENTENCE_END = re.compile(r"[.?!\u2026\u3002\uff1f\uff01][\"'\u201d\u2019)]*\s*$")
# No blank is written before these, nor between two characters of the scripts in CJK.
ATTACHED = re.compile(r"[,.?!;:%\u2026\u3002\uff0c\uff1f\uff01)\]}'\u2019]")
CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uff60]")


def join_words(texts: Sequence[str]) -> str:
    """Joins words to a text; words that carry their own blanks, such as those of Whisper, are only concatenated.

    Example:
        >>> join_words(["Hi", ",", "Bob"]), join_words([" Hi,", " Bob"])
        ('Hi, Bob', 'Hi, Bob')
    """
    if any(text[:1].isspace() or text[-1:].isspace() for text in texts):
        return " ".join("".join(texts).split())
    joined: list[str] = []
    for text in texts:
        if joined and not (ATTACHED.match(text) or (CJK.match(text) and CJK.match(joined[-1][-1:]))):
            joined.append(" ")
        joined.append(text)
    return " ".join("".join(joined).split())


def split_at_speakers(row: Row, words: Sequence[Row]) -> list[Row]:
    """Splits a segment where the speaker of its words changes; a word without speaker has that of the word before.

    Args:
        row: the segment, with `text`, `speaker`, `start` and `end`.
        words: its words with the same keys.
    """
    speakers = [word.get("speaker") for word in words]
    if len({speaker for speaker in speakers if speaker is not None}) < 2:
        known = next((speaker for speaker in speakers if speaker is not None), None)
        return [{**row, "speaker": known if row.get("speaker") is None else row["speaker"]}]
    groups = list(_runs(words))
    pieces = []
    for index, group in enumerate(groups):
        text = _slice(row.get("text") or "", groups, index)
        starts = [word["start"] for word in group if word.get("start") is not None]
        ends = [word["end"] for word in group if word.get("end") is not None]
        piece = {**row, "speaker": group[0]["speaker"], "text": text}
        piece["start"] = row.get("start") if index == 0 else (starts[0] if starts else None)
        piece["end"] = row.get("end") if index == len(groups) - 1 else (ends[-1] if ends else None)
        pieces.append(piece)
    return pieces


def _runs(words: Sequence[Row]) -> Iterator[list[Row]]:
    """Yields runs of words of one speaker."""
    speaker = next(word["speaker"] for word in words if word.get("speaker") is not None)
    run: list[Row] = []
    for word in words:
        current = speaker if word.get("speaker") is None else word["speaker"]
        if run and current != speaker:
            yield run
            run = []
        speaker = current
        run.append({**word, "speaker": speaker})
    yield run


def _slice(text: str, groups: list[list[Row]], index: int) -> str:
    """Returns the part of a segment's text that a group of words covers, or the joined words if they are not in it."""
    cuts, place = [0], 0
    for group in groups:
        cuts.append(place)
        for word in group:
            bare = (word.get("text") or "").strip()
            found = text.find(bare, place)
            if found < 0:
                return join_words([word.get("text") or "" for word in groups[index]])
            place = found + len(bare)
    starts = [*cuts[1:], len(text)]
    return text[starts[index] if index else 0 : starts[index + 1]].strip()


def group_words(words: Sequence[Row]) -> list[Row]:
    """Groups words into turns: a turn ends where the speaker changes, after a pause, or after a sentence."""
    turns: list[list[Row]] = []
    previous: Row = {}
    for word in words:
        gap = 0.0
        if word.get("start") is not None and previous.get("end") is not None:
            gap = word["start"] - previous["end"]
        changed = word.get("speaker") is not None and word["speaker"] != previous.get("speaker")
        ended = bool(SENTENCE_END.search(previous.get("text") or "")) and gap > SENTENCE_PAUSE
        if not turns or (
            (changed or gap > PAUSE or ended) and not ATTACHED.fullmatch((word.get("text") or "").strip())
        ):
            turns.append([])
        turns[-1].append(word)
        previous = {**previous, **{name: value for name, value in word.items() if value is not None}}
    return [_turn(turn) for turn in turns]


def _turn(words: list[Row]) -> Row:
    return {
        "speaker": next((word["speaker"] for word in words if word.get("speaker") is not None), None),
        "text": join_words([word.get("text") or "" for word in words]),
        "start": next((word["start"] for word in words if word.get("start") is not None), None),
        "end": next((word["end"] for word in reversed(words) if word.get("end") is not None), None),
    }


def merge_captions(rows: Sequence[Row]) -> list[Row]:
    """Merges captions that are cut in the middle of a sentence, as those of YouTube are."""
    merged: list[Row] = []
    for row in rows:
        last = merged[-1] if merged else None
        if (
            last is not None
            and last.get("speaker") == row.get("speaker")
            and not SENTENCE_END.search(last["text"] or "")
            and not row["text"].startswith(">>")  # the mark of another speaker
            and row["start"] - last["end"] <= SENTENCE_PAUSE
            and row["end"] - last["start"] <= LONGEST
        ):
            merged[-1] = {**last, "text": f"{last['text']} {row['text']}", "end": row["end"]}
        else:
            merged.append(row)
    return merged
