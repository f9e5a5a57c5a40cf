"""Robustness curves: weighted F1 against the share of corrupted utterances, and their tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datasets_scripts.publishing.markdown import markdown_table

from .corruptions import ANY, CORRUPTIONS

REFERENCE_SHARE = 0.5


@dataclass(frozen=True)
class Curve:
    """Weighted F1 of one checkpoint against the share of corrupted utterances.

    Args:
        checkpoint: its name.
        modality: the corrupted modality.
        corruption: a key of `CORRUPTIONS`.
        strength: with its unit; empty where there is only one strength.
        shares: ascending, from 0 to 1.
        scores: `(seeds, shares)`; each seed corrupts other utterances.
        clean: weighted F1 without corruption.
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
        """Modality and corruption in words."""
        subject = "one modality at a time" if self.modality == ANY else self.modality
        return f"{subject}: {CORRUPTIONS[self.corruption].title}"

    @property
    def mean(self) -> np.ndarray:
        """Mean over the seeds, `(shares,)`."""
        return np.asarray(self.scores.mean(axis=0))

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation over the seeds, `(shares,)`."""
        return np.asarray(self.scores.std(axis=0, ddof=1 if len(self.scores) > 1 else 0))

    def loss(self, share: float) -> float:
        """Returns the loss of weighted F1 at a share, interpolated; NaN outside of the measured shares."""
        return self.clean - float(np.interp(share, self.shares, self.mean, left=np.nan, right=np.nan))

    @property
    def area(self) -> float:
        """Loss of weighted F1 averaged over the shares (trapezoidal rule)."""
        if len(self.shares) == 1:
            return self.clean - float(self.mean[0])
        return self.clean - float(np.trapezoid(self.mean, self.shares)) / (self.shares[-1] - self.shares[0])


def csv_rows(curves: Sequence[Curve]) -> list[list[str]]:
    """Returns a header and a row for each point of the curves."""
    rows = [["checkpoint", "modality", "corruption", "strength", "share", "weighted_f1", "deviation", "lost", "seeds"]]
    for curve in curves:
        for share, mean, deviation in zip(curve.shares, curve.mean, curve.deviation, strict=True):
            numbers = (f"{value:.6f}" for value in (mean, deviation, curve.clean - mean))
            name = (curve.checkpoint, curve.modality, curve.corruption, curve.strength)
            rows.append([*name, f"{share:g}", *numbers, str(len(curve.scores))])
    return rows


def markdown(curves: Sequence[Curve], split: str) -> str:
    """Returns a table with a row for each curve: weighted F1 at each share, and the loss.

    Args:
        curves: all with the same shares.
        split: the split that was evaluated.
    """
    shares = curves[0].shares
    points = [f"p = {share:g}" for share in shares]
    header = ["corruption", "strength", "checkpoint", *points, f"lost at p = {REFERENCE_SHARE:g}", "lost, mean"]
    rows = []
    for curve in curves:
        values = zip(shares, curve.mean, curve.deviation, strict=True)
        cells = [f"{mean:.3f}" + (f" ± {sd:.3f}" if 0 < share < 1 else "") for share, mean, sd in values]
        # `z` prints a rounded -0 as 0.
        lost = ["" if np.isnan(loss) else f"{loss:z.3f}" for loss in (curve.loss(REFERENCE_SHARE), curve.area)]
        rows.append([curve.panel, curve.strength, curve.checkpoint, *cells, *lost])
    clean = ", ".join(dict.fromkeys(f"{curve.checkpoint} {curve.clean:.4f}" for curve in curves))
    return (
        f"Weighted F1 on {split} with a share p of the utterances corrupted, mean ± standard deviation over "
        f"{len(curves[0].scores)} draws of the corrupted utterances (at p = 1 there is only one). Clean: {clean}. "
        f"The last column is the loss averaged over p.\n\n{markdown_table(header, rows)}\n"
    )
