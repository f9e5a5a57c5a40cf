"""The joint classifier is fitted again once its features are trained."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.training.classifier_refit import can_refit, linear_discriminant
from modeling_erc.training.train import main
from tests.small_grid import write_recipe

# The first class is 20 times as frequent as the last one.
COUNTS = (400, 100, 20)


def features() -> tuple[np.ndarray, np.ndarray]:
    """Three overlapping classes, with features of very different sizes."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), COUNTS)
    return (random.standard_normal((len(labels), 4)) + np.eye(4)[labels]) * [1, 10, 0.1, 1] + [5, 0, 0, -3], labels


def expected(x: np.ndarray, y: np.ndarray) -> torch.Tensor:
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    fitted = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(standard, y)
    return torch.tensor(fitted.predict_proba(standard))


def test_probabilities_are_those_of_a_discriminant_analysis_of_standardised_features() -> None:
    x, y = features()
    weight, bias = linear_discriminant(x, y, classes=3)
    probabilities = torch.tensor(x @ weight.T + bias).softmax(dim=1)
    torch.testing.assert_close(probabilities, expected(x, y), atol=1e-6, rtol=0)


def test_two_classes_have_a_logit_each_and_a_class_without_labels_is_hardly_probable() -> None:
    x, y = features()
    x, y = x[y > 0], y[y > 0]
    weight, bias = linear_discriminant(x, y, classes=4)
    probabilities = torch.tensor(x @ weight.T + bias).softmax(dim=1)
    torch.testing.assert_close(probabilities[:, 1:3], expected(x, y), atol=1e-3, rtol=0)
    # Not zero: one such utterance on dev would make the temperature infinite.
    assert (probabilities[:, [0, 3]] < 1e-3).all() and (probabilities > 0).all()


def run(folder: Path, *options: str) -> ErcForSequenceClassification:
    recipe = str(write_recipe(folder / "corpus"))
    common = ["--modality_logit_weight", "0", "--use_cpu", "--max_steps", "4", "--eval_strategy", "no"]
    saving = ["--save_strategy", "no", "--load_best_model_at_end", "false", "--output_dir", str(folder / "run")]
    main([recipe, *common, *saving, "--overwrite", *options])
    return ErcForSequenceClassification.from_pretrained(folder / "run")


@pytest.mark.usefixtures("home")
def test_a_run_saves_the_fitted_classifier_and_nothing_else_changes(tmp_path: Path) -> None:
    trained = run(tmp_path).state_dict()
    fitted = run(tmp_path, "--refit_classifier").state_dict()
    assert {n for n in trained if not trained[n].equal(fitted[n])} == {"classifier.weight", "classifier.bias"}


def test_under_fsdp_the_classifier_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert not can_refit(ErcConfig(feature_sizes={"text": 4}, num_labels=3, modality_logit_weight=0.0))
    assert "FSDP" in caplog.text


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"modality_logit_weight": 0.5}, "modality_logit_weight 0.5 averages"),
        ({"problem_type": "multi_label_classification", "modality_logit_weight": 0.0}, "several labels"),
        ({"target_names": ["valence"], "modality_logit_weight": 0.0}, "numbers are predicted"),
    ],
)
def test_a_model_that_it_does_not_fit_stays_as_it_is(
    settings: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    # A recipe sets it, and another corpus may have several labels.
    assert not can_refit(ErcConfig(feature_sizes={"text": 4}, num_labels=3, **settings))
    assert "refit_classifier has no effect: " in caplog.text and reason in caplog.text
