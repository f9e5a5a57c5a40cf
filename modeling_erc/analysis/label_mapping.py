"""From the classes of two corpora to the emotions that both know."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datasets_scripts.labels import SHARED_EMOTIONS, LabelSet


@dataclass(frozen=True)
class LabelMapping:
    """The emotions that two label sets share, and the classes that stand for them.

    Args:
        emotions: in the order of `SHARED_EMOTIONS`.
        train: the emotion of each class of the corpus that was trained on; None for a class that is left out.
        test: likewise, of the corpus that is scored.
    """

    emotions: tuple[str, ...]
    train: dict[str, str | None]
    test: dict[str, str | None]

    @classmethod
    def between(cls, train: LabelSet, test: LabelSet) -> "LabelMapping":
        """The mapping between two label sets.

        Raises:
            ValueError: they share fewer than two emotions, so that there is nothing to tell apart.

        Example:
            >>> from datasets_scripts import LABEL_SETS
            >>> LabelMapping.between(LABEL_SETS["meld"], LABEL_SETS["iemocap4"]).emotions
            ('neutral', 'sadness', 'joy', 'anger')
        """
        both = set(train.shared.values()) & set(test.shared.values())
        emotions = tuple(emotion for emotion in SHARED_EMOTIONS if emotion in both)
        if len(emotions) < 2:
            raise ValueError(
                f"{_told(train)} and {_told(test)} share {', '.join(emotions) or 'no emotion'}: at least two are "
                f"needed. Classes are matched as datasets_scripts/labels.py says, those of a table where they are "
                f"called {', '.join(SHARED_EMOTIONS)}"
            )
        maps = [{name: s if s in emotions else None for name, s in known.shared.items()} for known in (train, test)]
        return cls(emotions, *maps)

    def probabilities(self, probabilities: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Probabilities of the shared emotions, those of classes that stand for one emotion summed.

        Classes without a counterpart have no part in the decision: what is left sums to 1.

        Args:
            probabilities: `(n, classes)` of the corpus that was trained on.
            names: its classes, in the order of the columns.

        Returns:
            `(n, emotions)`.
        """
        columns = [[self.train[name] == emotion for name in names] for emotion in self.emotions]
        summed = probabilities @ np.array(columns, dtype=probabilities.dtype).T
        return np.asarray(summed / summed.sum(axis=1, keepdims=True))

    def describe(self) -> list[str]:
        """A line for each emotion: the classes of either corpus that stand for it."""
        lines = []
        for emotion in self.emotions:
            sides = [", ".join(n for n, e in side.items() if e == emotion) for side in (self.train, self.test)]
            lines.append(f"{emotion}: {sides[0]} -> {sides[1]}")
        return lines


def _told(labels: LabelSet) -> str:
    return f"{labels.name} ({', '.join(labels.names)})"


def emotions_of(labels: Sequence[str | None], classes: dict[str, str | None]) -> list[str | None]:
    """The shared emotion of each label; None for one without, which is not scored."""
    return [None if label is None else classes[label] for label in labels]


def left_out(labels: Sequence[str | None], classes: dict[str, str | None]) -> dict[str, int]:
    """Classes without a counterpart, and how many of the labels are of each."""
    return {name: sum(label == name for label in labels) for name, emotion in classes.items() if emotion is None}
