from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from transformers import WhisperFeatureExtractor

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.analysis.corruptions import (
    CORRUPTIONS,
    BlackFrames,
    Blur,
    Drop,
    FeatureNoise,
    WhiteNoise,
    WordDrop,
    WordSwap,
    corruptions_of,
)
from modeling_erc.features.decoded_media import DecodedMedia
from modeling_erc.processing_erc import ErcProcessor

RATE = 16000
UTTERANCE = {"speaker": "Ann", "text": "we won", "audio_path": "a.wav", "video_path": "a.mp4", "label": 2}


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("snr", [20.0, 10.0, 0.0])
@pytest.mark.parametrize("loudness", [1.0, 0.01])
def test_noise_has_the_asked_for_ratio_to_the_signal(snr: float, loudness: float) -> None:
    wave = (loudness * np.sin(np.arange(3 * RATE) / 20)).astype(np.float32)
    noisy, rate = WhiteNoise("audio", snr)({"audio": (wave, RATE)}, draw())["audio"]
    noise = noisy.astype(np.float64) - wave
    measured = 10 * np.log10((wave.astype(np.float64) ** 2).sum() / (noise**2).sum())
    assert abs(measured - snr) < 0.1
    assert (rate, noisy.dtype, noisy.shape) == (RATE, np.float32, wave.shape)
    # White: a sample says nothing of the next one.
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.02


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_words_are_lost_at_the_asked_for_rate_and_the_others_keep_their_order(rate: float) -> None:
    words = [f"w{number}" for number in range(5000)]
    kept = WordDrop("text", rate)({"text": " ".join(words)}, draw())["text"].split()
    # Five standard deviations of the binomial distribution.
    assert abs(1 - len(kept) / len(words) - rate) < 5 * (rate * (1 - rate) / len(words)) ** 0.5
    assert kept == [word for word in words if word in set(kept)]


def test_a_higher_rate_loses_the_same_words_and_more() -> None:
    said = {"text": " ".join(f"w{number}" for number in range(200))}
    few, many = (set(WordDrop("text", rate)(said, draw())["text"].split()) for rate in (0.5, 0.3))
    assert few < many


def test_an_utterance_that_loses_all_its_words_has_no_text() -> None:
    assert WordDrop("text", 1.0)({"text": "we won"}, draw())["text"] is None


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_swapped_words_are_the_same_words_in_other_places(rate: float) -> None:
    words = [f"w{number}" for number in range(5000)]
    swapped = WordSwap("text", rate)({"text": " ".join(words)}, draw())["text"].split()
    assert sorted(swapped) == sorted(words)
    moved = sum(old != new for old, new in zip(words, swapped, strict=True)) / len(words)
    assert abs(moved - rate) < 5 * (rate * (1 - rate) / len(words)) ** 0.5


def test_blur_spreads_a_point_as_far_as_it_says_and_keeps_the_light() -> None:
    frames = np.zeros((2, 81, 81, 3), dtype=np.uint8)
    # A line: a single point would be rounded away in eight bits.
    frames[0, :, 38:43] = 255
    blurred = Blur("vision", 4.0)({"video": frames}, draw())["video"]
    assert (blurred.shape, blurred.dtype) == (frames.shape, np.uint8)
    profile = blurred[0, 40, :, 0].astype(float)
    spread = np.sqrt((profile * (np.arange(81) - 40.0) ** 2).sum() / profile.sum())
    # Variances add: that of a line five pixels wide is 2.
    assert spread == pytest.approx(np.sqrt(4.0**2 + 2), rel=0.05)
    assert profile.sum() == pytest.approx(5 * 255, rel=0.05)
    assert not blurred[1].any()


def test_black_frames_are_frames() -> None:
    frames = np.full((2, 4, 6, 3), 200, dtype=np.uint8)
    black = BlackFrames("vision", 1.0)({"video": frames}, draw())["video"]
    assert black.shape == frames.shape
    assert not black.any()
    assert frames.all()


def test_noise_on_features_is_a_multiple_of_each_features_own_deviation() -> None:
    scale = np.array([0.1, 10.0, 1e-6], dtype=np.float32)
    clean = np.ones((20000, 3), dtype=np.float32)
    noisy = FeatureNoise("audio", 2.0, scale)({"audio_features": clean}, draw())["audio_features"]
    np.testing.assert_allclose(noisy.std(axis=0)[:2], [0.2, 20.0], rtol=0.03)
    np.testing.assert_allclose(noisy[:, 2], 1.0, atol=1e-4)


