"""Whether a model is right as often as it is sure."""

from dataclasses import dataclass

import numpy as np

BINS = 15


@dataclass
class Reliability:
    """Utterances in bins of equal width of the probability that the model gives its answer.

    Args:
        edges: `(bins + 1,)`, from 0 to 1.
        counts: `(bins,)` utterances.
        confidence: `(bins,)`, their mean probability, NaN in an empty bin.
        accuracy: `(bins,)`, the share of them that is right, NaN likewise.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: the mean over utterances of their bin's |accuracy - confidence|."""
        filled = self.counts > 0
        gaps = np.abs(self.accuracy[filled] - self.confidence[filled])
        return float((gaps * self.counts[filled]).sum() / self.counts.sum())


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> Reliability:
    """Bins utterances by confidence, after Guo et al. 2017 (arXiv 1706.04599); a bin has its upper edge.

    Args:
        confidence: `(n,)`, the probability of the predicted class.
        right: boolean `(n,)`, whether it is the true one.
        bins: of equal width.

    Example:
        >>> round(reliability(np.array([0.9, 0.9]), np.array([True, False])).error, 6)
        0.4
    """
    edges = np.linspace(0, 1, bins + 1)
    places = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    sums = (np.bincount(places, weights=values, minlength=bins) for values in (confidence, right))
    mean_confidence, accuracy = (
        np.divide(total, counts, out=np.full(bins, np.nan), where=counts > 0) for total in sums
    )
    return Reliability(edges=edges, counts=counts, confidence=mean_confidence, accuracy=accuracy)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits `(..., classes)`."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)
