"""Bar chart of the label balance of a corpus."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

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
    classes = list(next(iter(counts.values()), {}))
    if not classes:
        raise ValueError("there is no class to draw")
    positive = [count for by_class in counts.values() for count in by_class.values() if count] or [1]
    log = max(positive) > LOG_RATIO * min(positive)
    floor = 0.8 if log else 0.0
    # Numbers above many narrow bars have to be small and upright, or they overlap.
    numbers = {"fontsize": 8, "rotation": 90} if len(classes) * len(counts) > 24 else {"fontsize": 10}
    figure, axes = plt.subplots(figsize=(12.8, 6.0), layout="constrained")
    width = 0.86 / len(counts)
    for number, (split, by_class) in enumerate(counts.items()):
        offset = (number - (len(counts) - 1) / 2) * width
        heights = [by_class[name] for name in classes]
        places = [index + offset for index in range(len(classes))]
        axes.bar(places, heights, width=0.94 * width, label=f"{split}: {sum(heights):,} labelled", color=f"C{number}")
        for place, height in zip(places, heights, strict=True):
            # `bar_label` omits the zeros of a log scale.
            at, style = (place, max(height, floor)), {"textcoords": "offset points", "ha": "center", "va": "bottom"}
            axes.annotate(f"{height:,}", at, xytext=(0, 3), **style, **numbers)  # type: ignore[arg-type]
    axes.set_yscale("log" if log else "linear")
    axes.set_ylim(floor, max(positive) * (3 if log else 1.15))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.01)
    axes.set_xticks(range(len(classes)), classes, fontsize=12, rotation=30 if len(classes) > 10 else 0)
    axes.set_ylabel(f"utterances{', log scale' if log else ''}", fontsize=12)
    axes.set_title(f"Labels of {title}", fontsize=14)
    figure.legend(loc="outside lower center", ncols=len(counts), fontsize=12, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    figure.savefig(path, dpi=100)
    plt.close(figure)
