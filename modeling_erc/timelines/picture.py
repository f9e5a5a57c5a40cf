"""Draws a conversation: a lane for each speaker, a block for each turn, in rows of equal time."""

import math
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator

from ..figures import INK, WIDTH, new_figure
from ..lettering import DPI, lettering, text_width
from .colours import emotion_colours, letter_colour
from .curves import draw_curves
from .speakers import OTHERS, short_names
from .timeline import Turn, is_timed, spans_of

MARGIN, GAP = 0.25, 0.52  # inches: side margin, time axis below each row
TITLE, LINE, LEGEND = 15, 0.25, 10.5  # font size of the title, height of a line of the head in inches, font size
# With more turns than `MOST_WORDS` the figure is an overview of blocks without text.
MOST_WORDS, TURNS_A_ROW, BLOCKS_A_ROW, MOST_ROWS, MOST_LANES = 100, 10, 25, 20, 24
SPANS = (5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1200, 1800, 3600)
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
FAINT = "#566476"


@dataclass(frozen=True)
class Style:
    """Heights in inches of a lane and of its blocks, and whether the text is written below the blocks."""

    lane: float
    block: float
    words: bool


ROOMY, DENSE = Style(0.86, 0.40, True), Style(0.36, 0.29, False)


@dataclass(frozen=True)
class Block:
    """A turn in its lane, from `start` to `end`, in seconds or in turns."""

    start: float
    end: float
    lane: str
    turn: Turn


def plot_timeline(turns: Sequence[Turn], path: str | Path, *, title: str = "Emotion timeline") -> None:
    """Draws a conversation of any length: blocks of one label, bands of several labels, or curves of targets.

    The colour of a block shows its emotion, the height of the strong colour its probability. Where there is room, the
    emotion and the text are written out. Turns without times have equal widths.

    Args:
        turns: turns of one conversation.
        path: PNG file to write, 1280 pixels wide.
        title: title of the figure.

    Raises:
        ValueError: there is no turn.
    """
    if not turns:
        raise ValueError("there is no turn to draw")
    if not turns[0].label:
        draw_curves(turns, Path(path), title)
        return
    names = [name for turn in turns for name in (turn.speaker, turn.text, *turn.scores) if name]
    with lettering([title, "\u2026", *names]) as spell:
        _plot([_spelled(turn, spell) for turn in turns], Path(path), spell(title))


def _spelled(turn: Turn, spell: Callable[[str], str]) -> Turn:
    return replace(
        turn,
        speaker=spell(" ".join((turn.speaker or "?").split())),
        text=spell(" ".join((turn.text or "").split())),
        label=spell(turn.label),
        scores={spell(label): score for label, score in turn.scores.items()},
    )


def _plot(turns: Sequence[Turn], path: Path, title: str) -> None:
    timed = is_timed(turns)
    blocks = _blocks(turns, timed)
    rows = _rows(blocks)
    left = MARGIN + 0.12 + max(text_width(lane, 10.5) for lane in {block.lane for block in blocks})
    scale = (WIDTH - left - MARGIN) / (rows[0][1] - rows[0][0])  # inches per second
    roomy = len(blocks) <= MOST_WORDS and median(scale * (block.end - block.start) for block in blocks) > 0.42
    style = ROOMY if roomy else DENSE
    lanes = list(dict.fromkeys(block.lane for block in sorted(blocks, key=lambda b: (b.lane == OTHERS, b.start))))

    drawn = [(row, _within(blocks, row)) for row in rows]
    drawn = [(row, inside) for row, inside in drawn if inside]  # long silences are left out
    heights = [style.lane * len({block.lane for block in inside}) for _, inside in drawn]
    colours = emotion_colours(list(turns[0].scores))
    title_rows, columns = _wrapped(title, WIDTH - 2 * MARGIN, TITLE, 2, "bold"), _legend_columns(turns, colours)
    legend_rows = math.ceil(len({turn.label for turn in turns}) / columns)
    head = LINE * (1.2 * len(title_rows) + 1 + legend_rows) + 0.35
    total = head + sum(heights) + GAP * len(heights)
    figure = new_figure(height=total)
    figure.set_layout_engine("none")  # everything is placed in inches
    _draw_head(figure, turns, colours, title_rows, columns)
    top = total - head
    for (row, inside), height in zip(drawn, heights, strict=True):
        box = (left / WIDTH, (top - height) / total, (WIDTH - left - MARGIN) / WIDTH, height / total)
        axes = figure.add_axes(box, xlim=row, ylim=(0, height))
        present = [lane for lane in lanes if any(block.lane == lane for block in inside)]
        _draw_lanes(axes, present, style)
        _draw_clock(axes, row, timed)
        for place, lane in enumerate(present):
            _draw_blocks(axes, [block for block in inside if block.lane == lane], place, style, colours, scale)
        top -= height + GAP
    figure.savefig(path, dpi=DPI)


