"""HTML of a reading: a colour ribbon, one tile per turn, and a table of all scores. All input text is escaped.

`page.js` shows one page of turns at a time, jumps to the row of a turn, and plays it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import quote

from ..timelines import Turn, emotion_colours
from .reading import NAMES, Reading

TURNS_A_PAGE = 40


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
    timeline = _legend(reading, colours) + _ribbon(reading, colours) + _pager(count) + _tiles(reading, colours)
    return notes_view(reading.notes) + summary + _change(reading, off) + timeline


def table_view(reading: Reading) -> str:
    """Returns the recording's player, and a table with one row per turn and the scores of all labels.

    On a narrow screen each row is a card.
    """
    colours, full = _colours(reading), _used(reading)
    head = "".join(f'<th scope="col" class="erc-num">{escape(label)}</th>' for label in colours)
    rows = [
        _row(place, reading, colours, full, playable=reading.recording is not None)
        for place in range(len(reading.shown))
    ]
    bodies = "".join(f"<tbody{page}>{''.join(rows[first:last])}</tbody>" for page, first, last in _pages(len(rows)))
    return (
        f"{_player(reading)}{_pager(len(rows))}"
        '<div class="erc-scroll"><table class="erc-table"><caption>Every turn and the score of every emotion</caption>'
        f'<thead><tr><th scope="col">turn</th><th scope="col">emotion</th>{head}</tr></thead>'
        f"{bodies}</table></div>"
    )


def message_view(message: str) -> str:
    """Returns an error message."""
    return f'<p class="erc-message" role="alert" dir="auto">{escape(message)}</p>'


def notes_view(notes: Iterable[str]) -> str:
    """Returns the list of guesses and omissions."""
    items = "".join(f'<li dir="auto">{escape(note[:1].upper() + note[1:])}</li>' for note in notes)
    return f'<div class="erc-notes" role="status"><ul>{items}</ul></div>' if items else ""


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
    """Compares with the predictions that also use what is switched off, if the conversation has it."""
    off = [m for m in off if any(m in turn.modalities for turn in reading.whole)]
    if not off:
        return ""
    count, turns = len(reading.changed), len(reading.shown)
    change = f"{count} of {turns} labels {'changes' if count == 1 else 'change'}" if count else "no label changes"
    return f'<p class="erc-change" role="status">Without {_named(off)}, <b>{change}</b>.</p>'


def _swatch(label: str, colour: str, count: int | None = None) -> str:
    number = "" if count is None else f" <b>{count}</b>"
    return f'<li><i style="background:{colour}"></i><bdi>{escape(label)}</bdi>{number}</li>'


def _legend(reading: Reading, colours: dict[str, str]) -> str:
    counts = Counter(turn.label for turn in reading.shown)
    items = "".join(_swatch(label, colour, counts[label]) for label, colour in colours.items() if counts[label])
    return f'<ul class="erc-legend" aria-label="Turns of each emotion">{items}</ul>'


def _ribbon(reading: Reading, colours: dict[str, str]) -> str:
    """The whole conversation as one bar, to scale if the turns have times; a click on a block jumps to its row."""
    turns = reading.shown
    spans = [(float(i), i + 1.0) for i in range(len(turns))]
    if reading.timed:
        spans = [(turn.start or 0.0, turn.end or 0.0) for turn in turns]
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    length = max(last - first, 1e-3)
    # The keyboard reaches the tiles, which are the same links.
    parts = "".join(
        f'<a href="#erc-turn-{number}" tabindex="-1" title="{_title(number, turn)}" '
        f'style="left:{(start - first) / length:.3%};width:{max(end - start, 0.0) / length:.3%};'
        f'background:{colours[turn.label]}"></a>'
        for number, (turn, (start, end)) in enumerate(zip(turns, spans, strict=True), start=1)
    )
    ends = f'<p class="erc-ends"><span>{_minutes(first)}</span><span>{_minutes(last)}</span></p>'
    return f'<div class="erc-ribbon" aria-hidden="true">{parts}</div>{ends if reading.timed else ""}'


def _pages(count: int) -> list[tuple[str, int, int]]:
    """Returns the HTML attributes of each page, and the first and last (exclusive) place of its turns."""
    starts = range(0, count, TURNS_A_PAGE)
    return [
        (f' data-erc-page="{page}"{" hidden" if page else ""}', start, min(start + TURNS_A_PAGE, count))
        for page, start in enumerate(starts)
    ]


def _pager(count: int) -> str:
    """Returns the buttons of the pages, if there are several."""
    if count <= TURNS_A_PAGE:
        return ""
    buttons = "".join(
        f'<button type="button" data-erc-show="{page}" aria-current="{"false" if page else "true"}">'
        f"{first + 1}\u2013{last}</button>"
        for page, (_, first, last) in enumerate(_pages(count))
    )
    return f'<div class="erc-pages" role="group" aria-label="Turns shown">{buttons}</div>'


def _tiles(reading: Reading, colours: dict[str, str]) -> str:
    changed = set(reading.changed)
    tiles = [
        _tile(place, turn, colours[turn.label], reading.whole[place].label if place in changed else None)
        for place, turn in enumerate(reading.shown)
    ]
    return "".join(
        f'<ol class="erc-tiles" aria-label="Emotions of turns {first + 1} to {last}"{page}>'
        f"{''.join(tiles[first:last])}</ol>"
        for page, first, last in _pages(len(tiles))
    )


def _title(number: int, turn: Turn) -> str:
    return escape(f"{number} {turn.speaker or ''}: {turn.text or ''} ({turn.label})", quote=True)


def _tile(place: int, turn: Turn, colour: str, before: str | None) -> str:
    was = f'<span class="erc-was">was <bdi>{escape(before)}</bdi></span>' if before else ""
    return (
        f'<li><a href="#erc-turn-{place + 1}" class="{"erc-changed" if before else ""}" '
        f'title="{_title(place + 1, turn)}">'
        f'<span class="erc-who">{place + 1} <bdi>{escape(turn.speaker or "")}</bdi></span>'
        f'<span class="erc-block" style="--colour:{colour}">'
        f"<b><bdi>{escape(turn.label)}</bdi></b><span>{turn.score:.0%}</span></span>{was}</a></li>"
    )


def _row(place: int, reading: Reading, colours: dict[str, str], full: set[str], *, playable: bool) -> str:
    number, turn, before = place + 1, reading.shown[place], reading.whole[place]
    when = "" if turn.start is None or turn.end is None else f" · {_minutes(turn.start)}\u2013{_minutes(turn.end)}"
    was = f'<span class="erc-was">was <bdi>{escape(before.label)}</bdi></span>' if before.label != turn.label else ""
    used = "" if set(turn.modalities) == full else f'<span class="erc-used">from {_named(turn.modalities)}</span>'
    play = (
        f'<button type="button" class="erc-play" aria-label="Play turn {number}" '
        f'data-erc-start="{turn.start or 0}" data-erc-end="{"" if turn.end is None else turn.end}">&#9654;</button>'
        if playable
        else ""
    )
    scores = "".join(
        f'<td class="erc-num{" erc-nil" if score < 0.005 else ""}" data-label="{escape(label, quote=True)}" '
        f'style="--colour:{colours[label]};--score:{score:.1%}">{score:.2f}</td>'
        for label, score in turn.scores.items()
    )
    return (
        f'<tr id="erc-turn-{number}" tabindex="-1"><th scope="row"><span class="erc-who">{play}{number} '
        f"<bdi>{escape(turn.speaker or '')}</bdi><span>{when}</span></span>"
        f'<span class="erc-words" dir="auto">{escape(turn.text or "no words")}</span></th>'
        f'<td class="erc-emotion"><i style="background:{colours[turn.label]}"></i>'
        f"<b><bdi>{escape(turn.label)}</bdi></b>{was}{used}</td>{scores}</tr>"
    )


def _player(reading: Reading) -> str:
    """Returns the player of the recording, which gradio serves from its folder of uploads."""
    if reading.recording is None:
        return ""
    kind = "video" if any(utterance.get("video") for utterance in reading.utterances) else "audio"
    address = escape(f"gradio_api/file={quote(str(reading.recording))}", quote=True)
    return (
        f'<{kind} id="erc-player" src="{address}" controls preload="metadata" playsinline></{kind}>'
        '<p id="erc-unplayable" class="erc-notes" role="status" hidden>This browser cannot play the recording.</p>'
    )


def _minutes(seconds: float) -> str:
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"
