"""Sound played a little faster or slower in training: other voices from the same few speakers."""

from typing import Any

import soxr
import torch


class SpeedPerturbation:
    """Resamples each decoded clip by a factor drawn anew each time, so that tempo and pitch change (Ko et al. 2015).

    Batches are drawn ahead of the step that uses them, so a run that is resumed in the middle of an epoch hears other
    factors than it would have; from the end of an epoch on it goes on exactly.

    Args:
        amount: 0.1 draws factors from 0.9 to 1.1.

    Raises:
        ValueError: where `amount` is not from 0 to below 1.
    """

    def __init__(self, amount: float) -> None:
        if not 0 <= amount < 1:
            raise ValueError(f"speed_perturbation is {amount}: choose from 0 to below 1, such as 0.1")
        self.amount = amount

    def __call__(self, utterances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The utterances, those with decoded sound changed; what is still a path stays one."""
        return [self._played(utterance) for utterance in utterances]

    def _played(self, utterance: dict[str, Any]) -> dict[str, Any]:
        sound = utterance.get("audio")
        if not isinstance(sound, tuple) or not self.amount:
            return utterance
        wave, rate = sound
        # PyTorch's generator is seeded in each data-loader worker.
        factor = 1 + self.amount * (2 * torch.rand(()).item() - 1)
        return {**utterance, "audio": (soxr.resample(wave, rate * factor, rate), rate)}
