"""Precision, recall and F1 from confusion matrices, and how far they would move with other dialogues."""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000


@dataclass
class Scores:
    """What a confusion matrix says; every array may have leading axes, one matrix each.

    Args:
        accuracy: `(...)`.
        weighted_f1: `(...)`, mean F1 weighted by the true utterances of each class.
        macro_f1: `(...)`, mean F1 over all classes, present or not.
        precision: `(..., classes)`, zero for a class that is never predicted.
        recall: `(..., classes)`, zero for a class without utterances.
        f1: `(..., classes)`, zero likewise.
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
    """The scores of confusion matrices, as scikit-learn computes them with `zero_division=0`.

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
    """A confusion matrix for each dialogue; their sum is that of all.

    Args:
        true: `(n,)` class indices.
        predicted: `(n,)` class indices.
        dialogue: `(n,)`, which dialogue an utterance is of, any numbers.
        classes: how many there are.

    Returns:
        `(dialogues, classes, classes)` counts, rows are true classes.
    """
    names, row = np.unique(dialogue, return_inverse=True)
    cells = (row * classes + true) * classes + predicted
    return np.bincount(cells, minlength=len(names) * classes**2).reshape(len(names), classes, classes)


def resampled_scores(by_dialogue: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> Scores:
    """Scores of as many dialogues drawn with replacement, again and again (bootstrap, Efron 1979).

    Whole dialogues are drawn, since utterances of one dialogue are alike. In a draw without utterances of a class, the
    precision, recall and F1 of that class are NaN: such a draw says nothing of it.

    Args:
        by_dialogue: `(dialogues, classes, classes)`, as [`confusion_by_dialogue`] makes it.
        resamples: draws.
        seed: of the draws.

    Returns:
        the scores, with `resamples` as the leading axis.
    """
    dialogues = len(by_dialogue)
    times = np.random.default_rng(seed).multinomial(dialogues, np.full(dialogues, 1 / dialogues), size=resamples)
    scores = scores_of(np.tensordot(times, by_dialogue, axes=1))
    for values in (scores.precision, scores.recall, scores.f1):
        values[scores.support == 0] = np.nan
    return scores


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The middle 95 % of resampled values `(resamples, ...)`: lower and upper bound, NaN where every value is."""
    known = np.where(np.isnan(values).all(axis=0), 0.0, values)
    low, high = np.nanpercentile(known, [2.5, 97.5], axis=0)
    empty = np.isnan(values).all(axis=0)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)
