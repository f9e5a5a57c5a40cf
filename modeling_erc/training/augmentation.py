"""Augmentation of decoded clips in training: speed of audio, flips and shifts of frames.

Batches are drawn ahead of the step that uses them, so a run that is resumed in the middle of an epoch draws other
changes for the rest of it; from the next epoch on it continues exactly.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import soxr
import torch


class Augmentation(ABC):
    """Changes one modality of each utterance at random; a clip that is still a path is unchanged.

    Random numbers come from PyTorch, whose generator is seeded in each data-loader worker.

    Args:
        amount: value of the option `OPTION`, from 0 (unchanged) to below 1.

    Raises:
        ValueError: `amount` is outside this range.
    """

    OPTION: ClassVar[str]
    COLUMN: ClassVar[str]
    # Type of a decoded clip.
    DECODED: ClassVar[type]

    def __init__(self, amount: float) -> None:
        if not 0 <= amount < 1:
            raise ValueError(f"{self.OPTION} is {amount}: choose from 0 to below 1, such as 0.1")
        self.amount = amount

    def __call__(self, utterances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns the utterances with changed clips."""
        if not self.amount:
            return utterances
        return [
            {**utterance, self.COLUMN: self.changed(utterance[self.COLUMN])}
            if isinstance(utterance.get(self.COLUMN), self.DECODED)
            else utterance
            for utterance in utterances
        ]

    @abstractmethod
    def changed(self, clip: Any) -> Any:
        """Returns a decoded clip with a random change."""


class SpeedPerturbation(Augmentation):
    """Resamples a clip by a factor from 1 - `amount` to 1 + `amount`: tempo and pitch change (Ko et al. 2015)."""

    OPTION, COLUMN, DECODED = "speed_perturbation", "audio", tuple

    def changed(self, clip: tuple[np.ndarray, int]) -> tuple[np.ndarray, int]:
        """Resamples `(wave, rate)`."""
        wave, rate = clip
        factor = 1 + self.amount * (2 * torch.rand(()).item() - 1)
        return soxr.resample(wave, rate * factor, rate), rate


class FrameAugmentation(Augmentation):
    """Flips frames from left to right with probability 1/2, and shifts them by up to `amount` of height and width.

    All frames of an utterance get the same change, so that movement stays movement. Pixels that a shift leaves empty
    repeat the edge. A flip changes no emotion; shifts stand for faces that a detector cut a little differently.
    """

    OPTION, COLUMN, DECODED = "frame_shift", "video", np.ndarray

    def changed(self, clip: np.ndarray) -> np.ndarray:
        """Flips and shifts frames, `(frames, height, width, 3)`."""
        flip, *offsets = torch.rand(3).tolist()
        if flip < 0.5:
            clip = clip[:, :, ::-1]
        for axis, offset in enumerate(offsets, start=1):
            length = clip.shape[axis]
            distance = round(self.amount * length * (2 * offset - 1))
            clip = clip.take(np.arange(length) - distance, axis=axis, mode="clip")
        return np.ascontiguousarray(clip)
