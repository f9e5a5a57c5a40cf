from typing import Any

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from modeling_erc import ErcConfig
from modeling_erc.training.metrics import logits_of
from modeling_erc.training.prediction_table import prediction_columns, prediction_rows
from modeling_erc.training.target_metrics import (
    TaskMetric,
    fit_thresholds,
    label_scores,
    label_sums,
    target_scores,
    target_sums,
)

STRENGTH = [[-3.0, 3.0]]


def strengths(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted and true strengths, some of them zero or missing, in 7 dialogues."""
    draw = np.random.default_rng(seed)
    true = draw.choice(np.round(np.arange(-3, 3.1, 0.2), 1), size=(200, 1))
    true[draw.random(200) < 0.2] = 0.0
    predicted = true * 0.6 + draw.standard_normal((200, 1))
    true[draw.random(200) < 0.1] = np.nan
    return predicted, true, draw.integers(0, 7, size=200)


def test_scores_of_a_strength_equal_those_of_scipy_and_scikit_learn() -> None:
    predicted, true, dialogue = strengths()
    sums = target_sums(predicted, true, dialogue)
    assert sums.shape[0] == 7
    scores = {name: values.item() for name, values in target_scores(sums.sum(axis=0), STRENGTH).items()}
    known = np.isfinite(true[:, 0])
    x, y = predicted[known, 0], true[known, 0]
    some = y != 0
    expected = {
        "mae": np.abs(x - y).mean(),
        "pearson": pearsonr(x, y)[0],
        "ccc": 2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2),
        "accuracy_2": accuracy_score(y[some] > 0, x[some] > 0),
        "f1_2": f1_score(y[some] > 0, x[some] > 0, average="weighted"),
        "accuracy_2_zeros": accuracy_score(y >= 0, x >= 0),
        "f1_2_zeros": f1_score(y >= 0, x >= 0, average="weighted"),
        "accuracy_7": accuracy_score(np.round(y.clip(-3, 3)), np.round(x.clip(-3, 3))),
    }
    assert scores == pytest.approx(expected)


def test_scores_of_signs_exist_only_where_they_have_a_meaning() -> None:
    predicted, true, dialogue = strengths()
    sums = target_sums(predicted, true, dialogue).sum(axis=0)
    for ranges, present in (([[1.0, 5.0]], ()), ([[-1.0, 1.0]], ("accuracy_2", "f1_2_zeros"))):
        scores = target_scores(sums, ranges)
        found = {name for name in ("accuracy_2", "f1_2_zeros", "accuracy_7") if np.isfinite(scores[name]).all()}
        assert found == set(present)


def test_scores_of_several_labels_equal_those_of_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    true = (draw.random((150, 4)) < [0.6, 0.3, 0.1, 0.0]).astype(float)
    predicted = draw.random((150, 4)) < 0.3 + 0.4 * true
    scores = label_scores(label_sums(predicted, true, draw.integers(0, 5, size=150)).sum(axis=0))
    assert scores["macro_f1"] == pytest.approx(f1_score(true, predicted, average="macro", zero_division=0))
    assert scores["micro_f1"] == pytest.approx(f1_score(true, predicted, average="micro"))
    balanced = [balanced_accuracy_score(true[:, i], predicted[:, i]) for i in range(3)]
    # Of a label that no utterance has, the rate of positives is one half.
    balanced.append((0.5 + (~predicted[:, 3]).mean()) / 2)
    assert scores["weighted_accuracy"] == pytest.approx(np.mean(balanced))


def test_thresholds_have_the_highest_f1_on_dev() -> None:
    true = np.array([[1.0, 0], [1, 0], [0, 1], [0, 0], [np.nan, 0]])
    probabilities = np.array([[0.4, 0.9], [0.3, 0.6], [0.1, 0.95], [0.2, 0.5], [0.9, 0.2]])
    first, second = fit_thresholds(probabilities, true)
    assert 0.2 < first <= 0.3
    assert 0.9 < second <= 0.95


TASKS: dict[str, dict[str, Any]] = {
    "regression": {"problem_type": "regression", "target_names": ["strength"], "target_ranges": STRENGTH},
    "several": {"problem_type": "multi_label_classification", "id2label": {0: "joy", 1: "fear"}},
    "labels and targets": {"id2label": {0: "joy", 1: "fear"}, "target_names": ["valence"]},
}
LABELS = {
    "regression": np.array([[[-1.0], [2.0], [-100]], [[0.5], [-100], [-100]]]),
    "several": np.array([[[1.0, 0], [0, 0], [-100, -100]], [[1, 1], [-100, -100], [-100, -100]]]),
    "labels and targets": np.array([[[0.0, 3], [-100, 2], [-100, -100]], [[1, 1], [-100, -100], [-100, -100]]]),
}


@pytest.mark.parametrize("task", TASKS)
def test_padding_and_missing_values_are_not_scored(task: str) -> None:
    config, labels = ErcConfig(**TASKS[task]), LABELS[task]
    perfect = np.zeros((2, 3, config.num_outputs))
    count = config.num_classes
    if task == "labels and targets":
        perfect[..., :2] = np.eye(2)[labels[..., 0].clip(0).astype(int)]
    elif count:
        perfect[..., :2] = np.where(labels == 1, 5.0, -5.0)
    perfect[..., count:] = labels[..., labels.shape[-1] - (config.num_outputs - count) :]
    metric = TaskMetric(config)
    scores = metric.of_logits(perfect, labels)
    for name in ("weighted_f1", "macro_f1", "micro_f1", "pearson", "ccc", "accuracy_2"):
        assert scores.get(name, 1.0) == pytest.approx(1.0)
    assert scores.get("mae", 0.0) == 0.0
    assert metric.of_groups(perfect, labels, ["a", "b"])["b"]["utterances"] == 1

    class Prediction:
        predictions, label_ids = perfect, labels

    assert logits_of(Prediction) is perfect
    given = metric.for_trainer(Prediction)  # type: ignore[arg-type]
    assert all(isinstance(value, float) for value in given.values())
    expected = {f"{kind}_{name}" for name in config.target_names or () for kind in ("ccc", "mae")}
    assert {name for name in given if name.startswith(("ccc_", "mae_"))} == expected


def test_rows_of_each_task_have_the_columns_of_their_header() -> None:
    dialogues = [
        {"dialogue_id": "d", "utterances": [{"utterance_id": "0", "speaker": "A", "text": "x"}] * 2},
        {"dialogue_id": "e", "utterances": [{"utterance_id": "0", "speaker": "B", "text": None}]},
    ]
    answers = {
        "regression": [[-1.0, 0.0], [2.0, 0.0], [0.5, 0.0]],
        "several": [["joy", "joy + fear"], ["none", "joy + fear"], ["joy + fear", "joy + fear"]],
        "labels and targets": [[3.0, 0.0, "joy", "joy"], [2.0, 0.0, "", "joy"], [1.0, 0.0, "fear", "joy"]],
    }
    for task, expected in answers.items():
        config = ErcConfig(**TASKS[task])
        rows = list(prediction_rows(config, dialogues, np.zeros((2, 3, config.num_outputs)), LABELS[task]))
        assert [row[4 : len(row) - config.num_classes] for row in rows] == expected
        assert {len(row) for row in rows} == {len(prediction_columns(config))}
