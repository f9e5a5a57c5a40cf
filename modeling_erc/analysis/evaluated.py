"""What an analysis starts from: a model's answers beside the utterances that they are for."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .calibration import softmax
from .class_scores import confusion_by_dialogue


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
