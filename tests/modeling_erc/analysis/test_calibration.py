import numpy as np
import pytest

from modeling_erc.analysis.scores import reliability, softmax


def test_the_error_of_a_constructed_case() -> None:
    # Bin (0.6, 0.667] holds 4 of mean 0.65, of which 1 is right; bin (0.933, 1] holds 6 of mean 0.95, all right.
    confidence = np.array([0.64, 0.65, 0.65, 0.66] + [0.95] * 6)
    found = reliability(confidence, np.array([True, False, False, False] + [True] * 6))
    assert found.error == pytest.approx(0.4 * (0.65 - 0.25) + 0.6 * (1 - 0.95))
    assert found.counts[[9, 14]].tolist() == [4, 6]
    assert found.counts.sum() == 10
    assert found.accuracy[9] == 0.25
    assert found.confidence[9] == pytest.approx(0.65)
    assert np.isnan(found.accuracy[0])


def test_a_calibrated_model_has_no_error_and_a_boaster_all_of_it() -> None:
    draw = np.random.default_rng(0)
    confidence = draw.uniform(0.3, 1, 50_000)
    assert reliability(confidence, draw.random(50_000) < confidence).error < 0.01
    assert reliability(np.ones(4), np.zeros(4, dtype=bool)).error == 1.0


def test_a_bin_has_its_upper_edge() -> None:
    found = reliability(np.array([0.0, 0.2, 0.2000001, 1.0]), np.ones(4, dtype=bool), bins=5)
    assert found.counts.tolist() == [2, 1, 0, 0, 1]
    np.testing.assert_allclose(found.edges, [0, 0.2, 0.4, 0.6, 0.8, 1])


def test_probabilities_of_large_logits_are_finite() -> None:
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0], [np.log(3), 0.0]])), [[0.5, 0.5], [0.75, 0.25]])
