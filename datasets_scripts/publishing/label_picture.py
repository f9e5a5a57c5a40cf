"""Bar chart of the label balance of a corpus."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("Agg")  # no screen is needed to write a file
import matplotlib.pyplot as plt

# The axis is logarithmic where the largest class has more than this multiple of the smallest: small bars stay visible.
LOG_RATIO = 20


def plot_labels(counts: Mapping[str, Mapping[str, int]], path: str | Path, *, title: str) -> None:
    """Draws the number of utterances of each class, one bar per split.

    Args:
        counts: split -> class -> utterances. All splits have the same classes, in the order of their indices.
        path: PNG file to write.
        title: title of the figure, such as the name of the corpus.

    Raises:
        ValueError: if `counts` has no class.

    Example:
        >>> plot_labels({"train": {"joy": 30, "anger": 2}, "dev": {"joy": 5, "anger": 0}}, "labels.png", title="demo")
    """
    bars = pd.DataFrame(counts)
    if bars.empty:
        raise ValueError("there is no class to draw")
    positive = bars.to_numpy()[bars.to_numpy() > 0]
    log = len(positive) > 0 and positive.max() > LOG_RATIO * positive.min()
    bars.columns = [f"{split}: {total:,} labelled" for split, total in bars.sum().items()]
    figure, axes = plt.subplots(figsize=(12.8, 6.0), layout="constrained")
    bars.plot.bar(ax=axes, width=0.86, rot=30 if len(bars) > 10 else 0, fontsize=12, legend=False)
    # Numbers above many narrow bars have to be small and upright, or they overlap.
    numbers = {"fontsize": 8, "rotation": 90} if bars.size > 24 else {"fontsize": 10}
    for drawn in axes.containers:
        axes.bar_label(drawn, fmt="{:,.0f}", padding=3, **numbers)  # type: ignore[arg-type]
    if log:
        axes.set_yscale("log")
        axes.set_ylim(0.8, 3 * positive.max())
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel(f"utterances{', log scale' if log else ''}", fontsize=12)
    axes.set_title(f"Labels of {title}", fontsize=14)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=len(counts), fontsize=12, frameon=False)
    figure.savefig(path, dpi=100)
    plt.close(figure)
