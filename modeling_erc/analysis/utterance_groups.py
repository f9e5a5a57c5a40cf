"""Which utterances belong together: by emotion shift, by speaker, by place or length."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..losses_erc import IGNORE_INDEX

SHIFTS = ("the speaker's first", "same emotion as before", "another emotion than before")


def emotion_shift(labels: np.ndarray, dialogue: np.ndarray, speakers: Sequence[str]) -> np.ndarray:
    """Whether a speaker's emotion has changed since their previous labelled utterance in the dialogue.

    Args:
        labels: `(n,)` class indices, -100 where an utterance has none; dialogues in order, utterances as spoken.
        dialogue: `(n,)`, which dialogue an utterance is of.
        speakers: n names.

    Returns:
        `(n,)` indices into `SHIFTS`: 0 the speaker's first labelled utterance, 1 the same emotion as in their last, 2
        another; -1 for utterances without label.

    Example:
        >>> emotion_shift(np.array([0, 1, 0, 0]), np.zeros(4), ["Ann", "Bo", "Ann", "Bo"]).tolist()
        [0, 0, 1, 2]
    """
    last: dict[tuple[int, str], int] = {}
    groups = np.full(len(labels), -1)
    for index, (label, number, speaker) in enumerate(zip(labels.tolist(), dialogue.tolist(), speakers, strict=True)):
        if label != IGNORE_INDEX:
            before = last.get((number, speaker))
            groups[index] = 0 if before is None else 1 if before == label else 2
            last[number, speaker] = label
    return groups


def quantile_bins(values: np.ndarray, bins: int = 5) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Groups of about equal size by a number; equal numbers are in one group, so that there may be fewer groups.

    Args:
        values: `(n,)`; NaN is in no group.
        bins: groups at most.

    Returns:
        `(n,)` group indices, -1 for NaN, and the smallest and largest value of each group.

    Example:
        >>> quantile_bins(np.array([1, 1, 1, 2, 3, 9]), bins=3)
        (array([0, 0, 0, 1, 2, 2]), [(1.0, 1.0), (2.0, 2.0), (3.0, 9.0)])
    """
    known = ~np.isnan(values)
    groups = np.full(len(values), -1)
    if not known.any():
        return groups, []
    steps = np.arange(1, bins) / bins
    edges = np.unique(np.quantile(values[known], steps, method="inverted_cdf"))
    # Up to and including its edge; numbered anew, since the last group is empty where the edge is the largest value.
    places = np.searchsorted(edges, values[known], side="left")
    groups[known] = np.unique(places, return_inverse=True)[1]
    ends = [values[groups == group] for group in range(groups.max() + 1)]
    return groups, [(float(part.min()), float(part.max())) for part in ends]


def most_frequent(names: Sequence[str], limit: int = 10) -> tuple[np.ndarray, list[str]]:
    """A group for each of the most frequent names, and one for all others.

    Args:
        names: n of them.
        limit: names with a group of their own.

    Returns:
        `(n,)` group indices and the groups' names, the most frequent first.
    """
    counts = Counter(names)
    chosen = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]]
    numbers = {name: number for number, name in enumerate(chosen)}
    groups = np.array([numbers.get(name, len(chosen)) for name in names])
    others = len(counts) - len(chosen)
    return groups, [*chosen, f"{others} others"] if others else chosen
