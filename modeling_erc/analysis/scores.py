"""Scores of a model's predictions: per class, by confusion matrix and by bootstrap."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from .intervals import bootstrap_weights


@dataclass
class Evaluated:
    """Predictions of a model for the n utterances of a split; arrays without a description are as in `Prediction`.

    Args:
        name: the split.
        class_names: in the order of the logits.
        vectors: `(n, width)` embeddings.
        utterances: n utterances of the schema, each with its `dialogue_id` and the `group` of its dialogue, if any.
        train_counts: `(classes,)` labelled utterances in training.

    Raises:
        ValueError: no utterance has a label.
    """

    name: str
    class_names: list[str]
    logits: np.ndarray
    labels: np.ndarray
    dialogue: np.ndarray
    position: np.ndarray
    vectors: np.ndarray
    utterances: list[dict[str, Any]]
    train_counts: np.ndarray

    def __post_init__(self) -> None:
        self.scored = self.labels >= 0
        if not self.scored.any():
            raise ValueError(f"no utterance of {self.name} has a label, so there is nothing to analyse")
        self.predicted = self.logits.argmax(axis=1)
        self.probabilities = softmax(self.logits, axis=1)

    def by_dialogue(self, chosen: np.ndarray | None = None) -> np.ndarray:
        """Returns confusion matrices `(dialogues, classes, classes)` of the labelled (and chosen) utterances."""
        rows = self.scored if chosen is None else self.scored & chosen
        true, predicted = self.labels[rows], self.predicted[rows]
        return confusion_by_dialogue(true, predicted, self.dialogue[rows], len(self.class_names))


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


@dataclass
class ConfusedPair:
    """Utterances of one class that were predicted as another.

    Args:
        true: index of their class.
        predicted: index of the predicted class.
        count: number of utterances.
        examples: indices of the utterances with the highest confidence, highest first.
    """

    true: int
    predicted: int
    count: int
    examples: list[int]


def most_confused(
    labels: np.ndarray, probabilities: np.ndarray, *, pairs: int = 5, examples: int = 3
) -> list[ConfusedPair]:
    """Returns the pairs of classes with the most confused utterances, most frequent first.

    Args:
        labels: `(n,)` class indices, negative where an utterance has none.
        probabilities: `(n, classes)`.
        pairs: maximum number of pairs.
        examples: maximum number of examples of a pair.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero((labels >= 0) & (labels != predicted))
    kinds, counts = np.unique(np.stack([labels[wrong], predicted[wrong]], axis=1), axis=0, return_counts=True)
    result = []
    for place in np.argsort(-counts, kind="stable")[:pairs]:
        pair = (int(kinds[place, 0]), int(kinds[place, 1]))
        members = wrong[(labels[wrong] == pair[0]) & (predicted[wrong] == pair[1])]
        confident = members[np.argsort(-confidence[members], kind="stable")][:examples]
        result.append(ConfusedPair(*pair, len(members), confident.tolist()))
    return result
