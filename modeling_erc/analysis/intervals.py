"""Confidence intervals: one bootstrap whose resampling unit is the dialogue."""

import numpy as np

DRAWS = 2000


def bootstrap_weights(*sizes: int, draws: int = DRAWS, seed: int = 0) -> list[np.ndarray]:
    """Returns how often each bootstrap draw takes each unit.

    A draw takes as many units as there are, with replacement (Efron 1979). The units are dialogues: utterances of one
    dialogue depend on each other, so drawing them one by one would give intervals that are too narrow. A second
    size, such as the number of seeds, gives independent weights for a crossed factor.

    Args:
        sizes: number of units of each factor.
        draws: number of draws.
        seed: seed of the draws.

    Returns:
        for each factor whole numbers `(draws, units)`; each row sums to the number of units.

    Example:
        >>> dialogues, seeds = bootstrap_weights(280, 5)
        >>> dialogues.shape, seeds.sum(axis=1).max()
        ((2000, 280), 5.0)
    """
    random = np.random.default_rng(seed)
    return [random.multinomial(size, np.full(size, 1 / size), size=draws).astype(np.float64) for size in sizes]


def percentile_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bounds of the 95 % interval of bootstrap values `(draws, ...)`.

    NaN marks a draw in which a value is undefined; such draws are ignored. The bounds are NaN where all draws are.
    """
    undefined = np.isnan(values).all(axis=0)
    low, high = np.nanpercentile(np.where(undefined, 0.0, values), [2.5, 97.5], axis=0)
    return np.where(undefined, np.nan, low), np.where(undefined, np.nan, high)
