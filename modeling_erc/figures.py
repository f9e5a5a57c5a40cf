"""The common style of all figures, the confusion matrix and lists of estimates."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Width in inches; at 100 dots per inch a figure is 1280 pixels wide.
WIDTH, DPI = 12.8, 100
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


def plain(text: str) -> str:
    """Escapes dollars, between which matplotlib would read a formula."""
    return text.replace("$", r"\$")


def plot_confusion(matrix: np.ndarray, label_names: list[str], path: Path, *, title: str) -> None:
    """Writes a [`confusion_figure`] as PNG to `path`."""
    confusion_figure(matrix, label_names, title=title).savefig(path, dpi=140)


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
    axes.set_title(f"Confusion matrix, {title}")
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    return figure


def plot_estimates(
    names: Sequence[str],
    values: Sequence[float] | np.ndarray,
    bars: Sequence[float] | np.ndarray,
    path: Path,
    *,
    axis: str,
    groups: Sequence[str] | None = None,
    baseline: int | None = None,
) -> None:
    """Draws a list of estimates, each with a bar.

    Args:
        names: name of each estimate.
        values: the estimates; NaN where there is none.
        bars: `(n,)` or `(n, 2)`, the lengths of each bar to the left and to the right; NaN for none.
        path: PNG to write, 1280 pixels wide.
        axis: what is estimated.
        groups: group of each estimate, under whose name it is listed.
        baseline: index of the estimate that is marked by a line.
    """
    groups = groups or [""] * len(names)
    headings = list(dict.fromkeys(groups))
    lines: list[tuple[str, int | None]] = []
    for heading in headings:
        lines += [(heading, None)] if heading else []
        lines += [(name, index) for index, name in enumerate(names) if groups[index] == heading]
    figure = new_figure(1280 / 140, 1.2 + 0.28 * len(lines))
    axes = figure.subplots()
    if baseline is not None:
        axes.axvline(values[baseline], color="#8a8f98", linestyle="--", linewidth=1, zorder=0)
    for place, (_, index) in enumerate(lines):
        if index is not None:
            bar = np.nan_to_num(bars[index]).clip(min=0).reshape(-1, 1)
            colour = f"C{headings.index(groups[index]) % 10}"
            axes.errorbar(values[index], place, xerr=bar, fmt="o", color=colour, capsize=3, markersize=5)
    axes.set_yticks(range(len(lines)), [plain(name) for name, _ in lines], fontsize=9)
    for label, (_, index) in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if index is None else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.grid(axis="x", color="#e3e6ea")
    axes.set_axisbelow(True)
    axes.set_xlabel(axis, fontsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(path, dpi=140)
