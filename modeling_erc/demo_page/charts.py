"""Charts over a conversation as HTML and SVG, of the width of the page: a ribbon, stacked bands, curves.

The pictures have no text: names, numbers and links are HTML, so that they keep their shape at any width. The colours of
lines follow the theme, see `style.py`.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from ..timelines import Turn, Voice, is_timed, spans_of

# The coordinates of every picture, stretched to its box.
WIDTH, HEIGHT = 1000, 100


@dataclass(frozen=True)
class Scale:
    """The vertical axis of a chart.

    Args:
        low: number at the bottom.
        high: number at the top.
        step: distance of the numbers that are written beside it.
    """

    low: float
    high: float
    step: float

    @classmethod
    def around(cls, numbers: Iterable[float]) -> "Scale":
        """Returns a scale of three to six round numbers that contains `numbers`."""
        values = list(numbers)
        low, high = min(values), max(values)
        size = max(abs(low), abs(high)) or 1.0
        # Numbers that are almost equal are drawn as a flat line.
        wanted = (high - low if high - low > 1e-3 * size else size) / 4
        unit = 10.0 ** math.floor(math.log10(wanted))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= wanted)
        bottom, top = math.floor(low / step), math.ceil(high / step)
        return cls(bottom * step, max(top, bottom + 1) * step, step)

    @property
    def ticks(self) -> list[float]:
        """The numbers that are written, from the bottom."""
        first, last = round(self.low / self.step), round(self.high / self.step)
        return [number * self.step for number in range(first, last + 1)]

    def share(self, number: float) -> float:
        """Returns the height of a number, from 0 at the bottom to 1 at the top."""
        return (number - self.low) / (self.high - self.low)

    def y(self, number: float) -> str:
        """Returns the coordinate of a number in a picture."""
        return f"{HEIGHT * (1 - self.share(number)):.2f}"


def places(turns: Sequence[Turn]) -> list[tuple[float, float]]:
    """Returns the left edge and the width of each turn, as shares of the width of a chart."""
    spans = spans_of(turns)
    first, last = _extent(spans)
    length = max(last - first, 1e-3)
    return [((start - first) / length, max(end - start, 0.0) / length) for start, end in spans]


def links(turns: Sequence[Turn], titles: Sequence[str], style: Callable[[Turn], str] = lambda _: "") -> str:
    """Returns a link for each turn, over its part of a chart; a click jumps to the row of the turn.

    Args:
        turns: turns of one conversation.
        titles: escaped text that is shown while the mouse is over a turn.
        style: CSS of the link of a turn.
    """
    # The keyboard reaches the tiles, which are the same links.
    return "".join(
        f'<a href="#erc-turn-{number}" tabindex="-1" title="{title}" '
        f'style="left:{left:.3%};width:{width:.3%};{style(turn)}"></a>'
        for number, (turn, title, (left, width)) in enumerate(zip(turns, titles, places(turns), strict=True), start=1)
    )


def ends(turns: Sequence[Turn]) -> str:
    """Returns the times at both ends of a chart, if the turns have times."""
    if not is_timed(turns):
        return ""
    first, last = _extent(spans_of(turns))
    return f'<p class="erc-ends"><span>{minutes(first)}</span><span>{minutes(last)}</span></p>'


def panel(name: str, note: str, description: str, scale: Scale, picture: str) -> str:
    """Returns a chart with its name, its scale and its picture.

    Args:
        name: what the chart shows.
        note: a few words beside the name.
        description: the text alternative of the picture.
        scale: the vertical axis.
        picture: SVG elements over the lines of the scale.
    """
    ticks = "".join(f'<span style="bottom:{scale.share(tick):.2%}">{_number(tick)}</span>' for tick in scale.ticks)
    grid = "".join(f"M0 {scale.y(tick)}H{WIDTH}" for tick in scale.ticks)
    return (
        f'<figure class="erc-panel"><figcaption><b><bdi>{escape(name)}</bdi></b> {escape(note)}</figcaption>'
        f'<div class="erc-scale" aria-hidden="true">{ticks}</div>'
        f'<svg role="img" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none">'
        f"<title>{escape(description)}</title>"
        f'<path class="erc-grid" d="{grid}"/>{picture}</svg></figure>'
    )


def charts(panels: Iterable[str], turns: Sequence[Turn], titles: Sequence[str]) -> str:
    """Returns panels below each other, on one time axis; a click on any jumps to the row of the turn."""
    spots = f'<div class="erc-spots" aria-hidden="true">{links(turns, titles)}</div>'
    return f'<div class="erc-charts">{"".join(panels)}{spots}</div>{ends(turns)}'


def bands(turns: Sequence[Turn], colours: dict[str, str], scale: Scale) -> str:
    """Draws the scores of each turn on top of each other, in the order of `colours`."""
    parts = []
    for turn, (left, width) in zip(turns, places(turns), strict=True):
        bottom = 0.0
        for label, colour in colours.items():
            top = bottom + turn.scores[label]
            outline = f"M{_x(left)} {scale.y(bottom)}V{scale.y(top)}H{_x(left + width)}V{scale.y(bottom)}Z"
            parts.append(f'<path class="erc-band" style="color:{colour}" d="{outline}"/>')
            bottom = top
    return "".join(parts)


def curve(turns: Sequence[Turn], values: Sequence[float], speakers: Sequence[Voice], scale: Scale) -> str:
    """Draws a line through the middles of the turns, and a bar over each turn in the colour of its speaker."""
    bars = [
        f"M{_x(left)} {scale.y(value)}H{_x(left + width)}"
        for (left, width), value in zip(places(turns), values, strict=True)
    ]
    own = {voice.colour: "".join(bars[place] for place in voice.places) for voice in speakers}
    return line(turns, values, scale, "erc-line") + "".join(
        f'<path class="erc-voice" style="--colour:{colour}" d="{outline}"/>' for colour, outline in own.items()
    )


def line(turns: Sequence[Turn], values: Sequence[float], scale: Scale, look: str) -> str:
    """Draws a line through the middles of the turns, with a CSS class."""
    middles = [
        f"{_x(left + width / 2)} {scale.y(value)}" for (left, width), value in zip(places(turns), values, strict=True)
    ]
    return f'<path class="{look}" d="M{"L".join(middles)}"/>'


def minutes(seconds: float) -> str:
    """Formats seconds as `minutes:seconds` with one decimal."""
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def _extent(spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Returns the first start and the last end."""
    return min(start for start, _ in spans), max(end for _, end in spans)


def _x(share: float) -> str:
    return f"{WIDTH * share:.1f}"


def _number(tick: float) -> str:
    return f"{tick:.10g}".replace("-", "\u2212")
