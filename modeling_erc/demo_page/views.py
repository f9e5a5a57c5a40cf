"""HTML of a reading: charts, one tile per turn, and a table of all numbers. All input text is escaped.

`page.js` shows one page of turns at a time, jumps to the row of a turn, and plays it.
"""

from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import quote

from ..timelines import Turn, emotion_colours
from .answers import Answer, answers_of, swatch
from .charts import minutes
from .reading import NAMES, Reading, joined

TURNS_A_PAGE = 40


def results_view(reading: Reading, off: Sequence[str]) -> str:
    """Returns the summary, the changes and the timeline.

    Args:
        reading: the predictions.
        off: modalities that are switched off.
    """
    count, answers = len(reading.shown), answers_of(reading)
    turns = f"{count} turn" if count == 1 else f"{count} turns"
    summary = f'<p class="erc-summary">{turns}, read from {_named(_used(reading))}.</p>'
    titles = [_title(number, turn, answers) for number, turn in enumerate(reading.shown, start=1)]
    timeline = "".join(answer.overview(titles) for answer in answers) + _pager(count) + _tiles(reading, titles, answers)
    return notes_view(reading.notes) + summary + _change(reading, off, answers) + timeline


def table_view(reading: Reading) -> str:
    """Returns the recording's player, and a table with one row per turn and all scores and numbers.

    On a narrow screen each row is a card.
    """
    answers, full = answers_of(reading), _used(reading)
    heading = "".join(f'<th scope="col">{answer.heading}</th>' for answer in answers if answer.heading)
    columns = [escape(name) for answer in answers for name in answer.columns]
    head = heading + "".join(f'<th scope="col" class="erc-num">{name}</th>' for name in columns)
    caption = joined(["Every turn", *(answer.caption for answer in answers)])
    rows = [_row(place, reading, answers, full) for place in range(len(reading.shown))]
    bodies = "".join(f"<tbody{page}>{''.join(rows[first:last])}</tbody>" for page, first, last in _pages(len(rows)))
    return (
        f"{_player(reading)}{_pager(len(rows))}"
        f'<div class="erc-scroll"><table class="erc-table"><caption>{caption}</caption>'
        f'<thead><tr><th scope="col">turn</th>{head}</tr></thead>'
        f"{bodies}</table></div>"
    )


def message_view(message: str) -> str:
    """Returns an error message."""
    return f'<p class="erc-message" role="alert" dir="auto">{escape(message)}</p>'


def notes_view(notes: Iterable[str]) -> str:
    """Returns the list of guesses and omissions."""
    items = "".join(f'<li dir="auto">{escape(note[:1].upper() + note[1:])}</li>' for note in notes)
    return f'<div class="erc-notes" role="status"><ul>{items}</ul></div>' if items else ""


def empty_view(predicted: Sequence[str], labels: Sequence[str]) -> str:
    """Returns the content before the first conversation.

    Args:
        predicted: what the model predicts of a turn.
        labels: labels of the model.
    """
    swatches = "".join(swatch(label, colour) for label, colour in emotion_colours(labels).items())
    legend = f'<ul class="erc-legend">{swatches}</ul>' if swatches else ""
    shown, verb = escape(joined(predicted)), "appears" if len(predicted) == 1 else "appear"
    return f'<p class="erc-hint">{shown[:1].upper()}{shown[1:]} of every turn {verb} here.</p>{legend}'


def _used(reading: Reading) -> set[str]:
    """The modalities used for at least one turn."""
    return {modality for turn in reading.shown for modality in turn.modalities}


def _named(modalities: Iterable[str]) -> str:
    """Formats modalities as a phrase: `words, voice and face`."""
    return joined([NAMES[m] for m in NAMES if m in set(modalities)]) or "nothing"


def _change(reading: Reading, off: Sequence[str], answers: Sequence[Answer]) -> str:
    """Compares with the predictions that also use what is switched off, if the conversation has it."""
    off = [m for m in off if any(m in turn.modalities for turn in reading.whole)]
    if not off:
        return ""
    change = escape("; ".join(answer.change() for answer in answers))
    return f'<p class="erc-change" role="status">Without {_named(off)}, <b>{change}</b>.</p>'


def _title(number: int, turn: Turn, answers: Sequence[Answer]) -> str:
    predicted = ", ".join(answer.summary(turn) for answer in answers)
    return escape(f"{number} {turn.speaker or ''}: {turn.text or ''} ({predicted})", quote=True)


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


def _tiles(reading: Reading, titles: Sequence[str], answers: Sequence[Answer]) -> str:
    tiles = [_tile(place, reading, title, answers) for place, title in enumerate(titles)]
    return "".join(
        f'<ol class="erc-tiles" aria-label="Emotions of turns {first + 1} to {last}"{page}>'
        f"{''.join(tiles[first:last])}</ol>"
        for page, first, last in _pages(len(tiles))
    )


def _tile(place: int, reading: Reading, title: str, answers: Sequence[Answer]) -> str:
    turn, was = reading.shown[place], _was(place, answers)
    content = "".join(answer.tile(turn) for answer in answers)
    return (
        f'<li><a href="#erc-turn-{place + 1}" class="{"erc-changed" if was else ""}" title="{title}">'
        f'<span class="erc-who">{place + 1} <bdi>{escape(turn.speaker or "")}</bdi></span>{content}{was}</a></li>'
    )


def _was(place: int, answers: Sequence[Answer]) -> str:
    before = ", ".join(filter(None, (answer.before(place) for answer in answers)))
    return f'<span class="erc-was">was <bdi>{escape(before)}</bdi></span>' if before else ""


def _row(place: int, reading: Reading, answers: Sequence[Answer], full: set[str]) -> str:
    number, turn = place + 1, reading.shown[place]
    when = "" if turn.start is None or turn.end is None else f" · {minutes(turn.start)}\u2013{minutes(turn.end)}"
    used = "" if set(turn.modalities) == full else f'<span class="erc-used">from {_named(turn.modalities)}</span>'
    play = (
        f'<button type="button" class="erc-play" aria-label="Play turn {number}" '
        f'data-erc-start="{turn.start or 0}" data-erc-end="{"" if turn.end is None else turn.end}">&#9654;</button>'
        if reading.recording is not None
        else ""
    )
    emotion, remarks = "".join(answer.emotion(turn) for answer in answers), _was(place, answers) + used
    # Numbers alone have no column with the emotion, where the remarks would be.
    words, cell = (remarks, "") if not emotion else ("", f'<td class="erc-emotion">{emotion}{remarks}</td>')
    return (
        f'<tr id="erc-turn-{number}" tabindex="-1"><th scope="row"><span class="erc-who">{play}{number} '
        f"<bdi>{escape(turn.speaker or '')}</bdi><span>{when}</span></span>"
        f'<span class="erc-words" dir="auto">{escape(turn.text or "no words")}</span>{words}</th>'
        f"{cell}{''.join(answer.cells(turn) for answer in answers)}</tr>"
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
