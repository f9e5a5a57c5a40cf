"""Pictures and sound of the demo corpus as one mp4 file."""

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np

from .voice import SAMPLE_RATE

FRAME_RATE = 8  # pictures a second


def write_film(path: Path, pictures: Iterable[np.ndarray], samples: np.ndarray) -> None:
    """Writes h264 pictures and aac sound; the same input gives the same file.

    Args:
        path: file to write.
        pictures: `FRAME_RATE` a second, uint8 `(height, width, 3)` each.
        samples: float32 `(samples,)`, mono at `SAMPLE_RATE` Hz.
    """
    pictures = list(pictures)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "ultrafast", "crf": "23"})
        video.height, video.width, video.pix_fmt = *pictures[0].shape[:2], "yuv420p"
        video.codec_context.thread_count = 1
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono", options={"aac_coder": "fast"})
        audio.bit_rate = 48_000
        for picture in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        sound = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        sound.sample_rate = SAMPLE_RATE
        container.mux(audio.encode(sound))
        container.mux(audio.encode())
