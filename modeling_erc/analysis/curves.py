"""The picture of robustness curves."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import matplotlib

matplotlib.use("Agg")  # no screen is needed to write a file
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D

from .robustness import Curve

# Of three strengths; told apart in print and by the colour-blind.
COLOURS = ("#e0912f", "#b8336a", "#3b1f8c")
STYLES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")
COLUMNS = 3


def plot_curves(curves: Sequence[Curve], path: Path, *, split: str) -> None:
    """A panel for each corruption: weighted F1 against the share of corrupted utterances.

    Lines are strengths (colours) and checkpoints (dashes), bands a standard deviation over the draws of which
    utterances are corrupted. The picture is 1280 pixels wide at least.

    Args:
        curves: of one or several checkpoints.
        path: PNG to write.
        split: what was scored.
    """
    panels = list(dict.fromkeys(curve.panel for curve in curves))
    checkpoints = list(dict.fromkeys(curve.checkpoint for curve in curves))
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(12.8, 0.9 + 3.1 * rows), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axes, panel in zip(grid.flat, panels, strict=False):
        strengths = list(dict.fromkeys(curve.strength for curve in curves if curve.panel == panel))
        for curve in (curve for curve in curves if curve.panel == panel):
            # The hardest is the darkest, also where it is the only one.
            colour = COLOURS[len(COLOURS) - len(strengths) + strengths.index(curve.strength)]
            style = STYLES[checkpoints.index(curve.checkpoint) % len(STYLES)]
            axes.plot(curve.shares, curve.mean, style, color=colour, marker="o", markersize=4, linewidth=1.8)
            low, high = curve.mean - curve.deviation, curve.mean + curve.deviation
            axes.fill_between(curve.shares, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_title(panel, fontsize=12)
        axes.grid(alpha=0.3)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        axes.tick_params(labelbottom=True, labelsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        if len(strengths) > 1:
            shown = COLOURS[len(COLOURS) - len(strengths) :]
            handles = [Line2D([], [], color=c, label=s) for c, s in zip(shown, strengths, strict=True)]
            axes.legend(handles=handles, fontsize=9, frameon=False, loc="lower left")
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    figure.supxlabel("share p of the utterances that are corrupted", fontsize=11)
    figure.supylabel(f"weighted F1, {split}", fontsize=11)
    if len(checkpoints) > 1:
        lines = [
            Line2D([], [], color="#333333", linestyle=STYLES[i % len(STYLES)], label=name)
            for i, name in enumerate(checkpoints)
        ]
        figure.legend(handles=lines, loc="outside upper center", ncols=min(4, len(lines)), fontsize=11, frameon=False)
    figure.savefig(path, dpi=100)
    plt.close(figure)
