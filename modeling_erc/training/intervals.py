"""Confidence intervals: one bootstrap over dialogues, or groups of them, and a t interval over seeds beside it."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

DRAWS = 2000


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval; printed in bold where the interval excludes zero.

    Args:
        value: the mean.
        low: lower bound.
        high: upper bound.
        detectable: smallest true value that such an experiment would find different from zero in 80 % of repetitions.
    """

    value: float
    low: float
    high: float
    detectable: float

    def __str__(self) -> str:
        text = f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"
        return f"**{text}**" if self.low > 0 or self.high < 0 else text


def bootstrap_weights(dialogues: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Returns how often each bootstrap draw takes each dialogue.

    A draw takes as many dialogues as there are, with replacement (Efron 1979). Utterances of one dialogue depend on
    each other, so drawing them one by one would give intervals that are too narrow.

    Args:
        dialogues: number of dialogues.
        draws: number of draws.
        seed: seed of the draws.

    Returns:
        whole numbers `(draws, dialogues)`; each row sums to the number of dialogues.

    Example:
        >>> bootstrap_weights(280).shape
        (2000, 280)
    """
    random = np.random.default_rng(seed)
    return random.multinomial(dialogues, np.full(dialogues, 1 / dialogues), size=draws).astype(np.float64)


def estimate_over_seeds(values: np.ndarray, draws: np.ndarray, units: int) -> Estimate:
    """Returns the mean over seeds with an interval that covers other seeds and other test dialogues.

    Seeds and dialogues are crossed: each seed is scored on the same dialogues. The variance of the mean has a part of
    the dialogues, estimated by bootstrap, and a part of the seeds, the sample variance over seeds without what the
    dialogues contribute to it. Their degrees of freedom are combined by Satterthwaite 1946; few seeds, and few
    dialogues, thus give the wide interval that they deserve (a percentile bootstrap over five seeds covers about 83 %,
    not 95 %).

    Args:
        values: `(seeds,)`, the value of each seed on all dialogues. One seed gives the part of the dialogues alone.
        draws: `(seeds, draws)`, the values on each bootstrap draw of dialogues, the same draws for all seeds.
        units: number of dialogues, or of the groups of dialogues that a draw takes as one.
    """
    seeds = len(values)
    mean = float(values.mean())
    # A bootstrap of n units has a variance that is too small by a factor of (n - 1) / n.
    unbiased = units / max(units - 1, 1)
    of_dialogues = unbiased * float(draws.mean(axis=0).var(ddof=1))
    of_seeds = 0.0
    if seeds > 1:
        # Expectation of the variance over seeds that comes from their different answers to the same dialogues.
        interaction = (unbiased * draws.var(axis=1, ddof=1).mean() - of_dialogues) / (seeds - 1)
        of_seeds = max(0.0, float(values.var(ddof=1) / seeds - interaction))
    variance = of_dialogues + of_seeds
    if variance == 0:
        return Estimate(mean, mean, mean, 0.0)
    freedom = variance**2 / (of_dialogues**2 / max(units - 1, 1) + of_seeds**2 / max(seeds - 1, 1))
    bound, power = student.ppf([0.975, 0.8], freedom)
    error = variance**0.5
    return Estimate(mean, mean - bound * error, mean + bound * error, (bound + power) * error)


def percentile_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bounds of the 95 % interval of bootstrap values `(draws, ...)`.

    NaN marks a draw in which a value is undefined; such draws are ignored. The bounds are NaN where all draws are.
    """
    undefined = np.isnan(values).all(axis=0)
    low, high = np.nanpercentile(np.where(undefined, 0.0, values), [2.5, 97.5], axis=0)
    return np.where(undefined, np.nan, low), np.where(undefined, np.nan, high)
