import numpy as np

from modeling_erc.analysis.scores import ConfusedPair, most_confused

# True class, predicted class, probability of the predicted class.
ANSWERS = [(0, 1, 0.6), (0, 1, 0.9), (0, 0, 0.8), (0, 1, 0.7), (0, 1, 0.5), (2, 1, 0.9), (1, 1, 0.9), (-100, 2, 0.9)]


def confused(**limits: int) -> list[ConfusedPair]:
    probabilities = np.zeros((len(ANSWERS), 3))
    for row, (_, predicted, share) in zip(probabilities, ANSWERS, strict=True):
        row[:] = (1 - share) / 2
        row[predicted] = share
    return most_confused(np.array([true for true, _, _ in ANSWERS]), probabilities, **limits)


def test_pairs_are_sorted_by_count_and_examples_by_confidence() -> None:
    assert confused() == [ConfusedPair(0, 1, 4, [1, 3, 0]), ConfusedPair(2, 1, 1, [5])]


def test_pairs_and_examples_are_limited() -> None:
    assert confused(pairs=1, examples=2) == [ConfusedPair(0, 1, 4, [1, 3])]


def test_without_errors_there_is_no_confused_pair() -> None:
    assert most_confused(np.array([0, 1, -100]), np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])) == []
