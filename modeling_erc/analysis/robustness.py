"""What a model loses when a share of the utterances is corrupted: curves, and the tables of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .corruptions import CORRUPTIONS

REFERENCE_SHARE = 0.5


@dataclass(frozen=True)
class Curve:
    """Weighted F1 of one checkpoint against the share of corrupted utterances.

    Args:
        checkpoint: its name.
        modality: what was corrupted.
        corruption: how, a key of `CORRUPTIONS`.
        strength: how much, with its unit; empty where there is only one.
        shares: rising, from 0 to 1.
        scores: `(seeds, shares)`, each seed corrupting other utterances.
        clean: weighted F1 without any corruption.
    """

    checkpoint: str
    modality: str
    corruption: str
    strength: str
    shares: tuple[float, ...]
    scores: np.ndarray
    clean: float

    @property
    def panel(self) -> str:
        """What was corrupted and how, in words."""
        what = "one modality at a time" if self.modality == "any" else self.modality
        return f"{what}: {CORRUPTIONS[self.corruption].title}"

    @property
    def mean(self) -> np.ndarray:
        """Over the seeds, `(shares,)`."""
        return np.asarray(self.scores.mean(axis=0))

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation over the seeds, `(shares,)`."""
        return np.asarray(self.scores.std(axis=0, ddof=1 if len(self.scores) > 1 else 0))

    def loss(self, share: float) -> float | None:
        """Weighted F1 lost at a share, interpolated between those measured; `None` outside of them."""
        if not self.shares[0] <= share <= self.shares[-1]:
            return None
        return self.clean - float(np.interp(share, self.shares, self.mean))

    @property
    def area(self) -> float:
        """Mean of the weighted F1 lost over the shares (trapezoids)."""
        if len(self.shares) == 1:
            return self.clean - float(self.mean[0])
        return self.clean - float(np.trapezoid(self.mean, self.shares)) / (self.shares[-1] - self.shares[0])


def csv_rows(curves: Sequence[Curve]) -> list[list[str]]:
    """Header and a row a point, for a spreadsheet."""
    rows = [["checkpoint", "modality", "corruption", "strength", "share", "weighted_f1", "deviation", "lost", "seeds"]]
    for curve in curves:
        for share, mean, deviation in zip(curve.shares, curve.mean, curve.deviation, strict=True):
            numbers = (f"{value:.6f}" for value in (mean, deviation, curve.clean - mean))
            name = (curve.checkpoint, curve.modality, curve.corruption, curve.strength)
            rows.append([*name, f"{share:g}", *numbers, str(len(curve.scores))])
    return rows


def markdown(curves: Sequence[Curve], split: str) -> str:
    """A table with a row a curve: weighted F1 at each share, and what is lost.

    Args:
        curves: all over the same shares.
        split: what was scored.
    """
    shares = curves[0].shares
    head = [
        "corruption",
        "strength",
        "checkpoint",
        *(f"p = {s:g}" for s in shares),
        f"lost at p = {REFERENCE_SHARE:g}",
        "lost, mean",
    ]
    scores = {curve.checkpoint: curve.clean for curve in curves}
    clean = ", ".join(f"{name} {score:.4f}" for name, score in scores.items())
    lines = [
        f"Weighted F1 on {split} with a share p of the utterances corrupted, mean ± standard deviation over "
        f"{len(curves[0].scores)} draws of which ones (at p = 1 there is one way). Clean: {clean}. "
        "The last column is the loss averaged over p.",
        "",
        "| " + " | ".join(head) + " |",
        "| " + " | ".join("---" for _ in head) + " |",
    ]
    for curve in curves:
        points = zip(shares, curve.mean, curve.deviation, strict=True)
        cells = [f"{mean:.3f}" + (f" ± {sd:.3f}" if 0 < share < 1 else "") for share, mean, sd in points]
        at_half = curve.loss(REFERENCE_SHARE)
        # Adding 0 makes a rounded -0 a 0.
        lost = ["" if at_half is None else f"{round(at_half, 3) + 0:.3f}", f"{round(curve.area, 3) + 0:.3f}"]
        lines.append("| " + " | ".join([curve.panel, curve.strength, curve.checkpoint, *cells, *lost]) + " |")
    return "\n".join(lines) + "\n"


def sentences(curves: Sequence[Curve]) -> list[str]:
    """A line for each corruption and strength: what each checkpoint loses at p = 0.5."""
    told: dict[str, list[str]] = {}
    for curve in curves:
        lost = curve.loss(REFERENCE_SHARE)
        if lost is not None:
            verb = "loses" if lost >= 0 else "gains"
            name = f"{curve.panel}, {curve.strength}" if curve.strength else curve.panel
            told.setdefault(name, []).append(f"{curve.checkpoint} {verb} {abs(lost):.3f}")
    return [f"{name}: {', '.join(parts)} of weighted F1 at p = {REFERENCE_SHARE:g}" for name, parts in told.items()]
