"""Augmentation of video frames and still images in training: horizontal flips and small shifts."""

from typing import Any

import numpy as np
import torch


class FrameAugmentation:
    """Flips the frames of an utterance from left to right with probability 1/2, and shifts them by a random distance.

    All frames of an utterance get the same change, so that movement stays movement. Pixels that a shift leaves empty
    repeat the edge. A flip changes no emotion; shifts stand for faces that a detector cut a little differently.

    Args:
        shift: largest shift as a fraction of height and width; 0 switches the augmentation off.

    Raises:
        ValueError: `shift` is not from 0 to below 1.
    """

    def __init__(self, shift: float) -> None:
        if not 0 <= shift < 1:
            raise ValueError(f"frame_shift is {shift}: choose from 0 to below 1, such as 0.08")
        self.shift = shift

    def __call__(self, utterances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns the utterances with decoded frames changed; a video that is still a path is unchanged."""
        if not self.shift:
            return utterances
        return [
            {**utterance, "video": self._changed(utterance["video"])}
            if isinstance(utterance.get("video"), np.ndarray)
            else utterance
            for utterance in utterances
        ]

    def _changed(self, frames: np.ndarray) -> np.ndarray:
        # PyTorch's generator is seeded in each data-loader worker.
        flip, *offsets = torch.rand(3).tolist()
        if flip < 0.5:
            frames = frames[:, :, ::-1]
        for axis, offset in enumerate(offsets, start=1):
            length = frames.shape[axis]
            distance = round(self.shift * length * (2 * offset - 1))
            frames = frames.take(np.arange(length) - distance, axis=axis, mode="clip")
        return np.ascontiguousarray(frames)
