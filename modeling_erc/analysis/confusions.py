"""The most confused pairs of classes, with utterances that show them."""

from dataclasses import dataclass

import numpy as np


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
