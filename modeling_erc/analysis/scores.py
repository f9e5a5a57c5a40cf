"""Precision, recall and F1 from confusion matrices, and how far they would move with other dialogues."""

from dataclasses import dataclass
from typing import Any

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


@dataclass
class ConfusedPair:
    """Utterances of one class that were taken for another.

    Args:
        true: index of their class.
        predicted: index of what they were taken for.
        count: how many.
        share: of the utterances of their class.
        examples: indices of those of which the model was surest, the surest first.
    """

    true: int
    predicted: int
    count: int
    share: float
    examples: list[int]


def most_confused(
    labels: np.ndarray, probabilities: np.ndarray, *, pairs: int = 5, examples: int = 3
) -> list[ConfusedPair]:
    """The pairs with the most utterances, in that order.

    Args:
        labels: `(n,)` class indices, negative where an utterance has none.
        probabilities: `(n, classes)`.
        pairs: how many at most.
        examples: of each, at most.
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero((labels >= 0) & (labels != predicted))
    kinds, counts = np.unique(np.stack([labels[wrong], predicted[wrong]], axis=1), axis=0, return_counts=True)
    found = []
    for place in np.argsort(-counts, kind="stable")[:pairs]:
        true, taken_for = (int(index) for index in kinds[place])
        members = wrong[(labels[wrong] == true) & (predicted[wrong] == taken_for)]
        surest = members[np.argsort(-confidence[members], kind="stable")][:examples]
        share = float(counts[place] / (labels == true).sum())
        found.append(ConfusedPair(true, taken_for, int(counts[place]), share, surest.tolist()))
    return found


@dataclass
class Evaluated:
    """A model's answers on one split: n utterances, dialogues in order and utterances as spoken.

    Args:
        name: of the split.
        class_names: in the order of the logits.
        logits: `(n, classes)`.
        labels: `(n,)` class indices, -100 where an utterance has none.
        dialogue: `(n,)`, the number of its dialogue.
        position: `(n,)`, its place in the dialogue, from 0.
        vectors: `(n, width)`, the embeddings.
        utterances: n of the schema's, each with its `dialogue_id` as well.
        train_counts: `(classes,)` labelled utterances in training.
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
        self.probabilities = softmax(self.logits)

    def by_dialogue(self, chosen: np.ndarray | None = None) -> np.ndarray:
        """Confusion matrices `(dialogues, classes, classes)` of what is labelled, or of the `chosen` `(n,)` of it."""
        rows = self.scored if chosen is None else self.scored & chosen
        true, predicted = self.labels[rows], self.predicted[rows]
        return confusion_by_dialogue(true, predicted, self.dialogue[rows], len(self.class_names))


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
