import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from datasets_scripts.demo_corpus.voice import SAMPLE_RATE, VOICES, speak


def features(samples: np.ndarray) -> np.ndarray:
    """Mean and spread over time of 40 log-spaced bands, `(80,)`."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 512)[::160] * np.hanning(512)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = np.unique(np.geomspace(2, 257, 41).astype(int))
    bands = np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-6)
    return np.concatenate([bands.mean(0), bands.std(0)])


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("seconds", [0.875, 1.5])
def test_a_clip_has_its_length_and_stays_in_range(voice: str, seconds: float) -> None:
    samples = speak(voice, 5, seconds, np.random.default_rng(0))
    assert samples.shape == (round(seconds * SAMPLE_RATE),) and samples.dtype == np.float32
    assert np.abs(samples).max() <= 1 and samples.std() > 0.005


def test_the_same_seed_says_the_same() -> None:
    one, again, other = (speak("calm", 2, 1.0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)


def test_a_speaker_keeps_a_pitch_of_their_own() -> None:
    def pitch(speaker: int, seed: int) -> float:
        samples = speak("calm", speaker, 1.5, np.random.default_rng(seed)).astype(float)
        spectrum = np.abs(np.fft.rfft(samples, 65536)) ** 2
        repeats = np.fft.irfft(spectrum)[:400]
        shortest = SAMPLE_RATE // 320
        return SAMPLE_RATE / (shortest + int(repeats[shortest : SAMPLE_RATE // 70].argmax()))

    pitches = np.array([[pitch(speaker, seed) for seed in range(4)] for speaker in range(8)])
    assert pitches.min() > 70 and pitches.max() < 320
    assert np.median(pitches, axis=1).std() > 25  # the speakers differ
    assert np.median(pitches.std(1)) < 20  # one speaker does not


def test_a_simple_model_tells_the_kinds_of_voice_apart() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.choice(list(VOICES), 480)
    table = np.stack([features(speak(kind, int(rng.integers(24)), 1.0, rng)) for kind in kinds])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(table[:320], kinds[:320])
    assert model.score(table[320:], kinds[320:]) > 0.96
