"""The official IEMOCAP release on disk: the files of a dialogue, and readers of label files and transcripts."""

import codecs
import dataclasses
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from .builder import CorpusError
from .split_files import files_in, listing

SESSIONS = (1, 2, 3, 4, 5)
RAW_LABELS = ("fru", "neu", "ang", "sad", "exc", "hap", "sur", "fea", "oth", "dis", "xxx")

_TURN = r"(?P<turn>Ses\d\d[FM]_\w+_(?P<speaker>[FM])[^\W_]+)"
_TIMES = r"\[\s*(?P<start>-?\d+(?:\.\d+)?)\s*-\s*(?P<end>-?\d+(?:\.\d+)?)\s*\]"
# `[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]`; the lines of single raters follow.
_LABEL_LINE = re.compile(rf"{_TIMES}\s+{_TURN}\s+(?P<value>\S+)\s+\[(?P<ratings>[^\]]*)\]")
# `C-E2:\tHappiness; Excited;\t(laughs)`: a rater may choose several emotions.
_HAPPY_RATING = re.compile(r"C-[^:]*:[^(]*\bhapp", re.IGNORECASE)
# `Ses01F_impro01_FXX0`: a turn that was not rated.
_UNLABELLED = re.compile(r"_[FM]XX")
# `Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.`; lines such as `M: Yeah.` have no turn name.
_SPOKEN_LINE = re.compile(rf"{_TURN}\s*(?:{_TIMES})?\s*:\s*(?P<value>.*)")


@dataclass(frozen=True)
class DialogueFiles:
    """Files of one dialogue.

    Args:
        name: name of the dialogue, such as `Ses01F_impro01`.
        session: 1 to 5.
        labels: label file in `dialog/EmoEvaluation`.
        transcript: transcript in `dialog/transcriptions`, None if there is none.
        wav_folder: folder of the wavs of its turns; it may not exist.
        avi: recording of both actors side by side, None if there is none.
    """

    name: str
    session: int
    labels: Path
    transcript: Path | None
    wav_folder: Path
    avi: Path | None

    def wavs(self) -> dict[str, Path]:
        """Returns the wavs of single turns by the turn's name."""
        return files_in(self.wav_folder, ".wav")


@dataclass(frozen=True)
class TurnLine:
    """A line of a label file or a transcript about one turn.

    Args:
        speaker: `F` or `M`.
        value: raw label in a label file, words in a transcript.
        start: seconds on the recording of the dialogue, as written, None if the line has no times.
        end: end in seconds, as written; it may not be after `start`.
        rated_happy: whether a rater chose happiness, alone or among other emotions; only known in a label file.
        ratings: mean ratings of valence, activation and dominance (1 to 5) of a label file, as far as they are numbers.
    """

    speaker: str
    value: str
    start: float | None
    end: float | None
    rated_happy: bool = False
    ratings: tuple[float | None, ...] = ()


def scene_kind(dialogue_id: str) -> str | None:
    """Returns whether a dialogue is scripted or improvised, None if its name does not show it.

    The scripts are acted in every session, so a model has seen their lines; improvisations are new.

    Example:
        >>> [scene_kind(name) for name in ("Ses05F_impro01", "Ses05M_script01_1b", "17")]
        ['improvised', 'scripted', None]
    """
    kinds = {"script": "scripted", "impro": "improvised"}
    return next((kind for word, kind in kinds.items() if word in dialogue_id.lower()), None)


def find_dialogues(root: Path) -> list[DialogueFiles]:
    """Returns every dialogue that has a label file, ordered by name.

    Raises:
        FileNotFoundError: if there is no label file.
    """
    dialogues = []
    for session in SESSIONS:
        folder = root / f"Session{session}"
        transcripts = files_in(folder / "dialog" / "transcriptions", ".txt")
        # The release has the recordings in DivX; some copies have them in the folder above.
        avis = files_in(folder / "dialog" / "avi", ".avi") | files_in(folder / "dialog" / "avi" / "DivX", ".avi")
        for name, labels in files_in(folder / "dialog" / "EmoEvaluation", ".txt").items():
            if re.fullmatch(rf"Ses0{session}[FM]_\w+", name):
                wavs = folder / "sentences" / "wav" / name
                dialogues.append(DialogueFiles(name, session, labels, transcripts.get(name), wavs, avis.get(name)))
    if not dialogues:
        raise FileNotFoundError(
            f"IEMOCAP's labels are Session1..5/dialog/EmoEvaluation/Ses*.txt, and {root} has none of them; it holds "
            f"{listing(root)}. Unpack the full release, which USC sends on request, and pass the folder of Session1 to "
            "Session5 or the one above it."
        )
    return dialogues


