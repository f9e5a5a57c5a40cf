"""Scores of confusion matrices: per class, in total, and by bootstrap over dialogues."""

from dataclasses import dataclass

import numpy as np

from ..hub.run_facts import METRIC_TITLES
from .intervals import bootstrap_weights, percentile_interval


@dataclass
class Scores:
    """Scores of confusion matrices; leading axes are those of the matrices.

    Args:
        accuracy: `(...)`.
        weighted_f1: `(...)`, mean F1 weighted by the true utterances of each class.
        macro_f1: `(...)`, mean F1 over all classes, present or not.
        precision: `(..., classes)`, zero for a class that is never predicted.
        recall: `(..., classes)`, zero for a class without utterances.
        f1: `(..., classes)`, zero for a class that is neither present nor predicted.
        support: `(..., classes)`, true utterances.
    """

    accuracy: np.ndarray
    weighted_f1: np.ndarray
    macro_f1: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


def scores_of(confusion: np.ndarray) -> Scores:
    """Returns the scores of confusion matrices, as scikit-learn computes them with `zero_division=0`.

    Args:
        confusion: `(..., classes, classes)` counts, rows are true classes.

    Example:
        >>> scores_of(np.array([[8, 2], [1, 9]])).recall.tolist()
        [0.8, 0.9]
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    support, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    total = np.maximum(support.sum(axis=-1), 1)
    f1 = 2 * hits / np.maximum(support + predicted, 1)
    return Scores(
        accuracy=hits.sum(axis=-1) / total,
        weighted_f1=(f1 * support).sum(axis=-1) / total,
        macro_f1=f1.mean(axis=-1),
        precision=hits / np.maximum(predicted, 1),
        recall=hits / np.maximum(support, 1),
        f1=f1,
        support=support,
    )


def confusion_by_dialogue(true: np.ndarray, predicted: np.ndarray, dialogue: np.ndarray, classes: int) -> np.ndarray:
    """Returns a confusion matrix for each dialogue, `(dialogues, classes, classes)`; rows are true classes.

    Args:
        true: `(n,)` class indices.
        predicted: `(n,)` class indices.
        dialogue: `(n,)` name or number of the utterance's dialogue.
        classes: number of classes.
    """
    names, row = np.unique(dialogue, return_inverse=True)
    cells = (row * classes + true) * classes + predicted
    return np.bincount(cells, minlength=len(names) * classes**2).reshape(len(names), classes, classes)


def bootstrap_scores(by_dialogue: np.ndarray) -> Scores:
    """Returns the scores of bootstrap draws of dialogues, with the draws as the leading axis.

    In a draw without utterances of a class, the precision, recall and F1 of that class are NaN: they are undefined.
    """
    weights = bootstrap_weights(len(by_dialogue))
    scores = scores_of(np.tensordot(weights, by_dialogue, axes=1))
    for values in (scores.precision, scores.recall, scores.f1):
        values[scores.support == 0] = np.nan
    return scores


def score_intervals(by_dialogue: np.ndarray) -> dict[str, list[float]]:
    """Returns the bounds of the 95 % bootstrap interval of each overall score, by its key in `metrics.json`.

    Args:
        by_dialogue: `(dialogues, classes, classes)`, from [`confusion_by_dialogue`].
    """
    draws = bootstrap_scores(by_dialogue)
    return {name: [float(bound) for bound in percentile_interval(getattr(draws, name))] for name in METRIC_TITLES}
