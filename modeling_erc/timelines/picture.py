"""Draws a conversation: a lane for each speaker, a block for each turn, in rows of equal time."""

import math
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator

from ..figures import DPI, INK, WIDTH, new_figure
from .colours import emotion_colours
from .timeline import Turn

MARGIN, HEAD, GAP = 0.25, 0.95, 0.52  # inches: side margin, title and legend, time axis below each row
# With more turns than `MOST_WORDS` the figure is an overview of blocks without text.
MOST_WORDS, TURNS_A_ROW, BLOCKS_A_ROW, MOST_ROWS, MOST_LANES = 100, 10, 40, 20, 7
SPANS = (5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1200, 1800, 3600)
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)
OTHERS = "others"
FAINT = "#6b7683"
LETTER, BOLD = 0.0078, 0.0088  # mean width of a letter in inches, per point of font size


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
    """Draws a conversation of any length.

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
    timed = all(turn.start is not None and turn.end is not None for turn in turns)
    blocks = _blocks(turns, timed)
    rows = _rows(blocks)
    left = MARGIN + 0.12 + 0.082 * max(len(block.lane) for block in blocks)
    scale = (WIDTH - left - MARGIN) / (rows[0][1] - rows[0][0])  # inches per second
    roomy = len(blocks) <= MOST_WORDS and median(scale * (block.end - block.start) for block in blocks) > 0.42
    style = ROOMY if roomy else DENSE
    lanes = list(dict.fromkeys(block.lane for block in sorted(blocks, key=lambda b: (b.lane == OTHERS, b.start))))

    drawn = [(row, _within(blocks, row)) for row in rows]
    drawn = [(row, inside) for row, inside in drawn if inside]  # long silences are left out
    heights = [style.lane * len({block.lane for block in inside}) for _, inside in drawn]
    total = HEAD + sum(heights) + GAP * len(heights)
    figure = new_figure(height=total)
    figure.set_layout_engine("none")  # everything is placed in inches
    colours = emotion_colours(list(turns[0].scores))
    _draw_head(figure, turns, colours, title, total)
    top = total - HEAD
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
    names = Counter(turn.speaker or "?" for turn in turns)
    kept = {name for name, _ in names.most_common(MOST_LANES - (len(names) > MOST_LANES))}
    blocks = []
    for index, turn in enumerate(turns):
        name = turn.speaker or "?"
        start, end = (turn.start or 0.0, turn.end or 0.0) if timed else (index + 1, index + 1.94)
        lane = textwrap.shorten(name, 18, placeholder="…") or name[:17] + "…"
        blocks.append(Block(start, end, lane if name in kept else OTHERS, turn))
    return blocks


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


def _draw_head(figure: Figure, turns: Sequence[Turn], colours: dict[str, str], title: str, total: float) -> None:
    counts = Counter(turn.label for turn in turns)
    handles = [
        Patch(color=colour, label=f"{label}  {counts[label] / len(turns):.0%}")
        for label, colour in colours.items()
        if counts[label]
    ]
    x = MARGIN / WIDTH
    figure.text(x, 1 - 0.32 / total, title, fontsize=15, fontweight="bold", color=INK, va="center", parse_math=False)
    legend = figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(x, 1 - 0.52 / total),
        ncols=len(handles) if len(handles) <= 8 else math.ceil(len(handles) / 2),
        fontsize=10.5,
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        labelcolor=INK,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    mean = sum(turn.score for turn in turns) / len(turns)
    summary = f"{len(turns):,} turns · height of the strong colour: probability (mean {mean:.2f})"
    figure.text(1 - x, 1 - 0.32 / total, summary, fontsize=10, color=FAINT, ha="right", va="center")


def _draw_lanes(axes: Axes, lanes: Sequence[str], style: Style) -> None:
    height = style.lane * len(lanes)
    middles = [height - style.lane * index - style.block / 2 - 0.03 for index in range(len(lanes))]
    axes.set_yticks(middles, lanes, fontsize=10.5, color=INK, parse_math=False)
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
    edge: dict[str, Any] = {"align": "edge", "edgecolor": "white", "linewidth": 0.8 if style.words else 0.3}
    axes.bar(starts, style.block, widths, bottom, color=strong, alpha=0.25, **edge)
    axes.bar(starts, [style.block * b.turn.score for b in blocks], widths, bottom, color=strong, **edge)
    ends = [*starts[1:], axes.get_xlim()[1]]
    for block, width, following in zip(blocks, widths, ends, strict=True):
        label, inches, height = block.turn.label, width * scale, style.block * block.turn.score
        fitting = (text for text in (f"{label} {block.turn.score:.0%}", label) if BOLD * 9 * len(text) < inches - 0.1)
        if tag := next(fitting, None):
            # White on the strong colour, or in that colour above it where it is too low.
            spot = (block.start + 0.05 / scale, bottom + (0.025 if height > 0.15 else height + 0.02))
            colour = "white" if height > 0.15 else colours[label]
            axes.text(
                *spot, tag, fontsize=9, fontweight="bold", color=colour, va="bottom", clip_on=True, parse_math=False
            )
        if style.words and block.turn.text:
            room = int(max(inches, (following - block.start) * scale - 0.1) / (LETTER * 8))
            words = textwrap.wrap(block.turn.text, room, max_lines=3, placeholder=" …") if room >= 6 else []
            spot = (block.start + 0.02 / scale, bottom - 0.04)
            axes.text(*spot, "\n".join(words), fontsize=8, color=INK, va="top", linespacing=1.05, parse_math=False)
