import numpy as np
import pytest

from modeling_erc.training.calibration import calibration_error, fit_temperature, reliability


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_an_over_or_underconfident_model_is_found(temperature: float) -> None:
    draw = np.random.default_rng(1)
    logits = draw.normal(scale=2.0, size=(20_000, 4))
    labels = (logits + draw.gumbel(size=logits.shape)).argmax(axis=1)  # the softmax of the logits is their probability
    assert fit_temperature(temperature * logits, labels) == pytest.approx(temperature, rel=0.05)
    assert calibration_error(logits, labels) < 0.015
    assert (calibration_error(3 * logits, labels) > 0.1) and (calibration_error(logits / 3, labels) > 0.1)


def test_a_dev_split_without_errors_has_a_finite_temperature() -> None:
    assert fit_temperature(np.eye(3), np.arange(3)) == pytest.approx(0.1, rel=0.01)


def test_the_calibration_error_of_a_constructed_case() -> None:
    # Bin (0.6, 0.667] holds 4 of mean 0.65, of which 1 is correct; bin (0.933, 1] holds 6 of mean 0.95, all correct.
    confidence = np.array([0.64, 0.65, 0.65, 0.66] + [0.95] * 6)
    found = reliability(confidence, np.array([True, False, False, False] + [True] * 6))
    assert found.error == pytest.approx(0.4 * (0.65 - 0.25) + 0.6 * (1 - 0.95))
    assert found.counts[[9, 14]].tolist() == [4, 6]
    assert found.counts.sum() == 10
    assert found.accuracy[9] == 0.25
    assert found.confidence[9] == pytest.approx(0.65)
    assert np.isnan(found.accuracy[0])


def test_a_calibrated_model_has_no_error_and_an_overconfident_one_the_largest() -> None:
    draw = np.random.default_rng(0)
    confidence = draw.uniform(0.3, 1, 50_000)
    assert reliability(confidence, draw.random(50_000) < confidence).error < 0.01
    assert reliability(np.ones(4), np.zeros(4, dtype=bool)).error == 1.0


def test_a_bin_includes_its_upper_edge() -> None:
    found = reliability(np.array([0.0, 0.2, 0.2000001, 1.0]), np.ones(4, dtype=bool), bins=5)
    assert found.counts.tolist() == [2, 1, 0, 0, 1]
    np.testing.assert_allclose(found.edges, [0, 0.2, 0.4, 0.6, 0.8, 1])
