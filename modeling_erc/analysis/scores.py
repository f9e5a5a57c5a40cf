"""Predictions of a model on a split, and the classes that it confuses."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from ..training.confusion import confusion_by_dialogue


@dataclass
class Evaluated:
    """Predictions of a model for the n utterances of a split; arrays without a description are as in `Prediction`.

    Args:
        name: the split.
        class_names: in the order of the logits.
        vectors: `(n, width)` embeddings.
        utterances: n utterances of the schema, each with its `dialogue_id` and the `group` of its dialogue, if any.
        train_counts: `(classes,)` labelled utterances in training.
        ordered: whether the utterances of a dialogue follow each other; joined clips of a speaker do not.

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
    ordered: bool = True

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
