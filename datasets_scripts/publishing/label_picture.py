"""The picture of a corpus' label balance."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no screen is needed to write a file
import matplotlib.pyplot as plt

# Beyond this ratio of the largest to the smallest class the small ones would vanish on a linear scale.
LOG_RATIO = 20
WIDTH, HEIGHT, DPI = 12.8, 6.0, 100  # inches, 1280 pixels wide


def plot_labels(counts: Mapping[str, Mapping[str, int]], path: str | Path, *, title: str) -> None:
    """Bars of the utterances of each class, side by side for the splits.

    Args:
        counts: split -> class -> utterances; all splits with the same classes, in the order of their indices.
        path: PNG to write.
        title: what stands above, such as the corpus' name.

    Raises:
        ValueError: where `counts` has no class.

    Example:
        >>> plot_labels({"train": {"joy": 30, "anger": 2}, "dev": {"joy": 5, "anger": 0}}, "labels.png", title="demo")
    """
    classes = list(next(iter(counts.values()), {}))
    if not classes:
        raise ValueError("there is no class to draw")
    positive = [count for by_class in counts.values() for count in by_class.values() if count] or [1]
    log = max(positive) > LOG_RATIO * min(positive)
    floor = 0.8 if log else 0.0
    # Many narrow bars need small, upright numbers not to run into each other.
    crowded = len(classes) * len(counts) > 24
    figure, axes = plt.subplots(figsize=(WIDTH, HEIGHT), layout="constrained")
    bar = 0.86 / len(counts)
    for number, (split, by_class) in enumerate(counts.items()):
        places = [index + (number - (len(counts) - 1) / 2) * bar for index in range(len(classes))]
        heights = [by_class[name] for name in classes]
        axes.bar(places, heights, width=0.94 * bar, label=f"{split}: {sum(heights):,} labelled", color=f"C{number}")
        for place, height in zip(places, heights, strict=True):
            # Not `bar_label`: it loses the zeros of a log scale.
            axes.annotate(
                f"{height:,}",
                (place, max(height, floor)),
                fontsize=8 if crowded else 10,
                rotation=90 if crowded else 0,
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                va="bottom",
            )
    axes.set_yscale("log" if log else "linear")
    axes.set_ylim(floor, max(positive) * (3 if log else 1.15))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.01)
    axes.set_xticks(range(len(classes)), classes, fontsize=12)
    if len(classes) > 10:
        axes.tick_params("x", rotation=30)
    axes.set_ylabel(f"utterances{', log scale' if log else ''}", fontsize=12)
    axes.set_title(f"Labels of {title}", fontsize=14)
    figure.legend(loc="outside lower center", ncols=len(counts), fontsize=12, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    figure.savefig(path, dpi=DPI)
    plt.close(figure)