@pytest.mark.parametrize("modality", ["text", "audio", "vision"])
def test_a_dropped_modality_is_gone_and_the_others_stay(modality: str) -> None:
    names = {"text": "text", "audio": "audio_path", "vision": "video_path"}
    features = {"text_features": [1.0], "audio_features": [1.0], "visual_features": [1.0]}
    dropped = Drop(modality, 1.0)({**UTTERANCE, **features}, draw())
    changed = {name for name, value in {**UTTERANCE, **features}.items() if dropped[name] != value}
    assert changed == {names[modality], "visual_features" if modality == "vision" else f"{modality}_features"}
    assert all(dropped[name] is None for name in changed)


def test_any_drops_one_modality_that_is_there_each_as_often() -> None:
    corruption = Drop("any", 1.0, ("text", "audio", "vision"))
    silent = {**UTTERANCE, "audio_path": None}
    random = draw()
    lost = [corruption(silent, random) for _ in range(400)]
    missing = [(u["text"] is None, u["video_path"] is None) for u in lost]
    assert set(missing) == {(True, False), (False, True)}
    assert 150 < missing.count((True, False)) < 250


@pytest.mark.parametrize("name", list(CORRUPTIONS))
def test_what_an_utterance_lacks_cannot_be_corrupted(name: str) -> None:
    kind = CORRUPTIONS[name]
    for modality in ("text", "audio", "vision") if "features" in kind.inputs else kind.inputs:
        assert kind(modality, kind.strengths[0])({"speaker": "Ann"}, draw()).get("speaker") == "Ann"


def test_a_clip_that_could_not_be_decoded_stays_a_path() -> None:
    broken: dict[str, Any] = dict(UTTERANCE)
    for corruption in (WhiteNoise("audio", 0.0), Blur("vision", 2.0), BlackFrames("vision", 1.0)):
        assert corruption(broken, draw()) == broken


def test_a_model_is_tested_with_what_fits_its_inputs(
    raw_config: Callable[..., ErcConfig], feature_config: Callable[..., ErcConfig]
) -> None:
    raw = corruptions_of(ErcForSequenceClassification(raw_config("text", "audio")))
    assert list(raw) == ["text/drop", "text/word_drop", "text/word_swap", "audio/drop", "audio/noise", "any/drop"]
    assert [corruption.strength for corruption in raw["audio/noise"]] == [20, 10, 0]
    model = ErcForSequenceClassification(feature_config("audio"))
    model.set_feature_statistics("audio", torch.zeros(5), torch.full((5,), 3.0))
    single = corruptions_of(model)
    assert list(single) == ["audio/drop", "audio/gaussian"]
    (noise, *_) = single["audio/gaussian"]
    noisy = noise({"audio_features": np.zeros((4000, 5))}, draw())["audio_features"]
    assert noisy.std() == pytest.approx(0.5 * 3.0, rel=0.05)


def test_a_feature_that_was_constant_in_training_gets_no_noise(feature_config: Callable[..., ErcConfig]) -> None:
    model = ErcForSequenceClassification(feature_config("audio"))
    model.set_feature_statistics("audio", torch.zeros(5), torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0]))
    (noise, *_) = corruptions_of(model)["audio/gaussian"]
    noisy = noise({"audio_features": np.zeros((100, 5))}, draw())["audio_features"]
    assert (noisy.std(axis=0) > 0).tolist() == [True, True, False, True, True]


def test_a_modality_that_the_model_lacks_is_refused(raw_config: Callable[..., ErcConfig]) -> None:
    model = ErcForSequenceClassification(raw_config("text", "audio"))
    assert list(corruptions_of(model, ["audio"])) == ["audio/drop", "audio/noise"]
    with pytest.raises(ValueError, match="--modality vision: the model has text, audio, any"):
        corruptions_of(model, ["text", "vision"])


def test_the_ratio_is_that_of_the_clip_without_the_silence_that_fills_it_up(tmp_path: Path) -> None:
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, RATE // 10).astype(np.float32)
    soundfile.write(tmp_path / "short.wav", wave, RATE, subtype="FLOAT")
    processor = ErcProcessor(feature_extractor=WhisperFeatureExtractor(), modalities=["audio"])
    (decoded,) = DecodedMedia(processor, budget=0)([{"audio_path": str(tmp_path / "short.wav")}])
    noisy, _ = WhiteNoise("audio", 10.0)(decoded, draw())["audio"]
    noise = noisy[: len(wave)] - wave
    assert abs(10 * np.log10(np.square(wave).mean() / np.square(noise).mean()) - 10.0) < 0.1
