"""The common style of all figures, the confusion matrix and lists of estimates."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .lettering import lettering

# Width in inches; at `DPI` a figure is 1280 pixels wide.
WIDTH = 12.8
INK = "#1f2d3d"


def new_figure(width: float = WIDTH, height: float = 6.4) -> Figure:
    """Returns an empty figure. pyplot does not know it, so it needs no screen and nobody has to close it.

    Args:
        width: in inches.
        height: in inches.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plot_confusion(matrix: np.ndarray, label_names: list[str], path: Path, *, title: str) -> None:
    """Writes a [`confusion_figure`] as PNG to `path`."""
    with lettering([title, *label_names]) as spell:
        figure = confusion_figure(matrix, [spell(name) for name in label_names], title=spell(title))
        figure.savefig(path, dpi=140)


def confusion_figure(matrix: np.ndarray, label_names: list[str], *, title: str) -> Figure:
    """Draws a confusion matrix: shades are shares of each true class, numbers are utterances.

    Args:
        matrix: `(classes, classes)` counts, rows are true classes.
        label_names: in the order of the rows.
        title: what was evaluated, e.g. the split.
    """
    shares = matrix / matrix.sum(axis=1, keepdims=True).clip(min=1)
    size = 1.8 + 0.75 * len(label_names)
    figure = new_figure(size + 0.6, size)
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        colour = "white" if shares[row, column] > 0.55 else INK
        axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(label_names)), label_names, rotation=40, ha="right")
    axes.set_yticks(range(len(label_names)), label_names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"Confusion matrix, {title}", wrap=True)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    return figure


def plot_estimates(
    names: Sequence[str],
    values: Sequence[float] | np.ndarray,
    bars: Sequence[float] | np.ndarray,
    path: Path,
    *,
    title: str,
    axis: str,
    groups: Sequence[str] | None = None,
    baseline: float | None = None,
) -> None:
    """Draws a list of estimates, each with a bar; one whose bar reaches the baseline is hollow.

    Args:
        names: name of each estimate.
        values: the estimates; NaN where there is none.
        bars: `(n,)` or `(n, 2)`, the lengths of each bar to the left and to the right; NaN for none.
        path: PNG to write, 1280 pixels wide.
        title: title of the figure.
        axis: what is estimated.
        groups: group of each estimate, under whose name it is listed.
        baseline: value that is marked by a line, such as 0 for differences.
    """
    groups = groups or [""] * len(names)
    with lettering([title, axis, *names, *groups]) as spell:
        figure = new_figure(1280 / 140, 1.6 + 0.28 * (len(names) + len(set(groups) - {""})))
        _draw_estimates(figure.subplots(), [spell(name) for name in names], values, bars, groups, baseline, spell)
        figure.suptitle(spell(title), fontsize=11, wrap=True)
        figure.supxlabel(spell(axis), fontsize=9, wrap=True)
        figure.savefig(path, dpi=140)


def _draw_estimates(
    axes: Axes,
    names: Sequence[str],
    values: Sequence[float] | np.ndarray,
    bars: Sequence[float] | np.ndarray,
    groups: Sequence[str],
    baseline: float | None,
    spell: Callable[[str], str],
) -> None:
    headings = list(dict.fromkeys(groups))
    lines: list[tuple[str, int | None]] = []
    for heading in headings:
        lines += [(spell(heading), None)] if heading else []
        lines += [(name, index) for index, name in enumerate(names) if groups[index] == heading]
    if baseline is not None:
        axes.axvline(baseline, color="#6b7683", linestyle="--", linewidth=1, zorder=0)
    for place, (_, index) in enumerate(lines):
        if index is not None:
            left, right = np.broadcast_to(np.nan_to_num(bars[index]).clip(min=0), 2)
            hollow = baseline is not None and values[index] - left <= baseline <= values[index] + right
            colour = f"C{headings.index(groups[index]) % 10}"
            axes.errorbar(
                values[index],
                place,
                xerr=[[left], [right]],
                fmt="o",
                color=colour,
                markerfacecolor="white" if hollow else colour,
                capsize=3,
                markersize=6,
            )
    axes.set_yticks(range(len(lines)), [name for name, _ in lines], fontsize=9)
    for label, (_, index) in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if index is None else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.grid(axis="x", color="#e3e6ea")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
