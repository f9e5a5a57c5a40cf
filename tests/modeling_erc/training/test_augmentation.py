from typing import Any

import numpy as np
import pytest
import torch

from modeling_erc.training.augmentation import Augmentation, FrameAugmentation, SpeedPerturbation

RATE = 16000
TONE = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
both = pytest.mark.parametrize("kind", [SpeedPerturbation, FrameAugmentation])


def pitch(wave: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(wave)).argmax() * RATE / len(wave))


def test_length_and_pitch_change_together_within_the_amount() -> None:
    torch.manual_seed(0)
    perturb = SpeedPerturbation(0.2)
    factors = []
    for _ in range(40):
        ((wave, rate),) = (utterance["audio"] for utterance in perturb([{"audio": (TONE, RATE)}]))
        assert rate == RATE and wave.dtype == np.float32
        factors.append(RATE / len(wave))
        assert pitch(wave) == pytest.approx(440 * factors[-1], rel=0.01)
    assert 0.8 <= min(factors) < 0.9 and 1.1 < max(factors) <= 1.2


def test_frames_of_an_utterance_are_flipped_and_shifted_together_within_the_limit() -> None:
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


@both
def test_amount_zero_changes_nothing(kind: type[Augmentation]) -> None:
    utterances = [{"video": FRAMES, "audio": (TONE, RATE)}]
    assert kind(0.0)(utterances) is utterances


@both
def test_paths_and_other_columns_are_unchanged(kind: type[Augmentation]) -> None:
    utterances: list[dict[str, Any]] = [{"video": None}, {"video_path": "a.png"}, {"audio": "b.wav"}, {"text": "Yes."}]
    assert kind(0.1)(utterances) == utterances
    (changed,) = kind(0.1)([{"video": FRAMES, "audio": (TONE, RATE), "label": 2}])
    assert changed["label"] == 2


@pytest.mark.parametrize("amount", [-0.1, 1.0])
@both
def test_an_impossible_amount_is_refused(kind: type[Augmentation], amount: float) -> None:
    with pytest.raises(ValueError, match=kind.OPTION):
        kind(amount)