def read_labels(path: Path, skipped: list[str] | None = None) -> dict[str, TurnLine]:
    """Returns the turns of a label file by name, in file order.

    Args:
        path: the label file.
        skipped: list to which the places of lines of unrated turns and of repeated lines with equal labels are added.

    Raises:
        CorpusError: if the file cannot be read or has no turn, or a line is malformed, repeats a turn with another
            label or has an unknown label.
    """
    skipped = [] if skipped is None else skipped
    turns: dict[str, TurnLine] = {}
    name = ""
    for place, line in _lines(path):
        if _HAPPY_RATING.match(line) and name in turns:
            turns[name] = dataclasses.replace(turns[name], rated_happy=True)
        if not line.startswith("["):
            continue
        match = _LABEL_LINE.fullmatch(line)
        if match is None and _UNLABELLED.search(line):
            skipped.append(place)
            continue
        if match is None:
            raise _malformed(place, line, "[start - end] turn label [valence, activation, dominance]")
        name, turn = _turn_of(match)
        if turn.value not in RAW_LABELS:
            raise CorpusError(f"{place}: label {turn.value!r} is none of {', '.join(RAW_LABELS)}: correct the line")
        if turn.value != turns.get(name, turn).value:
            raise CorpusError(
                f"{place}: turn {name} is {turn.value} here and {turns[name].value} above: keep one of the two lines"
            )
        if name in turns:
            skipped.append(place)
        turns.setdefault(name, turn)
    if not turns:
        raise CorpusError(f"{path} has no line of a turn: take the file from the release unchanged")
    return turns


def read_transcript(path: Path, labelled: Collection[str], skipped: list[str] | None = None) -> dict[str, TurnLine]:
    """Returns the named turns of a transcript, labelled ones and others (`..._FXX0`), in file order.

    The official release repeats the name of an unlabelled turn, so only the lines of labelled turns have to be right.

    Args:
        path: the transcript.
        labelled: names of the labelled turns.
        skipped: list to which the places of other repeated or malformed lines are added; the first of two is kept.

    Raises:
        CorpusError: if the file cannot be read, or the line of a labelled turn is malformed or repeated with other
            words.
    """
    skipped = [] if skipped is None else skipped
    turns: dict[str, TurnLine] = {}
    for place, line in _lines(path):
        if not line.startswith("Ses"):
            continue
        match = _SPOKEN_LINE.fullmatch(line)
        start = re.match(r"\w+", line)
        name = match["turn"] if match else start[0] if start else ""
        if match and name not in turns:
            turns[name] = _turn_of(match)[1]
        elif match is None and name in labelled:
            raise _malformed(place, line, "turn [start-end]: words")
        elif match and name in labelled and match["value"].split() != turns[name].value.split():
            raise CorpusError(f"{place}: turn {name} has other words above in this file: keep one of the two lines")
        else:
            skipped.append(place)
    return turns


def read_turn_list(path: Path) -> set[str]:
    """Returns the turns that a text file lists: every turn name in it, whatever stands between them.

    Raises:
        CorpusError: if the file cannot be read or names no turn.
    """
    names = {match[0] for _, line in _lines(path) for match in re.finditer(_TURN.replace("(?P<turn>", "(?:"), line)}
    if not names:
        raise CorpusError(f"{path} names no turn: write one a line, such as Ses01F_impro01_F000")
    return names


def _turn_of(match: re.Match[str]) -> tuple[str, TurnLine]:
    start, end = (None if match[edge] is None else float(match[edge]) for edge in ("start", "end"))
    ratings = tuple(map(_rating, (match.groupdict().get("ratings") or "").split(",")))
    return match["turn"], TurnLine(match["speaker"], match["value"], start, end, ratings=ratings)


def _rating(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _malformed(place: str, line: str, form: str) -> CorpusError:
    return CorpusError(f"{place}: {line[:80]!r} does not read `{form}`: correct the line")


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yields the place of each line, for messages, and the stripped line."""
    try:
        raw = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise CorpusError(
            f"{path} cannot be read ({error.strerror}): correct its permissions, or copy it anew"
        ) from error
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    # Not splitlines, which would also split at an ellipsis in cp1252 that was read as latin-1.
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        yield f"{path}, line {number}", line.strip(" \t")
