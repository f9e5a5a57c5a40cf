"""Pictures of results."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")  # no screen is needed to write a file
import matplotlib.pyplot as plt
from matplotlib.figure import Figure


def plot_confusion(matrix: np.ndarray, label_names: list[str], path: Path, *, title: str) -> None:
    """Writes a [`confusion_figure`] as PNG to `path`."""
    figure = confusion_figure(matrix, label_names, title=title)
    figure.savefig(path, dpi=140)
    plt.close(figure)


def confusion_figure(matrix: np.ndarray, label_names: list[str], *, title: str) -> Figure:
    """A confusion matrix: shades are shares of each true class, numbers are utterances.

    Args:
        matrix: `(classes, classes)` counts, rows are true classes.
        label_names: in the order of the rows.
        title: what the numbers are of, e.g. the split.

    Returns:
        a figure of pyplot, which whoever asked for it closes.
    """
    shares = matrix / matrix.sum(axis=1, keepdims=True).clip(min=1)
    size = 1.8 + 0.75 * len(label_names)
    figure, axes = plt.subplots(figsize=(size + 0.6, size), layout="constrained")
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        colour = "white" if shares[row, column] > 0.55 else "#1f2d3d"
        axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(label_names)), label_names, rotation=40, ha="right")
    axes.set_yticks(range(len(label_names)), label_names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"Confusion matrix, {title}")
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    return figure


def plot_cells(
    groups: Sequence[str],
    names: Sequence[str],
    means: Sequence[float],
    deviations: Sequence[float],
    path: Path,
    *,
    axis: str,
    baseline: int,
) -> None:
    """A dot with a bar for each cell of a grid: mean and standard deviation over seeds.

    Args:
        groups: of each cell; cells of a group stand together under its name, `""` is no group.
        names: of each cell.
        means: of each cell; NaN where there is none.
        deviations: likewise.
        path: PNG to write, 1280 pixels wide.
        axis: what the means are of.
        baseline: index of the cell whose mean is marked by a line.
    """
    headings = list(dict.fromkeys(groups))
    lines: list[tuple[str, int | None]] = []
    for heading in headings:
        lines += [(heading, None)] if heading else []
        lines += [(name, index) for index, name in enumerate(names) if groups[index] == heading]
    figure, axes = plt.subplots(figsize=(1280 / 140, 1.2 + 0.28 * len(lines)), layout="constrained")
    axes.axvline(means[baseline], color="#8a8f98", linestyle="--", linewidth=1, zorder=0)
    for place, (_, cell) in enumerate(lines):
        if cell is not None:
            bar = 0.0 if np.isnan(deviations[cell]) else deviations[cell]
            colour = f"C{headings.index(groups[cell]) % 10}"
            axes.errorbar(means[cell], place, xerr=bar, fmt="o", color=colour, capsize=3, markersize=5)
    axes.set_yticks(range(len(lines)), [name for name, _ in lines], fontsize=9)
    for label, (_, cell) in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if cell is None else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.grid(axis="x", color="#e3e6ea")
    axes.set_axisbelow(True)
    axes.set_xlabel(f"{axis}, mean ± standard deviation over seeds; the line is the baseline", fontsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(path, dpi=140)
    plt.close(figure)
