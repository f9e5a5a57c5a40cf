"""Draws numbers as curves over a conversation, and the probabilities of several labels as stacked bands."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from ..figures import INK, new_figure
from ..lettering import DPI, lettering
from .colours import emotion_colours
from .speakers import Voice, voices
from .timeline import Turn, is_timed, spans_of

PANEL, HEAD = 1.9, 1.3  # inches: height of a panel; title, legend and time axis
FAINT = "#566476"
MOST_POINTS = 300


def draw_curves(turns: Sequence[Turn], path: Path, title: str) -> None:
    """Draws a panel for each target, and one for the labels where an utterance may have several.

    In the panel of a target the line joins the turns of all speakers, and a bar from start to end of each turn has the
    colour of its speaker. In that of the labels the height of a band is the probability of its label. Turns without
    times have equal widths. `plot_timeline` has the arguments.
    """
    targets, labels = list(turns[0].targets), [] if turns[0].labels is None else list(turns[0].scores)
    speakers = voices(turns)
    with lettering([title, *targets, *labels, *(voice.name for voice in speakers)]) as spell:
        figure = new_figure(height=HEAD + PANEL * (len(targets) + bool(labels)))
        panels = np.atleast_1d(figure.subplots(len(targets) + bool(labels), sharex=True))
        figure.suptitle(spell(title), fontsize=15, fontweight="bold", color=INK, x=0.02, ha="left")
        spans = np.array(spans_of(turns))
        for axes, target in zip(panels, targets, strict=False):
            _draw_target(axes, turns, spans, target, speakers, spell)
        if targets:
            panels[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=5, fontsize=9, frameon=False)
        if labels:
            _draw_labels(panels[-1], turns, spans, labels, spell)
        note = "; dashed: the mean of the conversation" if targets else ""
        panels[-1].set_xlabel(("seconds" if is_timed(turns) else "turn") + note, fontsize=9, color=FAINT)
        panels[-1].set_xlim(spans.min(), max(spans.max(), spans.min() + 1))
        figure.savefig(path, dpi=DPI)


def _draw_target(
    axes: Axes,
    turns: Sequence[Turn],
    spans: np.ndarray,
    target: str,
    speakers: Sequence[Voice],
    spell: Callable[[str], str],
) -> None:
    values = np.array([turn.targets[target] for turn in turns])
    axes.plot(spans.mean(axis=1), values, color="#9aa5b1", linewidth=1, zorder=1)
    axes.axhline(values.mean(), color="#b9c0c8", linewidth=0.8, linestyle="--", zorder=0)
    for voice in speakers:
        own, colour = voice.places, voice.colour
        # A label that begins with an underscore would stay out of the legend.
        name = spell(voice.name).lstrip("_") or "?"
        axes.hlines(values[own], spans[own, 0], spans[own, 1], color=colour, linewidth=4, zorder=2, label=name)
        if len(turns) <= MOST_POINTS:
            axes.plot(spans[own].mean(axis=1), values[own], "o", color=colour, markersize=4, zorder=3)
    _style(axes, spell(target))


def _draw_labels(
    axes: Axes, turns: Sequence[Turn], spans: np.ndarray, labels: Sequence[str], spell: Callable[[str], str]
) -> None:
    scores = np.array([[turn.scores[label] for label in labels] for turn in turns])
    colours = emotion_colours(labels)
    # A band keeps the height of a turn from its start to its end.
    axes.stackplot(
        spans.ravel(),
        scores.repeat(2, axis=0).T,
        labels=[spell(label) for label in labels],
        colors=[colours[label] for label in labels],
        edgecolor="white",
        linewidth=0.4,
    )
    axes.set_ylim(0, max(1.0, scores.sum(axis=1).max() * 1.05))
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(labels), fontsize=9, frameon=False)
    _style(axes, "probabilities")


def _style(axes: Axes, name: str) -> None:
    axes.set_ylabel(name, fontsize=10.5, color=INK)
    axes.tick_params(labelsize=9, labelcolor=FAINT, color="#b9c0c8", length=3)
    axes.grid(color="#eef1f4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b9c0c8")
