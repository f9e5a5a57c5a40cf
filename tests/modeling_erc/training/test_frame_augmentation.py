"""Frames are flipped and shifted in training, all frames of an utterance in the same way."""

from typing import Any

import numpy as np
import pytest
import torch

from modeling_erc.training.frame_augmentation import FrameAugmentation

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)


def test_every_change_is_a_flip_and_a_shift_within_the_limit() -> None:
    torch.manual_seed(0)
    augment = FrameAugmentation(0.1)
    seen = set()
    for _ in range(60):
        (utterance,) = augment([{"video": FRAMES}])
        for flip in (False, True):
            base = FRAMES[:, :, ::-1] if flip else FRAMES
            for down in range(-2, 3):
                for right in range(-3, 4):
                    rows, columns = np.arange(20) - down, np.arange(30) - right
                    moved = base.take(rows, axis=1, mode="clip").take(columns, axis=2, mode="clip")
                    if np.array_equal(moved, utterance["video"]):
                        seen.add((flip, down, right))
    assert {flip for flip, _, _ in seen} == {False, True}
    assert len(seen) > 25


def test_no_shift_switches_the_augmentation_off() -> None:
    utterances = [{"video": FRAMES}]
    assert FrameAugmentation(0.0)(utterances) is utterances


def test_paths_and_other_inputs_are_unchanged() -> None:
    utterances: list[dict[str, Any]] = [{"video": None}, {"video_path": "a.png"}, {"text": "we won"}]
    assert FrameAugmentation(0.1)(utterances) == utterances


@pytest.mark.parametrize("shift", [-0.1, 1.0])
def test_an_impossible_shift_is_refused(shift: float) -> None:
    with pytest.raises(ValueError, match="frame_shift"):
        FrameAugmentation(shift)
