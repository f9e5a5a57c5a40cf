import socket

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score
from transformers import EvalPrediction

from modeling_erc.training.metrics import ErcMetric

NAMES = ["neutral", "joy", "anger", "fear", "disgust"]


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels without `fear`, predictions without `disgust`."""
    rng = np.random.default_rng(seed)
    true = rng.choice([0, 1, 2, 4], size=200, p=[0.6, 0.2, 0.15, 0.05])
    predicted = np.where(rng.random(200) < 0.5, true, rng.choice([0, 1, 2, 3], size=200))
    return np.where(predicted == 4, 0, predicted), true


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_scikit_learn_with_absent_classes(seed: int) -> None:
    predicted, true = random_case(seed)
    assert 3 not in true
    assert 4 not in predicted
    scores = ErcMetric(NAMES).compute(predictions=predicted, references=true)
    labels = range(5)
    assert scores["accuracy"] == pytest.approx(accuracy_score(true, predicted))
    for average in ("weighted", "macro"):
        expected = f1_score(true, predicted, labels=labels, average=average, zero_division=0)
        assert scores[f"{average}_f1"] == pytest.approx(expected)
    by_class = {"f1": f1_score, "precision": precision_score, "recall": recall_score}
    for kind, function in by_class.items():
        expected = function(true, predicted, labels=labels, average=None, zero_division=0)
        assert [scores["per_class"][name][kind] for name in NAMES] == pytest.approx(list(expected))
    assert [scores["per_class"][name]["support"] for name in NAMES] == np.bincount(true, minlength=5).tolist()
    assert scores["confusion_matrix"] == confusion_matrix(true, predicted, labels=labels).tolist()


def test_a_hand_computed_case() -> None:
    scores = ErcMetric(["a", "b", "c"]).compute(predictions=[0, 0, 1, 1], references=[0, 1, 1, 1])
    assert scores["accuracy"] == 0.75
    assert scores["per_class"]["a"] == pytest.approx({"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "support": 1})
    assert scores["per_class"]["b"] == pytest.approx({"precision": 1.0, "recall": 2 / 3, "f1": 0.8, "support": 3})
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 0.8 + 0) / 3)
    assert scores["weighted_f1"] == pytest.approx((2 / 3 + 3 * 0.8) / 4)
    assert scores["confusion_matrix"] == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]


def test_groups_of_dialogues_are_scored_alone() -> None:
    logits = np.eye(2)[[[0, 1], [1, 1], [1, 0], [0, 0]]]
    labels = np.array([[0, 0], [1, -100], [1, 1], [-100, -100]])
    groups = ["scripted", "improvised", None, "unlabelled"]
    assert ErcMetric(["a", "b"]).of_groups(logits, labels, groups) == {
        "improvised": {"utterances": 1, "accuracy": 1, "weighted_f1": 1, "macro_f1": 0.5},
        "scripted": pytest.approx({"utterances": 2, "accuracy": 0.5, "weighted_f1": 2 / 3, "macro_f1": 1 / 3}),
    }


def test_ignored_slots_are_not_scored() -> None:
    logits = np.array([[[2.0, 1.0], [0.0, 1.0], [5.0, 0.0]], [[0.0, 3.0], [9.0, 0.0], [9.0, 0.0]]])
    labels = np.array([[0, 1, -100], [0, -100, -100]])
    scores = ErcMetric(["a", "b"]).of_logits(logits, labels)
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert scores["confusion_matrix"] == [[1, 1], [0, 1]]


def test_a_split_without_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="no labelled utterance"):
        ErcMetric(["a", "b"]).of_logits(np.zeros((1, 2, 2)), np.full((1, 2), -100))


def test_the_trainer_receives_scalars_only() -> None:
    logits, labels = np.eye(3)[None, [0, 1, 1]], np.array([[0, 1, 2]])
    metric = ErcMetric(["a", "b", "c"])
    scores = metric.for_trainer(EvalPrediction(predictions=logits, label_ids=labels))
    assert set(scores) == {"accuracy", "weighted_f1", "macro_f1", "f1_a", "f1_b", "f1_c"}
    assert all(isinstance(value, float) for value in scores.values())
    assert scores["accuracy"] == pytest.approx(2 / 3)
    # Other outputs of the model may come with the logits.
    assert metric.for_trainer(EvalPrediction(predictions=(logits, -logits), label_ids=labels)) == scores


def test_it_can_be_used_repeatedly() -> None:
    metric = ErcMetric(["a", "b"])
    assert [metric.compute(predictions=[i], references=[0])["accuracy"] for i in (0, 1, 0)] == [1.0, 0.0, 1.0]


def test_it_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert ErcMetric(["a", "b"]).compute(predictions=[0, 1], references=[0, 0])["accuracy"] == 0.5
