"""Clips that tests write: tones, pictures whose brightness is their number, and containers of both."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile

RATE = 16000
FPS = 24


def tone(seconds: float, rate: int, frequency: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def babble(seconds: float, rate: int) -> np.ndarray:
    """Noise below 3 kHz: it never repeats, so a range cut at the wrong place cannot correlate."""
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(round(seconds * rate)))
    spectrum[round(3000 * seconds) :] = 0
    sound = np.fft.irfft(spectrum, round(seconds * rate))
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def brightness(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frames whose grey value tells their number, in steps of 3."""
    return np.broadcast_to((20 + 3 * np.arange(count))[:, None, None, None], (count, height, width, 3)).astype(np.uint8)


def numbers(frames: np.ndarray) -> list[int]:
    return [round((float(frame.mean()) - 20) / 3) for frame in frames]


def write_clip(
    path: Path,
    sound: np.ndarray | None = None,
    frames: np.ndarray | None = None,
    *,
    rate: int = 44100,
    layout: str = "stereo",
    fps: int = FPS,
    codecs: tuple[str, str] = ("libx264", "aac"),
    options: dict[str, str] | None = None,
    video_options: dict[str, str] | None = None,
    delay: int = 0,
) -> Path:
    """Muxes frames and sound `(channels, samples)`, which sets in after `delay` seconds."""
    with av.open(str(path), "w", options=options or {}) as container:
        video: Any = container.add_stream(codecs[0], rate=fps) if frames is not None else None
        audio: Any = container.add_stream(codecs[1], rate=rate, layout=layout) if sound is not None else None
        if video and frames is not None:
            video.height, video.width, video.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
            video.options = {"preset": "veryfast", "threads": "1", **(video_options or {})}
        if audio:
            audio.bit_rate = 320000
            resampler = av.AudioResampler(audio.format, layout, rate, audio.frame_size or None)
        seconds = max(len(frames) / fps if frames is not None else 0, sound.shape[1] / rate if sound is not None else 0)
        for second in range(int(np.ceil(seconds))):
            if video and frames is not None:
                for number in range(second * fps, min(len(frames), (second + 1) * fps)):
                    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frames[number]), "rgb24")
                    picture.pts, picture.time_base = number, Fraction(1, fps)
                    container.mux(video.encode(picture))
            if audio and sound is not None and second * rate < sound.shape[1]:
                part = sound[:, second * rate : (second + 1) * rate].T.reshape(1, -1)
                chunk = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), "flt", layout)
                chunk.sample_rate, chunk.pts, chunk.time_base = rate, (second + delay) * rate, Fraction(1, rate)
                for piece in resampler.resample(chunk):
                    container.mux(audio.encode(piece))
        if audio:
            for piece in resampler.resample(None):
                container.mux(audio.encode(piece))
            container.mux(audio.encode(None))
        if video:
            container.mux(video.encode(None))
    return path


def write_wav(path: Path, sound: np.ndarray, rate: int = 44100, subtype: str | None = None) -> Path:
    soundfile.write(path, sound.T, rate, format="WAV", subtype=subtype)
    return path


Writer = Callable[[Path, np.ndarray, int], Path]


WRITERS: dict[str, Writer] = {
    "wav": lambda path, sound, rate: write_wav(path.with_suffix(".wav"), sound[None], rate),
    "flac": lambda path, sound, rate: (
        soundfile.write(path.with_suffix(".flac"), sound, rate) or path.with_suffix(".flac")
    ),
    "ogg": lambda path, sound, rate: soundfile.write(path.with_suffix(".ogg"), sound, rate) or path.with_suffix(".ogg"),
    "mp4, stereo": lambda path, sound, rate: write_clip(
        path.with_suffix(".mp4"), np.stack([sound] * 2), brightness(72), rate=rate
    ),
    "mp4, 5.1": lambda path, sound, rate: write_clip(
        path.with_suffix(".mp4"), np.stack([sound] * 6), brightness(72), rate=rate, layout="5.1"
    ),
    "avi, mp3": lambda path, sound, rate: write_clip(
        path.with_suffix(".avi"), np.stack([sound] * 2), brightness(72), rate=rate, codecs=("mpeg4", "libmp3lame")
    ),
    "avi, pcm": lambda path, sound, rate: write_clip(
        path.with_suffix(".avi"), np.stack([sound] * 2), brightness(72), rate=rate, codecs=("mpeg4", "pcm_s16le")
    ),
    "mkv": lambda path, sound, rate: write_clip(
        path.with_suffix(".mkv"), np.stack([sound] * 2), brightness(72), rate=rate, codecs=("libx264", "flac")
    ),
    "mpeg-ts": lambda path, sound, rate: write_clip(
        path.with_suffix(".ts"), np.stack([sound] * 2), brightness(72), rate=rate
    ),
    "mp3": lambda path, sound, rate: write_clip(
        path.with_suffix(".mp3"), np.stack([sound] * 2), rate=rate, codecs=("", "libmp3lame")
    ),
}


def write_usual_clip(folder: Path) -> Path:
    """3 s, 72 numbered frames, noise in stereo at 44.1 kHz; the header comes first, as in files for streaming."""
    sound = np.stack([babble(3, 44100)] * 2)
    return write_clip(
        folder / "dia1_utt2.mp4", sound, brightness(72), options={"movflags": "faststart"}, video_options={"g": "12"}
    )


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation, at the best shift within 1 ms: some containers' clocks tick no finer."""
    length = min(len(first), len(second)) - 16
    shifts = [(shift, 0) for shift in range(17)] + [(0, shift) for shift in range(17)]
    return max(float(np.corrcoef(first[a : a + length], second[b : b + length])[0, 1]) for a, b in shifts)
