"""Kinds of faults that `benchmarks/faults.py` provokes, and their registry `FAULTS`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from modeling_erc.registry_erc import Registry


@dataclass(frozen=True)
class Plan:
    """How faults are provoked.

    Args:
        folder: an empty folder for the files of one kind.
        seed: seed of all that is drawn.
        share: share of the usual number of trials.
    """

    folder: Path
    seed: int
    share: float

    @property
    def draw(self) -> np.random.Generator:
        """A new generator of random numbers."""
        return np.random.default_rng(self.seed)

    def count(self, usual: int) -> int:
        """Returns the number of trials of which there are `usual` in a full run."""
        return max(1, round(self.share * usual))


@dataclass
class Outcome:
    """What came of the trials of one kind.

    Args:
        tried: number of trials.
        failures: a line for each trial that failed.
        note: what else was seen.
    """

    tried: int
    failures: list[str] = field(default_factory=list)
    note: str = ""


Fault = Callable[[Plan], Outcome]

FAULTS: Registry[Fault] = Registry("fault")
# What a trial of each kind is, and when it counts as failed.
TITLES: dict[str, str] = {}


def fault(name: str, title: str) -> Callable[[Fault], Fault]:
    """Registers a kind of fault; `title` says what is done and what must hold."""
    TITLES[name] = title
    return FAULTS.register(name)