def _blocks(turns: Sequence[Turn], timed: bool) -> list[Block]:
    lanes, gap = short_names(turns, MOST_LANES), 0.0 if timed else 0.06
    return [
        Block(start, end - gap, lanes[turn.speaker or "?"], turn)
        for turn, (start, end) in zip(turns, spans_of(turns), strict=True)
    ]


def _wrapped(text: str, room: float, size: float, lines: int, weight: str = "normal") -> list[str]:
    """Breaks a text into lines of at most `room` inches; empty where not even a few letters have room."""
    count = int(room / text_width(text, size, weight) * len(text)) + 1 if text else 0
    while count >= 6:
        rows = textwrap.wrap(text, count, max_lines=lines, placeholder=" …")
        if all(text_width(row, size, weight) <= room for row in rows):
            return rows
        count = min(count - 1, int(0.95 * count))
    return []


def _legend_columns(turns: Sequence[Turn], colours: dict[str, str]) -> int:
    """Returns the number of entries of the legend in a row."""
    texts = _legend_texts(turns, colours).values()
    widest = 0.65 + max(text_width(text, LEGEND) for text in texts)
    return max(1, min(len(texts), int((WIDTH - 2 * MARGIN) / widest)))


def _legend_texts(turns: Sequence[Turn], colours: dict[str, str]) -> dict[str, str]:
    counts = Counter(turn.label for turn in turns)
    return {label: f"{label}  {counts[label] / len(turns):.0%}" for label in colours if counts[label]}


def _rows(blocks: Sequence[Block]) -> list[tuple[float, float]]:
    """Returns the time span of each row; several rows have the same round length."""
    first, last = min(block.start for block in blocks), max(block.end for block in blocks)
    last = max(last, first + 1)
    count = min(math.ceil(len(blocks) / (TURNS_A_ROW if len(blocks) <= MOST_WORDS else BLOCKS_A_ROW)), MOST_ROWS)
    if count == 1:
        return [(first, last)]
    wanted = (last - first) / count
    span = next((span for span in SPANS if span >= wanted), 3600 * math.ceil(wanted / 3600))
    tick = _tick(span)
    first = tick * math.floor(first / tick)
    return [(first + span * i, first + span * (i + 1)) for i in range(math.ceil((last - first) / span))]


def _tick(span: float) -> float:
    return next((tick for tick in TICKS if span / tick <= 12), span / 10)


def _within(blocks: Sequence[Block], row: tuple[float, float]) -> list[Block]:
    """Returns the blocks inside a row; a turn across its end is cut and is in both rows."""
    inside = (b for b in blocks if b.start < row[1] and (b.end > row[0] or b.start == row[0]))
    return [Block(max(b.start, row[0]), min(b.end, row[1]), b.lane, b.turn) for b in inside]


