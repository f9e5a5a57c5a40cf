from typing import Any

import numpy as np
import pytest
import torch

from modeling_erc.training.data import SpeedPerturbation

RATE = 16000


def tone(hertz: float = 440.0, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def pitch(wave: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(wave)).argmax() * RATE / len(wave))


def test_length_and_pitch_change_together_within_the_amount() -> None:
    torch.manual_seed(0)
    perturb = SpeedPerturbation(0.2)
    factors = []
    for _ in range(40):
        ((wave, rate),) = (utterance["audio"] for utterance in perturb([{"audio": (tone(), RATE)}]))
        assert rate == RATE and wave.dtype == np.float32
        factors.append(RATE / len(wave))
        assert pitch(wave) == pytest.approx(440 * factors[-1], rel=0.01)
    assert 0.8 <= min(factors) < 0.9 and 1.1 < max(factors) <= 1.2


def test_what_is_not_decoded_and_what_else_is_there_stays() -> None:
    given: list[dict[str, Any]] = [
        {"audio_path": "a.wav", "text": "Yes."},
        {"audio": "b.wav"},
        {"audio": (tone(), RATE), "label": 2},
    ]
    first, second, third = SpeedPerturbation(0.1)(given)
    assert (first, second) == (given[0], given[1])
    assert third["label"] == 2
    assert given[2]["audio"][0].shape == (RATE,)


def test_nothing_is_changed_at_amount_zero() -> None:
    wave = tone()
    assert SpeedPerturbation(0.0)([{"audio": (wave, RATE)}])[0]["audio"][0] is wave


@pytest.mark.parametrize("amount", [-0.1, 1.0])
def test_an_impossible_amount_is_refused(amount: float) -> None:
    with pytest.raises(ValueError, match="speed_perturbation"):
        SpeedPerturbation(amount)
