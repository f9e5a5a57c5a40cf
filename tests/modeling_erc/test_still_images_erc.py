"""Faces as still images: PNG, JPEG and WebP are frames as those of a video are."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modeling_erc import media_erc
from modeling_erc.containers_erc import MediaError
from modeling_erc.media_erc import LARGEST_IMAGE, load_frames

FACE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(("suffix", "kind", "options"), [("png", "PNG", {}), ("webp", "WEBP", {"lossless": True})])
def test_a_still_image_gives_the_same_frame_each_time(
    suffix: str, kind: str, options: dict[str, bool], tmp_path: Path
) -> None:
    path = tmp_path / f"face.{suffix}"
    path.write_bytes(encoded(Image.fromarray(FACE), kind, **options))
    for source in (path, str(path), path.read_bytes()):
        np.testing.assert_array_equal(load_frames(source, 3), np.stack([FACE] * 3))


def test_a_jpeg_is_read_by_its_content_and_not_by_its_name(tmp_path: Path) -> None:
    smooth = np.linspace(0, 255, 48 * 64).reshape(48, 64).astype(np.uint8)
    path = tmp_path / "face.mp4"
    path.write_bytes(encoded(Image.fromarray(smooth), "JPEG", quality=95))
    (frame,) = load_frames(path, 1)
    assert np.abs(frame[..., 0].astype(int) - smooth).mean() < 3


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "CMYK"])
def test_every_colour_mode_becomes_rgb(mode: str) -> None:
    image = Image.fromarray(FACE).convert(mode)
    frames = load_frames(encoded(image, "JPEG" if mode == "CMYK" else "PNG"), 2)
    assert frames.shape == (2, 48, 64, 3)
    assert frames.dtype == np.uint8
    assert frames.std() > 10


def test_sixteen_bits_are_scaled_to_eight() -> None:
    grey = FACE[..., 0]
    frames = load_frames(encoded(Image.fromarray(grey.astype(np.uint16) * 257), "PNG"), 1)
    np.testing.assert_array_equal(frames[0], np.repeat(grey[..., None], 3, axis=-1))


def test_a_photograph_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    assert load_frames(encoded(Image.fromarray(FACE), "JPEG", exif=exif), 1).shape == (1, 64, 48, 3)


def test_the_times_of_an_utterance_do_not_cut_a_still_image() -> None:
    frames = load_frames(encoded(Image.fromarray(FACE), "PNG"), 1, start=3.0, end=4.5, half="left")
    np.testing.assert_array_equal(frames[0], FACE[:, :32])


@pytest.mark.parametrize("cut", [20, 60, 400])
def test_a_damaged_image_is_an_unusable_clip(cut: int) -> None:
    with pytest.raises(MediaError, match="not a readable image"):
        load_frames(encoded(Image.fromarray(FACE), "PNG")[:cut], 1)


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    side = int(LARGEST_IMAGE**0.5) + 1
    bomb = encoded(Image.new("1", (side, side)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(MediaError, match="pixels are too many"):
        load_frames(bomb, 1)


def test_a_large_photograph_is_scaled_while_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_erc, "SCALED_IMAGE", 24 * 32)
    read: list[tuple[int, int]] = []
    convert = Image.Image.convert

    def noted(image: Image.Image, mode: str) -> Image.Image:
        read.append(image.size)
        return convert(image, mode)

    monkeypatch.setattr(Image.Image, "convert", noted)
    for kind in ("JPEG", "PNG"):
        assert load_frames(encoded(Image.fromarray(FACE), kind), 2).shape == (2, 24, 32, 3)
    assert read[-1] == (32, 24)
    assert load_frames(np.stack([FACE] * 2), 2).shape == (2, 24, 32, 3)
