"""Pictures of any size: too large, too long, or of few pixels."""

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from transformers import CLIPImageProcessor

from modeling_erc import media_erc
from modeling_erc.containers_erc import MediaError
from modeling_erc.media_erc import load_frames
from modeling_erc.processing_erc import ErcProcessor


def stream_of(width: int, height: int, first: int = 0) -> bytes:
    """Four black frames at 8 a second as MPEG-TS, parts of which can follow each other."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=8, options={"preset": "ultrafast", "tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(first, first + 4):
            frame = av.VideoFrame(width, height, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 8)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def test_a_stream_that_grows_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_frames(stream_of(64, 48), 3).shape == (3, 48, 64, 3)
    monkeypatch.setattr(media_erc, "LARGEST_IMAGE", 10_000)
    with pytest.raises(MediaError, match="160 x 120 pixels are too many"):
        load_frames(stream_of(64, 48) + stream_of(160, 120, first=4), 3)


def png(height: int, width: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("shape", [(4, 32_000), (300, 2)])
def test_a_line_of_pixels_is_no_picture(shape: tuple[int, int]) -> None:
    with pytest.raises(MediaError, match="one side is more than 50 times the other"):
        load_frames(png(*shape), 1)
    with pytest.raises(MediaError, match="one side is more than 50 times the other"):
        load_frames(np.zeros((1, *shape, 3), dtype=np.uint8), 1)


@pytest.mark.parametrize("height", [1, 2, 3, 4])
@pytest.mark.parametrize("settings", [{}, {"size": {"shortest_edge": 16}}], ids=str)
def test_frames_of_few_rows_are_pictures(height: int, settings: dict[str, Any], processor: ErcProcessor) -> None:
    if settings:
        processor.image_processor = CLIPImageProcessor(**settings, crop_size={"height": 16, "width": 16})
    for width in (1, 3, 40):
        frames = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
        inputs, problems = processor.encode([[{"video": frames}, {"video": np.zeros((1, 16, 16, 3), dtype=np.uint8)}]])
        assert problems == [] and inputs["pixel_values"].shape == (2, 2, 3, 16, 16)
