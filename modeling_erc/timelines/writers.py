"""Writes timelines as CSV, JSON, WebVTT or PNG; a registry has the writer of each file suffix."""

import csv
import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..csv_cells import safe_cell
from ..plain_json import json_text
from ..registry_erc import Registry
from .colours import emotion_colours, letter_colour
from .timeline import Turn, is_timed

Writer = Callable[[Sequence[Turn], Path], None]

WRITERS: Registry[Writer] = Registry("timeline format")


def write_timeline(turns: Sequence[Turn], path: str | Path, title: str = "Emotion timeline") -> None:
    """Writes a timeline in the format of the file's suffix: `.csv`, `.json`, `.vtt` or `.png`.

    Args:
        turns: turns of one conversation.
        path: file to write.
        title: title of a figure.

    Raises:
        ValueError: the format is unknown, or it needs times and the turns have none.

    Example:
        >>> write_timeline(timeline(utterances, pipe(utterances)), "timeline.png")  # doctest: +SKIP
    """
    path = Path(path)
    writer = WRITERS[path.suffix.lower()]
    path.parent.mkdir(parents=True, exist_ok=True)
    if writer is write_png:
        write_png(turns, path, title)
    else:
        writer(turns, path)


def write_png(turns: Sequence[Turn], path: Path, title: str = "Emotion timeline") -> None:
    """Draws the turns, see `plot_timeline`."""
    from .picture import plot_timeline  # matplotlib takes a second

    plot_timeline(turns, path, title=title)


WRITERS[".png"] = write_png


@WRITERS.register(".csv")
def write_csv(turns: Sequence[Turn], path: Path) -> None:
    """Writes a row per turn, with a column for each target and for the probability of each label.

    Texts like `=1` are escaped, see `csv_cells`.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(_rows(turns))


def write_table(timelines: Mapping[str, Sequence[Turn]], path: str | Path) -> None:
    """Writes the turns of several conversations as one CSV table, with their names in the column `file`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        for number, (name, turns) in enumerate(timelines.items()):
            header, *rows = _rows(turns)
            writer.writerows([["file", *header]] * (number == 0) + [[safe_cell(name), *row] for row in rows])


def _rows(turns: Sequence[Turn]) -> Iterator[list[Any]]:
    labels, targets = (list(turns[0].scores), list(turns[0].targets)) if turns else ([], [])
    several = bool(turns) and turns[0].labels is not None
    answer = ["labels"] if several else ["label", "score"] if labels or not turns else []
    yield ["start", "end", "speaker", "text", *answer, "modalities", *map(safe_cell, [*targets, *labels])]
    for turn in turns:
        utterance = [turn.start, turn.end, safe_cell(turn.speaker), safe_cell(turn.text)]
        if several:
            utterance.append(safe_cell(" + ".join(turn.labels or ())))
        elif labels:
            utterance += [safe_cell(turn.label), f"{turn.score:.6f}"]
        numbers = [*(turn.targets[name] for name in targets), *(turn.scores[label] for label in labels)]
        yield [*utterance, " ".join(turn.modalities), *(f"{number:.6f}" for number in numbers)]


@WRITERS.register(".json")
def write_json(turns: Sequence[Turn], path: Path) -> None:
    """Writes a list of objects, one per turn, without what the model does not predict."""
    rows = []
    for turn in turns:
        absent = {"labels"} if turn.labels is None else set()
        absent |= ({"label", "score"} if not turn.label else set()) | ({"scores"} if not turn.scores else set())
        absent |= {"targets"} if not turn.targets else set()
        rows.append({name: value for name, value in asdict(turn).items() if name not in absent})
    path.write_text(json_text(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@WRITERS.register(".vtt")
def write_vtt(turns: Sequence[Turn], path: Path) -> None:
    """Writes subtitles whose cues name the emotion and have its colour, in players that support style sheets."""
    if not is_timed(turns):
        raise ValueError(f"{path}: WebVTT needs start and end of every utterance, and some have none")
    colours = emotion_colours(list(turns[0].scores) if turns else [])
    styles = [
        f"::cue(.{css_class(label)}) {{ color: {letter_colour(colour)}; background-color: {colour}; }}"
        for label, colour in colours.items()
    ]
    blocks = ["WEBVTT", *(["\n".join(["STYLE", *styles])] if styles else [])]
    for number, turn in enumerate(turns, start=1):
        times = f"{clock(turn.start or 0.0)} --> {clock(turn.end or 0.0)}"
        words = escape(f"[{answer_of(turn)}] {turn.text or ''}")
        strongest = turn.label or max(turn.scores, key=lambda label: turn.scores[label], default="")
        line = f"<c.{css_class(strongest)}>{words}</c>" if strongest else words
        if turn.speaker:
            line = f"<v {escape(turn.speaker)}>{line}</v>"
        blocks.append(f"{number}\n{times}\n{line}")
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def answer_of(turn: Turn) -> str:
    """Returns what the model answers on a turn, in a few words: `joy 93%`, `joy + surprise`, `valence 3.2`."""
    labels = "" if turn.labels is None else " + ".join(turn.labels) or "none"
    targets = ", ".join(f"{name} {value:.1f}" for name, value in turn.targets.items())
    label = f"{turn.label} {turn.score:.0%}" if turn.label else labels
    return ", ".join(part for part in (label, targets) if part)


def css_class(label: str) -> str:
    """Returns a label as the name of a CSS class: `happy/excited` becomes `happy-excited`."""
    return re.sub(r"[^\w-]+", "-", label.lower()).strip("-") or "other"


def clock(seconds: float) -> str:
    """Formats seconds as a WebVTT time.

    Example:
        >>> clock(3723.5)
        '01:02:03.500'
    """
    milliseconds = round(seconds * 1000)
    whole = milliseconds // 1000
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{milliseconds % 1000:03d}"


def escape(text: str) -> str:
    """Returns text on one line, escaped so that WebVTT reads no tag and no times in it."""
    return html.escape(" ".join(text.split()), quote=False)
