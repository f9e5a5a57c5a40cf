import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ViTConfig, ViTModel

from modeling_erc.feature_extraction_erc import LogMelImageFeatureExtractor

RATE = 16000


def tone(frequency: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def picture(extractor: LogMelImageFeatureExtractor, sound: np.ndarray) -> np.ndarray:
    """Grey values (0..1), `(height, width)`."""
    pixels = extractor(sound, sampling_rate=extractor.sampling_rate)["pixel_values"]
    return pixels[0, 0] * extractor.image_std + extractor.image_mean


def test_images_have_the_shape_that_a_vit_takes() -> None:
    extractor = LogMelImageFeatureExtractor(image_size=32, num_channels=3)
    inputs = extractor([tone(440), tone(880, seconds=0.3)], sampling_rate=RATE, return_tensors="pt")
    assert list(inputs) == extractor.model_input_names == ["pixel_values"]
    assert inputs["pixel_values"].shape == (2, 3, 32, 32) and inputs["pixel_values"].dtype == torch.float32
    assert torch.equal(inputs["pixel_values"][:, 0], inputs["pixel_values"][:, 2])
    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32)
    assert ViTModel(config)(**inputs).last_hidden_state.isfinite().all()
    assert LogMelImageFeatureExtractor()(tone(440))["pixel_values"].shape == (1, 3, 224, 224)


def test_one_clip_a_list_and_rows_give_the_same() -> None:
    extractor = LogMelImageFeatureExtractor(image_size=32, num_channels=1)
    clips = [tone(440), tone(880)]
    alone = np.concatenate([extractor(clip, sampling_rate=RATE)["pixel_values"] for clip in clips])
    np.testing.assert_array_equal(extractor(clips, sampling_rate=RATE)["pixel_values"], alone)
    np.testing.assert_array_equal(extractor(np.stack(clips), sampling_rate=RATE)["pixel_values"], alone)


def test_other_extractors_padding_options_are_accepted() -> None:
    extractor = LogMelImageFeatureExtractor(image_size=32)
    plain = extractor(tone(440), sampling_rate=RATE)
    padded = extractor(
        tone(440), sampling_rate=RATE, padding="longest", return_attention_mask=True, return_tensors="np"
    )
    assert list(padded) == ["pixel_values"]
    np.testing.assert_array_equal(padded["pixel_values"], plain["pixel_values"])


def test_higher_tones_are_higher_in_the_picture() -> None:
    extractor = LogMelImageFeatureExtractor(max_seconds=1.0)
    rows = [int(picture(extractor, tone(frequency)).mean(axis=1).argmax()) for frequency in (200, 1000, 3000, 7000)]
    assert rows == sorted(rows, reverse=True) and rows[0] > 190 and rows[-1] < 20


def test_the_width_stands_for_the_same_time_in_all() -> None:
    extractor = LogMelImageFeatureExtractor(image_size=100, max_seconds=2.0)
    loud = picture(extractor, tone(440, seconds=0.5)).max(axis=0) > 0.5
    assert loud[1:24].all() and not loud[27:].any()  # a quarter of the width
    late = np.concatenate([np.zeros(RATE, dtype=np.float32), tone(440, seconds=3.0)])
    loud = picture(extractor, late).max(axis=0) > 0.5
    assert not loud[:48].any() and loud[52:].all()  # the second second; what follows is cut
    np.testing.assert_array_equal(picture(extractor, late), picture(extractor, late[: 2 * RATE]))


def test_a_short_clip_looks_as_if_followed_by_silence() -> None:
    extractor = LogMelImageFeatureExtractor(image_size=100, max_seconds=2.0)
    clip = tone(440, seconds=0.5)
    difference = picture(extractor, clip) - picture(extractor, np.pad(clip, (0, 3 * len(clip))))
    assert np.abs(difference[:, :24]).max() < 1e-6 and np.abs(difference[:, 28:]).max() < 1e-6


def test_loudness_does_not_matter_and_silence_is_black() -> None:
    extractor = LogMelImageFeatureExtractor(image_size=64, max_seconds=1.0)
    clip = tone(440) + 0.01 * np.random.default_rng(0).standard_normal(RATE)
    grey = picture(extractor, clip)
    np.testing.assert_allclose(picture(extractor, 0.01 * clip), grey, atol=1e-5)
    assert grey.min() >= 0 and 0.8 < grey.max() <= 1
    np.testing.assert_allclose(picture(extractor, np.zeros(RATE)), 0, atol=1e-6)


def test_mean_and_deviation_scale_the_grey_values() -> None:
    plain = LogMelImageFeatureExtractor(image_size=16, image_mean=0.0, image_std=1.0)
    scaled = LogMelImageFeatureExtractor(image_size=16, image_mean=0.25, image_std=2.0)
    expected = (plain(tone(440))["pixel_values"] - 0.25) / 2.0
    np.testing.assert_allclose(scaled(tone(440))["pixel_values"], expected, atol=1e-6)


def test_every_mel_band_hears_something() -> None:
    for rate in (8000, 16000, 48000):
        extractor = LogMelImageFeatureExtractor(sampling_rate=rate)
        assert (extractor.mel_filters.max(axis=0) > 0).all()


def test_clips_shorter_than_a_window_still_give_an_image() -> None:
    assert np.isfinite(LogMelImageFeatureExtractor(image_size=16)(np.ones(1))["pixel_values"]).all()


def test_wrong_input_is_named() -> None:
    extractor = LogMelImageFeatureExtractor()
    with pytest.raises(ValueError, match="44100 Hz, expected 16000 Hz"):
        extractor(tone(440), sampling_rate=44100)
    with pytest.raises(ValueError, match=r"clip 1 has shape \(2, 16000\)"):
        extractor([tone(440), np.zeros((2, RATE))], sampling_rate=RATE)
    with pytest.raises(ValueError, match=r"clip 0 has shape \(0,\)"):
        extractor(np.zeros(0), sampling_rate=RATE)


def test_it_loads_from_a_folder_where_the_package_is_not_installed(tmp_path: Path) -> None:
    extractor = LogMelImageFeatureExtractor(image_size=48, num_mel_bins=64, max_seconds=3.0, image_mean=0.4)
    extractor.save_pretrained(tmp_path / "saved")
    np.save(tmp_path / "clip.npy", tone(440))
    script = (
        "import sys\n"
        "sys.modules['modeling_erc'] = None\n"  # makes its import fail
        "import numpy as np\n"
        "from transformers import AutoFeatureExtractor\n"
        "extractor = AutoFeatureExtractor.from_pretrained('saved', trust_remote_code=True)\n"
        "np.save('image.npy', extractor(np.load('clip.npy'), sampling_rate=16000)['pixel_values'])\n"
    )
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True, timeout=120)
    image = np.load(tmp_path / "image.npy")
    np.testing.assert_allclose(image, extractor(tone(440), sampling_rate=RATE)["pixel_values"], atol=1e-6)
    assert image.shape == (1, 3, 48, 48)