def _draw_head(
    figure: Figure, turns: Sequence[Turn], colours: dict[str, str], title: Sequence[str], columns: int
) -> None:
    """Draws the title, a line about the turns, and the legend below each other."""
    x, total = MARGIN / WIDTH, figure.get_figheight()
    y = 0.2
    figure.text(x, 1 - y / total, "\n".join(title), fontsize=TITLE, fontweight="bold", color=INK, va="top")
    y += 1.2 * LINE * len(title)
    mean = sum(turn.score for turn in turns) / len(turns)
    summary = f"{len(turns):,} turns; the height of the strong colour is the probability (mean {mean:.2f})"
    figure.text(x, 1 - y / total, summary, fontsize=10, color=FAINT, va="top")
    handles = [Patch(color=colours[label], label=text) for label, text in _legend_texts(turns, colours).items()]
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(x, 1 - (y + LINE) / total),
        ncols=columns,
        fontsize=LEGEND,
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        labelcolor=INK,
    )


def _draw_lanes(axes: Axes, lanes: Sequence[str], style: Style) -> None:
    height = style.lane * len(lanes)
    middles = [height - style.lane * index - style.block / 2 - 0.03 for index in range(len(lanes))]
    axes.set_yticks(middles, lanes, fontsize=10.5, color=INK)
    axes.tick_params(axis="y", length=0, pad=6)
    for middle in middles:
        axes.axhline(middle - style.block / 2, color="#dfe3e8", linewidth=0.8, zorder=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#b9c0c8")


def _draw_clock(axes: Axes, row: tuple[float, float], timed: bool) -> None:
    axes.xaxis.set_major_locator(MultipleLocator(_tick(row[1] - row[0])))
    axes.xaxis.set_major_formatter(lambda place, _: _clock(place) if timed else f"{place:g}")
    axes.tick_params(axis="x", labelsize=9, labelcolor=FAINT, color="#b9c0c8", length=3)
    axes.grid(axis="x", color="#eef1f4", linewidth=0.8)
    axes.set_axisbelow(True)


def _clock(seconds: float) -> str:
    whole = round(seconds)
    minutes = f"{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{whole // 3600}:{minutes}" if whole >= 3600 else minutes.removeprefix("0")


def _draw_blocks(
    axes: Axes, blocks: Sequence[Block], place: int, style: Style, colours: dict[str, str], scale: float
) -> None:
    """Draws the blocks of one lane; `place` is its index from the top."""
    bottom = axes.get_ylim()[1] - style.lane * place - 0.03 - style.block
    starts = [block.start for block in blocks]
    # At least two pixels, so that every turn is visible.
    widths = [max(block.end - block.start, 0.02 / scale) for block in blocks]
    strong = [colours[block.turn.label] for block in blocks]
    edge: dict[str, Any] = {"edgecolors": "white", "linewidths": 0.8 if style.words else 0.3, "facecolors": strong}
    # One collection for all blocks: 20,000 bars take more than a minute.
    for shares, alpha in ([1.0] * len(blocks), 0.25), ([block.turn.score for block in blocks], 1.0):
        outlines = [
            [(x, bottom), (x, top), (x + width, top), (x + width, bottom)]
            for x, width, top in zip(starts, widths, (bottom + style.block * share for share in shares), strict=True)
        ]
        axes.add_collection(PolyCollection(outlines, alpha=alpha, **edge), autolim=False)
    ends = [*starts[1:], axes.get_xlim()[1]]
    size = 9 if style.words else 7.5
    for block, width, following in zip(blocks, widths, ends, strict=True):
        label, inches, height = block.turn.label, width * scale, style.block * block.turn.score
        texts = [f"{label} {block.turn.score:.0%}", label, f"{label[:3]}."]
        if tag := next((text for text in texts if text_width(text, size, "bold") < inches - 0.07), None):
            # On the strong colour, or above it where it is too low.
            low = height < 0.15
            spot = (block.start + 0.04 / scale, bottom + (height + 0.02 if low else 0.025))
            colour = INK if low else letter_colour(colours[label])
            axes.text(*spot, tag, fontsize=size, fontweight="bold", color=colour, va="bottom")
        if style.words and block.turn.text:
            room = max(inches, (following - block.start) * scale - 0.1) - 0.02
            spot = (block.start + 0.02 / scale, bottom - 0.04)
            words = "\n".join(_wrapped(block.turn.text, room, 8, 3))
            axes.text(*spot, words, fontsize=8, color=INK, va="top", linespacing=1.05)
