"""Speakers that a line names before its words."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

# Names that diarization gives: SPEAKER_00, Speaker 1, speaker ?, spk0, S1.
LABEL = re.compile(r"(?:speaker|spk|sprecher|locuteur|hablante|participant|person|s)[ _-]?(?:\d{1,4}|[A-Z?])", re.I)
# A name has no colon or bracket, which also bounds the time of a match.
NAME = r"(?:[^\W_]|\+\d)[^:\uff1a\[\]()<>{}?!,;\"|/\n]{0,39}?"
ASIDE = r"(?:\s*[\[(]([^\[\]()]{1,40})[\])])?"
MARK = r"(?:\s*(?:>{1,3}|[-\u2013\u2014\u2022])\s*)?"
COLON = re.compile(rf"{MARK}({NAME}){ASIDE}\s*([:\uff1a])(\s*)")
BRACKET = re.compile(rf"{MARK}[\[(<]\s*({NAME})\s*[\])>]\s*([:\uff1a]?)\s*", re.I)
SOUND = re.compile(
    r"(?:(?:up|soft|loud|dramatic|indistinct|background)\w*\b.*|.*\b(?:laugh|music|applau|sigh|cough|cheer|door|phone|"
    r"silence|noise|inaudible|crosstalk|gasp|sob|cry|whisper|shout|scream|groan|chuckl|giggl|sniff|clap|pause|blank|"
    r"sing|song|foreign|speak|unintelligible|ring|knock|beep|bell|breath|clears?)\w*.*)",
    re.IGNORECASE,
)
NAME_LINE = re.compile(r"(?:[^\W_]|\+\d)[^:\uff1a\[\]<>{}?!;\"|/\n]{0,59}(?<![.,])")
PARTICLES = {"von", "van", "der", "den", "de", "da", "di", "du", "la", "le", "bin", "al", "and", "und"}
UNKNOWN = re.compile(r"(?:\?|[\[(]\s*speaker \?\s*[\])])\s*[:\uff1a]?\s*", re.IGNORECASE)


class Prefix(NamedTuple):
    """A possible speaker at the start of a line.

    Args:
        name: the speaker, without brackets, pronouns and stage directions; empty if marked as unknown, such as `?:`.
        text: the words after it.
        certain: whether its form alone makes it a speaker; otherwise the other lines decide.
    """

    name: str
    text: str
    certain: bool


def find_prefix(line: str) -> Prefix | None:
    """Finds a speaker in front of the words of a line.

    Example:
        >>> find_prefix("[SPEAKER_00]: Hi.")
        Prefix(name='SPEAKER_00', text='Hi.', certain=True)
        >>> find_prefix("Anna Smith (she/her): Hi.").name, find_prefix("BOB [shouting]: Hi.").name
        ('Anna Smith', 'BOB')
        >>> find_prefix("See https://example.org"), find_prefix("At 10:30 we leave.")
        (None, None)
    """
    if (match := UNKNOWN.match(line)) and match.end() > 1:
        return Prefix("", line[match.end() :], True)
    if match := BRACKET.match(line):
        name, colon = match.groups()
        label = bool(LABEL.fullmatch(name))
        if label or colon or not (SOUND.fullmatch(name) or name[0].islower()):
            text = line[match.end() :]
            return Prefix(name, text, label or bool(colon)) if text or colon else None
        return None
    match = COLON.match(line)
    if not match:
        return None
    name, aside, colon, space = match.groups()
    name, text = name.strip(), line[match.end() :]
    label, capitals = bool(LABEL.fullmatch(name)), name.isupper() and len(name) > 1
    attached = colon == ":" and not space and bool(text)
    if attached and (text.startswith("//") or text[0].isdigit() or not (label or capitals or name.istitle())):
        return None
    return Prefix(name, text, label or name.isupper() or bool(aside and not name.islower()))


def find_speakers(texts: Iterable[str], lines: bool = False) -> set[str]:
    """Returns the names that are speakers.

    A name is one if its form says so (capitals, brackets with a colon, a label such as `Speaker 1`), if it occurs twice
    and starts with a capital, or if nearly all of several lines start with a name. "Listen: ..." thus is not a speaker.

    Args:
        texts: the texts that may start with a speaker.
        lines: whether each text is a turn of its own, as people type them; then half of the lines are enough.
    """
    texts = [text for text in texts if text.strip()]
    prefixes = [prefix for text in texts if (prefix := find_prefix(text))]
    counts = Counter(prefix.name for prefix in prefixes)
    all_lines = len(prefixes) >= (0.5 if lines else 0.8) * len(texts) and (lines or len(texts) > 1)
    certain = {prefix.name for prefix in prefixes if prefix.certain}
    return certain | {name for name, n in counts.items() if (lines or not name[:1].islower()) and (n > 1 or all_lines)}


def split_speaker(line: str, names: set[str]) -> tuple[str | None, str]:
    """Splits a line into speaker and words; the speaker is None if the line does not start with one of `names`."""
    prefix = find_prefix(line)
    if prefix is None or prefix.name not in names:
        return None, line
    return prefix.name or None, prefix.text


def are_names(lines: Sequence[str]) -> bool:
    """Returns whether lines of their own are names: each is capitalised as one, or a label, or they repeat each other.

    Example:
        >>> are_names(["Anna Smith", "Smith, Bob (External)"]), are_names(["We went to the", "Good morning"])
        (True, False)
    """
    repeated = 2 * len(set(lines)) <= len(lines)
    return bool(lines) and all(
        NAME_LINE.fullmatch(line) and (LABEL.fullmatch(line) or _capitalised(line) or repeated) for line in lines
    )


def _capitalised(line: str) -> bool:
    """Returns whether each word has a capital; lines of capitals alone are no evidence."""
    words = re.findall(r"[^\W\d_]+", line)
    return line != line.upper() and all(word[0].isupper() or word in PARTICLES for word in words)
