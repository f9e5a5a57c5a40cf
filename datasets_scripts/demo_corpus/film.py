"""Writes the frames and the audio of a demo clip to an mp4 file."""

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np

from .voice import SAMPLE_RATE

FRAME_RATE = 8  # frames per second


def write_film(path: Path, frames: Iterable[np.ndarray], samples: np.ndarray) -> None:
    """Writes h264 video and aac audio; equal input gives an equal file.

    Args:
        path: file to write.
        frames: RGB frames, uint8 `(height, width, 3)` each, `FRAME_RATE` per second.
        samples: mono audio at `SAMPLE_RATE` Hz, float32 `(samples,)`.
    """
    frames = list(frames)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "ultrafast", "crf": "23"})
        video.height, video.width, video.pix_fmt = *frames[0].shape[:2], "yuv420p"
        video.codec_context.thread_count = 1
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono", options={"aac_coder": "fast"})
        audio.bit_rate = 48_000
        for frame in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(video.encode())
        sound = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        sound.sample_rate = SAMPLE_RATE
        container.mux(audio.encode(sound))
        container.mux(audio.encode())
