"""A reading as HTML: a ribbon of colours, a tile a turn, and a table with all scores. Everything said is escaped."""

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

from ..timelines import Turn, emotion_colours
from .reading import NAMES, Reading

LIGHT, DARK = "#ffffff", "#000000"


def results_view(reading: Reading, off: Sequence[str]) -> str:
    """Timeline and what changed.

    Args:
        reading: to show.
        off: modalities that are switched off.
    """
    return "".join(
        [notes_view(reading.notes), _summary(reading, off), _legend(reading), _ribbon(reading), _tiles(reading)]
    )


def table_view(reading: Reading) -> str:
    """A row a turn with the scores of all labels; on a narrow screen each row is a card."""
    colours = emotion_colours(list(reading.shown[0].scores))
    full = _used(reading)
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
    """Tells what is wrong."""
    return f'<p class="erc-message" role="alert">{escape(message)}</p>'


def notes_view(notes: Iterable[str]) -> str:
    """Tells what was guessed or left out."""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="erc-notes" role="status">{items}</ul>' if items else ""


def empty_view(labels: Sequence[str]) -> str:
    """What stands there before anything was read."""
    swatches = "".join(_swatch(label, colour) for label, colour in emotion_colours(labels).items())
    return f'<p class="erc-hint">The emotion of every turn appears here.</p><ul class="erc-legend">{swatches}</ul>'


def _used(reading: Reading) -> set[str]:
    """The modalities that served any turn."""
    return {modality for turn in reading.shown for modality in turn.modalities}


def _named(modalities: Iterable[str]) -> str:
    """Modalities in words: `words, voice and face`."""
    names = [NAMES[m] for m in NAMES if m in set(modalities)]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) or "nothing"


def _summary(reading: Reading, off: Sequence[str]) -> str:
    """Of what the emotions were named, and what is different without the rest."""
    count = len(reading.shown)
    turns = f"{count} turn" if count == 1 else f"{count} turns"
    return f'<p class="erc-summary">{turns}, read from {_named(_used(reading))}.</p>{_change(reading, off)}'


def _change(reading: Reading, off: Sequence[str]) -> str:
    if not off:
        return ""
    names = _named(off)
    count, turns = len(reading.changed), len(reading.shown)
    told = f"{count} of {turns} labels {'changes' if count == 1 else 'change'}" if count else "no label changes"
    return f'<p class="erc-change" role="status">Without {names}, <b>{told}</b>.</p>'


def _swatch(label: str, colour: str, count: int | None = None) -> str:
    number = "" if count is None else f" <b>{count}</b>"
    return f'<li><i style="background:{colour}"></i>{escape(label)}{number}</li>'


def _legend(reading: Reading) -> str:
    counts = Counter(turn.label for turn in reading.shown)
    colours = emotion_colours(list(reading.shown[0].scores))
    items = "".join(_swatch(label, colour, counts[label]) for label, colour in colours.items() if counts[label])
    return f'<ul class="erc-legend" aria-label="Turns of each emotion">{items}</ul>'


def _ribbon(reading: Reading) -> str:
    """The whole conversation in one line, to scale where there are times."""
    turns = reading.shown
    spans = [(float(i), i + 1.0) for i in range(len(turns))]
    ends = ("", "")
    if reading.timed:
        spans = [(turn.start or 0.0, turn.end or 0.0) for turn in turns]
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    length = max(last - first, 1e-3)
    if reading.timed:
        ends = (_minutes(first), _minutes(last))
    colours = emotion_colours(list(turns[0].scores))
    parts = "".join(
        f'<i style="left:{(start - first) / length:.3%};width:{max(end - start, 0.0) / length:.3%};'
        f'background:{colours[turn.label]}"></i>'
        for turn, (start, end) in zip(turns, spans, strict=True)
    )
    told = f'<p class="erc-ends"><span>{ends[0]}</span><span>{ends[1]}</span></p>' if reading.timed else ""
    return f'<div class="erc-ribbon" aria-hidden="true">{parts}</div>{told}'


def _tiles(reading: Reading) -> str:
    colours = emotion_colours(list(reading.shown[0].scores))
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
        f'<span class="erc-block" style="background:{colour};color:{ink(colour)}">'
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


def ink(colour: str) -> str:
    """White or black, whichever is told more easily from a colour (contrast as WCAG 2 defines it).

    Example:
        >>> ink("#d99a00"), ink("#7b4bb3")
        ('#000000', '#ffffff')
    """
    return max((LIGHT, DARK), key=lambda other: contrast(colour, other))


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21; letters want 4.5."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
