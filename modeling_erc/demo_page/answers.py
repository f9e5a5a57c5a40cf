"""What the page shows of each kind of prediction: one label, several labels, and targets such as valence.

A model has labels, targets, or both. All text of the input and of the model is escaped.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from html import escape
from statistics import mean

from ..timelines import Turn, emotion_colours, voices
from .charts import Scale, bands, charts, curve, ends, line, links, panel
from .reading import Reading, joined

# Numbers are written with two decimals: a smaller difference is none.
LEAST = 0.005


def answers_of(reading: Reading) -> "list[Answer]":
    """Returns the kinds of prediction of a reading, in the order of the page."""
    turn = reading.shown[0]
    labels = [] if not turn.scores else [OneLabel(reading) if turn.labels is None else SeveralLabels(reading)]
    return [*labels, *([Targets(reading)] if turn.targets else [])]


def named(turn: Turn) -> str:
    """Returns the emotions of a turn of a model of labels, in one line."""
    return " + ".join(turn.emotions) or "none"


def swatch(label: str, colour: str, count: int | None = None) -> str:
    """Returns an entry of a legend."""
    number = "" if count is None else f" <b>{count}</b>"
    return f'<li><i style="background:{colour}"></i><bdi>{escape(label)}</bdi>{number}</li>'


class Answer(ABC):
    """One kind of prediction for the turns of a reading.

    Args:
        reading: the predictions.

    Attributes:
        heading: heading of the column with the emotions, empty for numbers alone.
        caption: what the columns of numbers hold.
        columns: headings of the columns of numbers.
    """

    heading: str = ""
    caption: str
    columns: list[str]

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    @abstractmethod
    def summary(self, turn: Turn) -> str:
        """Returns the prediction for a turn in a few words, not escaped."""

    @abstractmethod
    def overview(self, titles: Sequence[str]) -> str:
        """Returns the legend and the chart of the conversation.

        Args:
            titles: escaped text for each turn, which is shown while the mouse is over it.
        """

    @abstractmethod
    def change(self) -> str:
        """Returns what differs from the predictions with all modalities, as a clause, not escaped."""

    @abstractmethod
    def before(self, place: int) -> str:
        """Returns what was predicted with all modalities, not escaped; empty where a turn has no notable change."""

    @abstractmethod
    def tile(self, turn: Turn) -> str:
        """Returns the content of the tile of a turn."""

    @abstractmethod
    def cells(self, turn: Turn) -> str:
        """Returns the cells of a turn in the columns of numbers."""

    def emotion(self, turn: Turn) -> str:
        """Returns the content of the column with the emotions."""
        return ""


class OneLabel(Answer):
    """The most probable emotion of a turn, drawn as a ribbon."""

    heading, caption = "emotion", "the score of every emotion"

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading)
        self.columns = list(reading.shown[0].scores)
        self.colours = emotion_colours(self.columns)
        self.counts = Counter(emotion for turn in reading.shown for emotion in turn.emotions)
        self.changed = set(reading.changed)

    def summary(self, turn: Turn) -> str:
        return named(turn)

    def overview(self, titles: Sequence[str]) -> str:
        turns = self.reading.shown
        ribbon = links(turns, titles, lambda turn: f"background:{self.colours[turn.label]}")
        legend = self._legend([name for name in self.columns if self.counts[name]])
        return f'{legend}<div class="erc-ribbon" aria-hidden="true">{ribbon}</div>{ends(turns)}'

    def _legend(self, names: Sequence[str]) -> str:
        items = "".join(swatch(name, self.colours[name], self.counts[name]) for name in names)
        return f'<ul class="erc-legend" aria-label="Turns of each emotion">{items}</ul>'

    def change(self) -> str:
        count, turns = len(self.changed), len(self.reading.shown)
        return f"{count} of {turns} labels {'changes' if count == 1 else 'change'}" if count else "no label changes"

    def before(self, place: int) -> str:
        return named(self.reading.whole[place]) if place in self.changed else ""

    def tile(self, turn: Turn) -> str:
        return "".join(self._block(name, turn.scores[name]) for name in turn.emotions)

    def _block(self, name: str, score: float) -> str:
        return (
            f'<span class="erc-block" style="--colour:{self.colours[name]}">'
            f"<b><bdi>{escape(name)}</bdi></b><span>{score:.0%}</span></span>"
        )

    def emotion(self, turn: Turn) -> str:
        return "<br/>".join(
            f'<i style="background:{self.colours[name]}"></i><b><bdi>{escape(name)}</bdi></b>' for name in turn.emotions
        )

    def cells(self, turn: Turn) -> str:
        return "".join(
            f'<td class="erc-num{" erc-nil" if score < LEAST else ""}" data-label="{escape(label, quote=True)}" '
            f'style="--colour:{self.colours[label]};--score:{score:.1%}">{score:.2f}</td>'
            for label, score in turn.scores.items()
        )


class SeveralLabels(OneLabel):
    """Any number of emotions of a turn, drawn as stacked bands of their probabilities."""

    heading = "emotions"

    def overview(self, titles: Sequence[str]) -> str:
        turns = self.reading.shown
        scale = Scale.around([0.0, *(sum(turn.scores.values()) for turn in (*turns, *self.reading.whole)), 1.0])
        description = f"Probabilities of {joined(self.columns)} over the conversation; the table has all numbers."
        note = "the height of a band is a probability"
        bars = panel("emotions", note, description, scale, bands(turns, self.colours, scale))
        return self._legend(self.columns) + charts([bars], turns, titles)

    def change(self) -> str:
        pairs = [(self.reading.whole[place], self.reading.shown[place]) for place in self.reading.changed]
        if not pairs:
            return "no emotion changes"
        turns = Counter(name for before, now in pairs for name in {*before.emotions} ^ {*now.emotions})
        which = joined([f"{name} in {turns[name]}" for name in self.columns if turns[name]])
        return f"the emotions of {len(pairs)} of {len(self.reading.shown)} turns change: {which}"

    def tile(self, turn: Turn) -> str:
        blocks = super().tile(turn) or '<span class="erc-block erc-none">none</span>'
        return f'<span class="erc-several">{blocks}</span>'

    def emotion(self, turn: Turn) -> str:
        return super().emotion(turn) or "none"


class Targets(Answer):
    """Numbers of a turn, each drawn as a curve."""

    caption = "every predicted number"

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading)
        self.columns = list(reading.shown[0].targets)
        self.most = {name: self._most_changed(name) for name in self.columns}

    def _most_changed(self, name: str) -> int | None:
        """Returns the index of the turn whose number changes most, None where none changes."""
        pairs = zip(self.reading.whole, self.reading.shown, strict=True)
        changes = [abs(now.targets[name] - before.targets[name]) for before, now in pairs]
        return changes.index(max(changes)) if max(changes) >= LEAST else None

    def summary(self, turn: Turn) -> str:
        return ", ".join(f"{name} {value:.2f}" for name, value in turn.targets.items())

    def overview(self, titles: Sequence[str]) -> str:
        return self._legend() + charts(map(self._panel, self.columns), self.reading.shown, titles)

    def _legend(self) -> str:
        items = [
            f'<li><i class="erc-voice" style="--colour:{voice.colour}"></i><bdi>{escape(voice.name)}</bdi></li>'
            for voice in voices(self.reading.shown)
        ]
        if any(place is not None for place in self.most.values()):
            items.append('<li><i class="erc-before"></i>with everything switched on</li>')
        return f'<ul class="erc-legend" aria-label="Lines">{"".join(items)}</ul>' if len(items) > 1 else ""

    def _panel(self, name: str) -> str:
        turns = self.reading.shown
        values = [turn.targets[name] for turn in turns]
        whole = [turn.targets[name] for turn in self.reading.whole]
        scale = Scale.around([*values, *whole])
        low, high = (values.index(extreme) for extreme in (min(values), max(values)))
        description = (
            f"{name} over the conversation, from {values[low]:.2f} in turn {low + 1} to {values[high]:.2f} in turn "
            f"{high + 1}; the table has all numbers."
        )
        before = "" if self.most[name] is None else line(self.reading.whole, whole, scale, "erc-before")
        drawn = before + curve(turns, values, voices(turns), scale)
        return panel(name, f"mean {mean(values):.2f}", description, scale, drawn)

    def change(self) -> str:
        return "; ".join(self._change(name, place) for name, place in self.most.items())

    def _change(self, name: str, place: int | None) -> str:
        if place is None:
            return f"{name} does not change"
        before, now = (turns[place].targets[name] for turns in (self.reading.whole, self.reading.shown))
        return f"{name} changes most in turn {place + 1}, from {before:.2f} to {now:.2f}"

    def before(self, place: int) -> str:
        numbers = self.reading.whole[place].targets
        return ", ".join(f"{name} {numbers[name]:.2f}" for name, most in self.most.items() if most == place)

    def tile(self, turn: Turn) -> str:
        values = "".join(
            f"<span><bdi>{escape(name)}</bdi> <b>{value:.2f}</b></span>" for name, value in turn.targets.items()
        )
        return f'<span class="erc-values">{values}</span>'

    def cells(self, turn: Turn) -> str:
        return "".join(
            f'<td class="erc-num" data-label="{escape(name, quote=True)}">{value:.2f}</td>'
            for name, value in turn.targets.items()
        )
