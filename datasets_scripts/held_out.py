"""A development split for corpora that have none: some training dialogues, drawn by a seed."""

import random
from collections.abc import Collection


def hold_out(dialogue_ids: Collection[str], count: int, seed: int) -> frozenset[str]:
    """The dialogues that a seed takes out of training; the same on every machine and in whatever order they come.

    Args:
        dialogue_ids: ids of the training dialogues.
        count: how many to take.
        seed: another seed takes others.

    Raises:
        ValueError: where nothing would be left to train on.

    Example:
        >>> sorted(hold_out(["a", "b", "c", "d"], 2, seed=0))
        ['b', 'd']
    """
    if not 0 <= count < len(dialogue_ids):
        raise ValueError(f"{count} of {len(dialogue_ids)} training dialogues for dev: keep at least one for training")
    return frozenset(random.Random(seed).sample(sorted(dialogue_ids), count))
