"""HTML of a reading: a colour ribbon, one tile per turn, and a table of all scores. All input text is escaped."""

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

from ..timelines import Turn, emotion_colours
from .reading import NAMES, Reading


def results_view(reading: Reading, off: Sequence[str]) -> str:
    """Returns the summary, the label changes and the timeline.

    Args:
        reading: the predictions.
        off: modalities that are switched off.
    """
    count = len(reading.shown)
    turns = f"{count} turn" if count == 1 else f"{count} turns"
    summary = f'<p class="erc-summary">{turns}, read from {_named(_used(reading))}.</p>'
    colours = _colours(reading)
    timeline = _legend(reading, colours) + _ribbon(reading, colours) + _tiles(reading, colours)
    return notes_view(reading.notes) + summary + _change(reading, off) + timeline


def table_view(reading: Reading) -> str:
    """Returns a table with one row per turn and the scores of all labels; on a narrow screen each row is a card."""
    colours, full = _colours(reading), _used(reading)
    head = "".join(f'<th scope="col" class="erc-num">{escape(label)}</th>' for label in colours)
    rows = "".join(
        _row(number, turn, before, colours, full)
        for number, (turn, before) in enumerate(zip(reading.shown, reading.whole, strict=True), start=1)
    )
    return (
        '<div class="erc-scroll"><table class="erc-table"><caption>Every turn and the score of every emotion</caption>'
        f'<thead><tr><th scope="col">turn</th><th scope="col">emotion</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def message_view(message: str) -> str:
    """Returns an error message."""
    return f'<p class="erc-message" role="alert">{escape(message)}</p>'


def notes_view(notes: Iterable[str]) -> str:
    """Returns the list of guesses and omissions."""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="erc-notes" role="status">{items}</ul>' if items else ""


def empty_view(labels: Sequence[str]) -> str:
    """Returns the content before the first conversation."""
    swatches = "".join(_swatch(label, colour) for label, colour in emotion_colours(labels).items())
    return f'<p class="erc-hint">The emotion of every turn appears here.</p><ul class="erc-legend">{swatches}</ul>'


def _used(reading: Reading) -> set[str]:
    """The modalities used for at least one turn."""
    return {modality for turn in reading.shown for modality in turn.modalities}


def _named(modalities: Iterable[str]) -> str:
    """Formats modalities as a phrase: `words, voice and face`."""
    names = [NAMES[m] for m in NAMES if m in set(modalities)]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) or "nothing"


def _colours(reading: Reading) -> dict[str, str]:
    return emotion_colours(list(reading.shown[0].scores))


def _change(reading: Reading, off: Sequence[str]) -> str:
    if not off:
        return ""
    count, turns = len(reading.changed), len(reading.shown)
    change = f"{count} of {turns} labels {'changes' if count == 1 else 'change'}" if count else "no label changes"
    return f'<p class="erc-change" role="status">Without {_named(off)}, <b>{change}</b>.</p>'


def _swatch(label: str, colour: str, count: int | None = None) -> str:
    number = "" if count is None else f" <b>{count}</b>"
    return f'<li><i style="background:{colour}"></i>{escape(label)}{number}</li>'


def _legend(reading: Reading, colours: dict[str, str]) -> str:
    counts = Counter(turn.label for turn in reading.shown)
    items = "".join(_swatch(label, colour, counts[label]) for label, colour in colours.items() if counts[label])
    return f'<ul class="erc-legend" aria-label="Turns of each emotion">{items}</ul>'


def _ribbon(reading: Reading, colours: dict[str, str]) -> str:
    """The whole conversation as one bar, to scale if the turns have times."""
    turns = reading.shown
    spans = [(float(i), i + 1.0) for i in range(len(turns))]
    if reading.timed:
        spans = [(turn.start or 0.0, turn.end or 0.0) for turn in turns]
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    length = max(last - first, 1e-3)
    parts = "".join(
        f'<i style="left:{(start - first) / length:.3%};width:{max(end - start, 0.0) / length:.3%};'
        f'background:{colours[turn.label]}"></i>'
        for turn, (start, end) in zip(turns, spans, strict=True)
    )
    ends = f'<p class="erc-ends"><span>{_minutes(first)}</span><span>{_minutes(last)}</span></p>'
    return f'<div class="erc-ribbon" aria-hidden="true">{parts}</div>{ends if reading.timed else ""}'


def _tiles(reading: Reading, colours: dict[str, str]) -> str:
    changed = set(reading.changed)
    tiles = "".join(
        _tile(place, turn, colours[turn.label], reading.whole[place].label if place in changed else None)
        for place, turn in enumerate(reading.shown)
    )
    return f'<ol class="erc-tiles" aria-label="Timeline of emotions">{tiles}</ol>'


def _tile(place: int, turn: Turn, colour: str, before: str | None) -> str:
    was = f'<span class="erc-was">was {escape(before)}</span>' if before else ""
    words = escape(f"{turn.speaker or ''}: {turn.text or ''}", quote=True)
    return (
        f'<li><a href="#erc-turn-{place + 1}" class="{"erc-changed" if before else ""}" title="{words}">'
        f'<span class="erc-who">{place + 1} {escape(turn.speaker or "")}</span>'
        f'<span class="erc-block" style="--colour:{colour}">'
        f"<b>{escape(turn.label)}</b><span>{turn.score:.0%}</span></span>{was}</a></li>"
    )


def _row(number: int, turn: Turn, before: Turn, colours: dict[str, str], full: set[str]) -> str:
    when = "" if turn.start is None or turn.end is None else f" · {_minutes(turn.start)}\u2013{_minutes(turn.end)}"
    was = f'<span class="erc-was">was {escape(before.label)}</span>' if before.label != turn.label else ""
    used = "" if set(turn.modalities) == full else f'<span class="erc-used">from {_named(turn.modalities)}</span>'
    scores = "".join(
        f'<td class="erc-num{" erc-nil" if score < 0.005 else ""}" data-label="{escape(label, quote=True)}" '
        f'style="--colour:{colours[label]};--score:{score:.1%}">{score:.2f}</td>'
        for label, score in turn.scores.items()
    )
    return (
        f'<tr id="erc-turn-{number}"><th scope="row"><span class="erc-who">{number} {escape(turn.speaker or "")}'
        f'<span>{when}</span></span><span class="erc-words">{escape(turn.text or "no words")}</span></th>'
        f'<td class="erc-emotion"><i style="background:{colours[turn.label]}"></i><b>{escape(turn.label)}</b>{was}'
        f"{used}</td>{scores}</tr>"
    )


def _minutes(seconds: float) -> str:
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"
