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
from .timeline import Turn

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
    """Draws the turns; see [`plot_timeline`]."""
    from .picture import plot_timeline  # matplotlib takes a second

    plot_timeline(turns, path, title=title)


WRITERS[".png"] = write_png


@WRITERS.register(".csv")
def write_csv(turns: Sequence[Turn], path: Path) -> None:
    """Writes a row per turn, with a column for the probability of each label; see `csv_cells` for texts like `=1`."""
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
    labels = list(turns[0].scores) if turns else []
    yield ["start", "end", "speaker", "text", "label", "score", "modalities", *map(safe_cell, labels)]
    for turn in turns:
        utterance = [turn.start, turn.end, safe_cell(turn.speaker), safe_cell(turn.text)]
        scores = [f"{turn.scores[label]:.6f}" for label in labels]
        yield [*utterance, safe_cell(turn.label), f"{turn.score:.6f}", " ".join(turn.modalities), *scores]


@WRITERS.register(".json")
def write_json(turns: Sequence[Turn], path: Path) -> None:
    """Writes a list of objects, one per turn."""
    path.write_text(json_text([asdict(turn) for turn in turns], indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@WRITERS.register(".vtt")
def write_vtt(turns: Sequence[Turn], path: Path) -> None:
    """Writes subtitles whose cues name the emotion and have its colour, in players that support style sheets."""
    if any(turn.start is None or turn.end is None for turn in turns):
        raise ValueError(f"{path}: WebVTT needs start and end of every utterance, and some have none")
    colours = emotion_colours(list(turns[0].scores) if turns else [])
    styles = [
        f"::cue(.{css_class(label)}) {{ color: {letter_colour(colour)}; background-color: {colour}; }}"
        for label, colour in colours.items()
    ]
    blocks = ["WEBVTT", "\n".join(["STYLE", *styles])]
    for number, turn in enumerate(turns, start=1):
        times = f"{clock(turn.start or 0.0)} --> {clock(turn.end or 0.0)}"
        words = escape(f"[{turn.label} {turn.score:.0%}] {turn.text or ''}")
        line = f"<c.{css_class(turn.label)}>{words}</c>"
        if turn.speaker:
            line = f"<v {escape(turn.speaker)}>{line}</v>"
        blocks.append(f"{number}\n{times}\n{line}")
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


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
