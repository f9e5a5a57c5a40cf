"""Calibration: reliability bins, expected calibration error (ECE), and a temperature fitted on dev."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

BINS = 15


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the temperature whose probabilities fit the labels best (Guo et al. 2017, arXiv 1706.04599).

    Logits divided by a temperature above 1 are less confident; the predicted classes stay.

    Args:
        logits: `(n, classes)`.
        labels: `(n,)` class indices.

    Returns:
        a temperature from 0.1 to 10.

    Example:
        >>> fit_temperature(np.array([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0]]), np.array([0, 0, 1])) > 4
        True
    """

    def loss(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-scores[np.arange(len(labels)), labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.1), np.log(10.0)), method="bounded").x))


def calibration_error(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the expected calibration error (ECE) of the most probable classes.

    Args:
        logits: `(n, classes)`.
        labels: `(n,)` class indices.
    """
    return reliability(softmax(logits, axis=1).max(axis=1), logits.argmax(axis=1) == labels).error


@dataclass
class Reliability:
    """Utterances in bins of equal width of the probability of the predicted class.

    Args:
        edges: `(bins + 1,)`, from 0 to 1.
        counts: `(bins,)` utterances.
        confidence: `(bins,)` mean probability, NaN in an empty bin.
        accuracy: `(bins,)` share of correct predictions, NaN in an empty bin.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error (ECE): the mean over utterances of |accuracy - confidence| of their bin."""
        filled = self.counts > 0
        return float(np.average(np.abs(self.accuracy - self.confidence)[filled], weights=self.counts[filled]))


def reliability(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Reliability:
    """Bins utterances by confidence (Guo et al. 2017, arXiv 1706.04599); a bin includes its upper edge.

    Args:
        confidence: `(n,)` probability of the predicted class.
        correct: boolean `(n,)`, whether the prediction is correct.
        bins: number of bins.

    Example:
        >>> round(reliability(np.array([0.9, 0.9]), np.array([True, False])).error, 6)
        0.4
    """
    from sklearn.calibration import calibration_curve  # a second to import

    edges = np.linspace(0, 1, bins + 1)
    counts = np.bincount(np.searchsorted(edges[1:-1], confidence), minlength=bins)
    result = Reliability(edges, counts, np.full(bins, np.nan), np.full(bins, np.nan))
    result.accuracy[counts > 0], result.confidence[counts > 0] = calibration_curve(correct, confidence, n_bins=bins)
    return result
