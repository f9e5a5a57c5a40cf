import warnings

import numpy as np
import pytest

from modeling_erc.training.intervals import bootstrap_weights, estimate_over_seeds, percentile_interval


def correct_in_clusters(seed: int, dialogues: int = 40, length: int = 10) -> np.ndarray:
    """Whether each utterance is correct, `(dialogues, length)`: 0.7 on average, but very different by dialogue."""
    draw = np.random.default_rng(seed)
    return np.asarray(draw.random((dialogues, length)) < draw.beta(1.4, 0.6, size=(dialogues, 1)))


def coverage(samples: list[np.ndarray]) -> float:
    """The share of samples `(units, utterances)` whose interval of the accuracy contains 0.7."""
    weights = bootstrap_weights(len(samples[0]), draws=400)
    low, high = percentile_interval(weights @ np.stack([s.mean(axis=1) for s in samples], axis=1) / len(samples[0]))
    return float(((low <= 0.7) & (high >= 0.7)).mean())


def test_intervals_over_dialogues_cover_the_truth_and_intervals_over_utterances_do_not() -> None:
    samples = [correct_in_clusters(seed) for seed in range(400)]
    # Three standard errors of a coverage of 95 % are 3.3 %; 40 dialogues give slightly too narrow intervals.
    assert 0.90 < coverage(samples) < 0.985
    assert coverage([sample.reshape(-1, 1) for sample in samples]) < 0.75


def test_a_draw_has_as_many_units_as_there_are_and_takes_each_equally_often() -> None:
    dialogues = bootstrap_weights(30)
    assert dialogues.shape == (2000, 30)
    assert (dialogues.sum(axis=1) == 30).all()
    # The variance of a count is nearly 1, so that of a mean is 1 / 2000.
    np.testing.assert_allclose(dialogues.mean(axis=0), 1, atol=0.1)
    # With replacement: a share of about 1/e is not in a draw.
    assert (dialogues == 0).mean() == pytest.approx((1 - 1 / 30) ** 30, abs=0.01)


@pytest.mark.parametrize(
    ("of_seed", "of_both", "dialogues"),
    [(0.0, 0.3, 60), (0.1, 0.3, 60), (0.3, 0.1, 60), (0.1, 0.1, 4)],
    ids=["dialogues", "both", "mostly seeds", "four sessions"],
)
def test_intervals_over_seeds_and_dialogues_cover_the_true_difference(
    of_seed: float, of_both: float, dialogues: int
) -> None:
    """Simulates differences between two settings: 5 seeds on the same dialogues, 1,000 times."""
    random = np.random.default_rng(3)
    seeds, truth = 5, 0.1
    weights = bootstrap_weights(dialogues, draws=300) / dialogues
    covered, found, detectable = [], [], []
    for _ in range(1000):
        values = truth + 0.3 * random.standard_normal(dialogues) + of_seed * random.standard_normal((seeds, 1))
        values = values + of_both * random.standard_normal((seeds, dialogues))
        result = estimate_over_seeds(values.mean(axis=1), values @ weights.T, dialogues)
        covered.append(result.low <= truth <= result.high)
        found.append(result.low > 0)
        detectable.append(result.detectable)
    assert 0.93 <= np.mean(covered) <= 0.97
    # The true difference is found more often than in 80 % of repetitions where it is larger than the detectable one.
    assert (np.mean(found) > 0.8) == (np.median(detectable) < truth)


def test_one_seed_has_the_interval_of_the_dialogues() -> None:
    draws = 0.1 + 0.02 * np.random.default_rng(0).standard_normal((1, 2000))
    result = estimate_over_seeds(np.array([0.1]), draws, units=1000)
    assert (result.low, result.high) == pytest.approx((0.1 - 0.0392, 0.1 + 0.0392), rel=0.05)


def test_draws_are_repeated_by_seed() -> None:
    first, again, other = (bootstrap_weights(30, draws=50, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_undefined_draws_are_ignored_and_without_a_defined_one_there_is_no_interval() -> None:
    values = np.stack([np.linspace(0, 1, 1001), np.full(1001, np.nan)], axis=1)
    values[::2, 0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = percentile_interval(values)
    assert (low[0], high[0]) == pytest.approx((0.025, 0.975), abs=0.002)
    assert np.isnan([low[1], high[1]]).all()
