import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from modeling_erc.training.confusion import bootstrap_scores, confusion_by_dialogue, scores_of
from modeling_erc.training.intervals import percentile_interval


def answers(seed: int, count: int = 200, classes: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True classes (the last never occurs), predictions (the first never occurs) and dialogues with gaps in between."""
    draw = np.random.default_rng(seed)
    true, predicted = draw.integers(0, classes - 1, count), draw.integers(1, classes, count)
    return true, predicted, np.sort(draw.choice([3, 4, 9, 100], count))


def test_scores_are_those_of_scikit_learn_for_every_leading_axis() -> None:
    pairs = [answers(seed)[:2] for seed in range(6)]
    matrices = np.array([confusion_matrix(*pair, labels=range(5)) for pair in pairs]).reshape(2, 3, 5, 5)
    scores = scores_of(matrices)
    for place, (true, predicted) in zip(np.ndindex(2, 3), pairs, strict=True):
        expected = precision_recall_fscore_support(true, predicted, labels=range(5), zero_division=0)
        found = scores.precision[place], scores.recall[place], scores.f1[place], scores.support[place]
        np.testing.assert_allclose(np.array(found), np.array(expected))
        assert scores.accuracy[place] == pytest.approx(accuracy_score(true, predicted))
        assert scores.weighted_f1[place] == pytest.approx(f1_score(true, predicted, average="weighted"))
        macro = f1_score(true, predicted, average="macro", labels=range(5), zero_division=0)
        assert scores.macro_f1[place] == pytest.approx(macro)


def test_each_dialogue_has_its_own_confusion_matrix() -> None:
    true, predicted, dialogue = answers(seed=0)
    found = confusion_by_dialogue(true, predicted, dialogue, classes=5)
    for matrix, name in zip(found, [3, 4, 9, 100], strict=True):
        members = dialogue == name
        np.testing.assert_array_equal(matrix, confusion_matrix(true[members], predicted[members], labels=range(5)))


def test_an_interval_has_the_width_that_chance_gives() -> None:
    right = np.random.default_rng(0).random(400) < 0.7
    alone = confusion_by_dialogue(np.zeros(400, int), (~right).astype(int), np.arange(400), classes=2)
    low, high = percentile_interval(bootstrap_scores(alone).accuracy)
    expected = 2 * 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 400)
    assert high - low == pytest.approx(expected, rel=0.15)
    assert low < right.mean() < high


def test_whole_dialogues_are_drawn() -> None:
    # 20 dialogues of 20 utterances that are all right or all wrong: only 20 independent observations.
    right = np.repeat(np.arange(20) < 14, 20)
    together = confusion_by_dialogue(np.zeros(400, int), (~right).astype(int), np.repeat(np.arange(20), 20), classes=2)
    low, high = percentile_interval(bootstrap_scores(together).accuracy)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.7 * 0.3 / 20), rel=0.15)


def test_in_a_draw_without_utterances_of_a_class_its_scores_are_undefined() -> None:
    matrices = np.array([[[5, 0], [0, 2]], [[5, 0], [0, 0]]])
    scores = bootstrap_scores(matrices)
    without = scores.support[:, 1] == 0
    assert 0.1 < without.mean() < 0.4
    assert np.isnan(scores.recall[without, 1]).all()
    assert percentile_interval(scores.recall[:, 1]) == (1.0, 1.0)
