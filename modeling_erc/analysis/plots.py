"""Pictures of results."""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")  # no screen is needed to write a file
import matplotlib.pyplot as plt


def plot_confusion(matrix: np.ndarray, label_names: list[str], path: Path, *, title: str) -> None:
    """A confusion matrix: shades are shares of each true class, numbers are utterances.

    Args:
        matrix: `(classes, classes)` counts, rows are true classes.
        label_names: in the order of the rows.
        path: PNG to write.
        title: what the numbers are of, e.g. the split.
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
    figure.savefig(path, dpi=140)
    plt.close(figure)
