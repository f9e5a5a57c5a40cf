"""Figures of an analysis: calibration, embeddings, attention, robustness."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.lines import Line2D

from ..figures import INK, WIDTH, new_figure
from ..lettering import DPI, lettering
from ..timelines import emotion_colours
from ..training.calibration import Reliability
from .robustness import Curve

# One for each of three strengths; they differ in greyscale and for colour-blind readers.
COLOURS = ("#e0912f", "#b8336a", "#3b1f8c")
MARKERS = "os^DvPX*"  # of the classes in the map
STYLES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")
COLUMNS = 3


def plot_reliability(bins: Reliability, path: Path, *, title: str) -> None:
    """Draws a reliability diagram above the number of utterances in each bin."""
    with lettering([title]) as spell:
        _draw_reliability(bins, path, f"{spell(title)}: expected calibration error {bins.error:.3f}")


def _draw_reliability(bins: Reliability, path: Path, title: str) -> None:
    figure = new_figure(height=8.4)
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    middles, width = (bins.edges[:-1] + bins.edges[1:]) / 2, np.diff(bins.edges) * 0.94
    filled = bins.counts > 0
    accuracy = bins.accuracy[filled]
    upper.bar(middles[filled], accuracy, width=width[filled], color="#5b8fc7", label="accuracy")
    upper.plot([0, 1], [0, 1], color=INK, linestyle="--", linewidth=1.2, label="perfect calibration")
    upper.scatter(
        bins.confidence[filled], accuracy, s=34, color="#c2512f", zorder=3, label="accuracy at the mean probability"
    )
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1.02)
    upper.set_ylabel("accuracy", fontsize=12)
    upper.grid(alpha=0.25)
    upper.legend(loc="upper left", fontsize=11)
    upper.set_title(title, fontsize=14)
    lower.bar(middles, bins.counts, width=width, color="#a9b4c0")
    lower.set_ylabel("utterances", fontsize=12)
    lower.set_xlabel("probability of the predicted class", fontsize=12)
    lower.grid(alpha=0.25)
    figure.savefig(path, dpi=DPI)


def plot_map(points: np.ndarray, labels: np.ndarray, names: Sequence[str], path: Path, *, title: str) -> None:
    """Draws utterances on a plane, coloured by class: `points` `(n, 2)`, `labels` `(n,)` class indices."""
    with lettering([title, *names]) as spell:
        _draw_map(points, labels, names, [spell(name) for name in names], path, spell(title))


def _draw_map(
    points: np.ndarray, labels: np.ndarray, names: Sequence[str], shown: Sequence[str], path: Path, title: str
) -> None:
    figure = new_figure(height=8.4)
    axes = figure.subplots()
    colours, counts = emotion_colours(names), np.bincount(labels, minlength=len(names))
    for label, (name, text, count) in enumerate(zip(names, shown, counts, strict=True)):
        x, y = points[labels == label].T
        axes.scatter(
            *(x, y, 26),
            color=colours[name],
            marker=MARKERS[label % len(MARKERS)],
            alpha=0.8,
            linewidths=0,
            zorder=1 / (1 + count),  # small classes are above the large ones, which would hide them
            label=f"{text} ({count})",
        )
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        fontsize=12,
        markerscale=2,
        frameon=False,
        ncols=1 + (len(names) - 1) // 24,
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=14)
    figure.savefig(path, dpi=DPI)


def plot_joint_attention(
    shares: np.ndarray, even: np.ndarray, modalities: Sequence[str], path: Path, *, title: str
) -> None:
    """Draws the share of attention of each layer, joint vector and modality, coloured by its distance from `even`.

    Args:
        shares: `(layers, joint vectors, modalities)`, NaN where unknown.
        even: `(modalities,)` shares under uniform attention.
    """
    layers, vectors, _ = shares.shape
    figure = new_figure(max(WIDTH, 1.5 + layers * (1 + 0.9 * len(modalities))), max(4.0, 1.8 + 0.55 * vectors))
    panels = figure.subplots(1, layers, squeeze=False, sharey=True)[0]
    surplus = shares - even
    largest = max(0.05, *np.abs(surplus[~np.isnan(surplus)]).tolist(), 0.0)
    for number, axes in enumerate(panels):
        image = axes.imshow(surplus[number], cmap="RdBu", vmin=-largest, vmax=largest, aspect="auto")
        for (row, column), share in np.ndenumerate(shares[number]):
            colour = "white" if abs(surplus[number, row, column]) > 0.55 * largest else INK
            axes.text(column, row, f"{share:.2f}", ha="center", va="center", color=colour, fontsize=12)
        axes.set_xticks(range(len(modalities)), modalities, fontsize=12)
        axes.set_yticks(range(vectors), [f"joint vector {i + 1}" for i in range(vectors)], fontsize=12)
        axes.set_title(f"layer {number + 1}", fontsize=13)
        axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=panels.tolist(), label="more (blue) or less (red)\nthan uniform attention")
    figure.suptitle(title, fontsize=14)
    figure.savefig(path, dpi=DPI)


def plot_curves(curves: Sequence[Curve], path: Path, *, split: str) -> None:
    """Draws a panel for each corruption: weighted F1 against the share of corrupted utterances.

    Colours are strengths, line styles are checkpoints, and bands are one standard deviation over the draws of corrupted
    utterances.
    """
    with lettering(curve.checkpoint for curve in curves) as spell:
        _draw_curves([replace(curve, checkpoint=spell(curve.checkpoint)) for curve in curves], path, split)


def _draw_curves(curves: Sequence[Curve], path: Path, split: str) -> None:
    panels = list(dict.fromkeys(curve.panel for curve in curves))
    checkpoints = list(dict.fromkeys(curve.checkpoint for curve in curves))
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(height=0.9 + 3.1 * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        strengths = list(dict.fromkeys(curve.strength for curve in curves if curve.panel == panel))
        # The hardest is the darkest, also where it is the only one.
        colours = dict(zip(strengths, COLOURS[len(COLOURS) - len(strengths) :], strict=True))
        for curve in (curve for curve in curves if curve.panel == panel):
            colour, style = colours[curve.strength], STYLES[checkpoints.index(curve.checkpoint) % len(STYLES)]
            axes.plot(curve.shares, curve.mean, style, color=colour, marker="o", markersize=4, linewidth=1.8)
            low, high = curve.mean - curve.deviation, curve.mean + curve.deviation
            axes.fill_between(curve.shares, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_title(panel, fontsize=12)
        axes.grid(alpha=0.3)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        axes.tick_params(labelbottom=True, labelsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        if len(strengths) > 1:
            handles = [Line2D([], [], color=colour, label=strength) for strength, colour in colours.items()]
            axes.legend(handles=handles, fontsize=9, frameon=False, loc="lower left")
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    figure.supxlabel("share p of the utterances that are corrupted", fontsize=11)
    figure.supylabel(f"weighted F1, {split}", fontsize=11)
    title = "Robustness to missing and noisy modalities"
    if len(checkpoints) > 1:
        lines = [
            Line2D([], [], color="#333333", linestyle=STYLES[i % len(STYLES)], label=name)
            for i, name in enumerate(checkpoints)
        ]
        # As the legend's title: the layout would place a title of the figure over the legend.
        top: dict[str, Any] = {"loc": "outside upper center", "title": title, "title_fontsize": 14}
        figure.legend(handles=lines, ncols=min(4, len(lines)), fontsize=11, frameon=False, **top)
    else:
        figure.suptitle(title, fontsize=14)
    figure.savefig(path, dpi=DPI)
