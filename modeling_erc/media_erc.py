"""Reads audio, frames and faces of one clip from files, bytes or arrays; unusable clips raise `MediaError`.

Times are player seconds (0 is the start of playback), so that audio and frames of a part of a recording are aligned.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np
import torch

from .containers_erc import (
    ClipRange,
    MediaSource,
    av,
    clock,
    decode,
    find_stream,
    open_container,
    open_file,
    packets,
    require_libraries,
    require_stream,
    seek,
    soundfile,
    source_name,
    soxr,
)
from .containers_erc import (
    MediaError as MediaError,
)

# Optional, as the libraries of `containers_erc`.
try:
    from PIL import Image, ImageOps
except ImportError:
    Image = None  # type: ignore[assignment]
try:
    import cv2
    from cv2.data import haarcascades
except ImportError:
    cv2 = None  # type: ignore[assignment]

AudioSource = MediaSource | tuple[np.ndarray, int]
FrameSource = MediaSource | np.ndarray

SILENCE_PEAK = 1e-4
# Seconds decoded before the range, because audio codecs depend on earlier packets (mp3 bit reservoir, windows).
AUDIO_PREROLL = 0.5
# Longest initial silence in seconds: a damaged clock must not fill the memory.
LATEST_SOUND = 60.0
# Over a longer gap in seconds, seeking is faster than decoding all frames in between.
VIDEO_SEEK_GAP = 5.0
# Decoder threads cost more than they save for smaller frames (pixels).
THREADED_PIXELS = 320 * 240
# Margin around a detected box, which ends at chin and forehead, as a share of its side.
MARGIN = 0.25
# Smallest face as a share of the shorter side of a frame.
SMALLEST_FACE = 0.1

# A larger image or frame is more likely a bomb than a face (pixels).
LARGEST_IMAGE = 50_000_000
# Larger ones are scaled down to this (pixels): no encoder reads that many, and a clip holds several.
SCALED_IMAGE = 2048 * 2048
# Longer shapes are no pictures; image processors that scale the shorter side to 224 pixels would fill the memory.
LARGEST_ASPECT = 50

_HALVES = {
    None: lambda width: slice(None),
    "left": lambda width: slice(None, max(1, width // 2)),
    "right": lambda width: slice(width - max(1, width // 2), None),
}


@dataclass(frozen=True)
class MediaInfo:
    """Metadata of a media file, read without decoding.

    Args:
        duration: Declared length in seconds (also of a truncated file), or None.
        has_audio: Whether there is an audio stream.
        has_video: Whether there is a video stream; cover art does not count.
        sampling_rate: Sampling rate in Hz, None without audio.
        frame_rate: Frames per second, None without video or if unknown.
        width: Frame width in pixels, None without video.
        height: Frame height in pixels, None without video.
    """

    duration: float | None
    has_audio: bool
    has_video: bool
    sampling_rate: int | None
    frame_rate: float | None
    width: int | None
    height: int | None


def load_audio(
    source: AudioSource,
    sampling_rate: int,
    *,
    start: float | None = None,
    end: float | None = None,
    max_seconds: float | None = None,
    min_seconds: float = 0.5,
) -> np.ndarray:
    """Reads the audio of a clip as one channel at the given rate.

    Channels are averaged, then resampled. A damaged or truncated file gives the part that can be decoded.

    Args:
        source: Path, the bytes of a file, or `(array, rate)` with array `(samples,)`, `(channels, samples)` or
            `(samples, channels)`, integer or float, and its rate in Hz.
        sampling_rate: Sampling rate of the result in Hz.
        start: Start in seconds, default: start of the clip.
        end: End in seconds, default: end of the clip; may lie beyond it.
        max_seconds: Largest length of the result in seconds; the rest is cut.
        min_seconds: Smallest length of the result in seconds; shorter clips are padded with silence.

    Returns:
        float32 `(samples,)`, finite.

    Raises:
        MediaError: The clip cannot be used (missing, empty, not media, no audio, silent, range outside, NaN).
        ImportError: PyAV, soundfile or soxr is missing.

    Example:
        >>> tone = np.sin(2 * np.pi * 440 * np.arange(44100) / 44100)
        >>> load_audio((tone, 44100), 16000).shape
        (16000,)
    """
    require_libraries()
    name = source_name(source)
    cut = ClipRange.checked(name, start, end, max_seconds)
    if isinstance(source, tuple):
        mono, rate, length = _cut_array(*source, cut)
    else:
        with open_file(source, name) as file:
            mono, rate, length = _read_sound_file(file, cut) or _decode_audio(file, cut)
    cut.check_inside(length)
    if not mono.size:
        raise MediaError(f"{name}: no audio could be decoded")
    unusable = int(mono.size - np.isfinite(mono).sum())
    if unusable:
        raise MediaError(f"{name}: NaN or infinite samples ({unusable} of {mono.size})")
    if np.abs(mono).max() < SILENCE_PEAK:
        raise MediaError(f"{name}: silent")
    if rate != sampling_rate:
        mono = soxr.resample(mono, rate, sampling_rate)
    shortage = math.ceil(min_seconds * sampling_rate) - len(mono)
    return np.pad(mono, (0, max(shortage, 0)))


def load_frames(
    source: FrameSource,
    num_frames: int,
    *,
    start: float | None = None,
    end: float | None = None,
    size: int | None = None,
    half: Literal["left", "right"] | None = None,
) -> np.ndarray:
    """Reads frames at the midpoints of `num_frames` equal segments of a clip.

    Frames are repeated if a clip has fewer. In a truncated clip they are spread over the existing part.

    Args:
        source: Path or bytes of a video or of a still image (PNG, JPEG, WebP), or uint8 frames
            `(frames, height, width, 3)`.
        num_frames: Number of frames to return.
        start: Start in seconds; not for arrays, which have no clock.
        end: End in seconds; not for arrays.
        size: Shorter side of the result in pixels with the same aspect ratio; default: unchanged.
        half: Half of the frame to keep, for two actors filmed side by side.

    Returns:
        uint8 RGB `(num_frames, height, width, 3)`.

    Raises:
        MediaError: The clip cannot be used (missing, empty, not media, no video, range outside).
        ImportError: PyAV, soundfile or soxr is missing.

    Example:
        >>> load_frames(np.zeros((10, 48, 64, 3), dtype=np.uint8), 4, size=24, half="left").shape
        (4, 36, 24, 3)
    """
    require_libraries()
    if num_frames < 1:
        raise ValueError(f"num_frames is {num_frames}: ask for at least 1")
    if half not in _HALVES:
        raise ValueError(f"half is {half!r}: choose one of {list(_HALVES)}")
    name = source_name(source)
    if isinstance(source, np.ndarray):
        if start is not None or end is not None:
            raise ValueError("an array of frames has no clock: slice it instead of passing start or end")
        frames = _spread_array(source, name, num_frames)
    else:
        cut = ClipRange.checked(name, start, end)
        with open_file(source, name) as file:
            if (image := _read_image(file, name)) is not None:
                # A still image has no clock: the times of its utterance cut the audio alone.
                frames = _spread_array(image[None], name, num_frames)
            else:
                with open_container(file, name) as container:
                    frames = _spread_clip(container, cut, num_frames)
    return _to_images(frames, size, half)


def probe_media(source: MediaSource) -> MediaInfo:
    """Reads the metadata of a clip without decoding it.

    Args:
        source: Path or the bytes of a file.

    Raises:
        MediaError: The clip is missing, empty or not media.
        ImportError: PyAV, soundfile or soxr is missing.
    """
    require_libraries()
    name = source_name(source)
    with open_file(source, name) as file, open_container(file, name) as container:
        audio, video = find_stream(container, "audio"), find_stream(container, "video")
        return MediaInfo(
            duration=container.duration / av.time_base if container.duration else None,
            has_audio=audio is not None,
            has_video=video is not None,
            sampling_rate=audio.codec_context.sample_rate if audio else None,
            frame_rate=float(video.average_rate) if video and video.average_rate else None,
            width=video.codec_context.width if video else None,
            height=video.codec_context.height if video else None,
        )


def _to_float(samples: np.ndarray) -> np.ndarray:
    """Converts integer samples of any width to floats from -1 to 1."""
    if samples.dtype.kind == "f":
        return samples.astype(np.float32, copy=False)
    if samples.dtype.kind not in "iu":
        raise ValueError(f"audio of dtype {samples.dtype}: give integers or floats")
    scale = 2.0 ** (8 * samples.dtype.itemsize - 1)
    return samples.astype(np.float32) / scale - (samples.dtype.kind == "u")


def _mix_down(samples: np.ndarray) -> np.ndarray:
    """Averages the channels of `(samples, channels)`; the product is 40 times faster than `mean(axis=1)`."""
    return samples @ np.full(samples.shape[1], 1 / samples.shape[1], dtype=np.float32)


def _interleaved(frame: Any) -> np.ndarray:
    """Returns an audio frame as `(samples, channels)`."""
    if frame.format.is_planar and frame.layout.nb_channels >= 8:
        # PyAV reads beyond FFmpeg's list of 8 planes; damaged packets may declare 45 channels.
        frame = av.AudioResampler(frame.format.packed, frame.layout).resample(frame)[0]
    samples = _to_float(frame.to_ndarray())
    return samples.T if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)


def _cut_array(samples: np.ndarray, rate: int, cut: ClipRange) -> tuple[np.ndarray, int, float]:
    """Returns one channel of the range, its rate (Hz) and the length of the clip (seconds)."""
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2) or rate <= 0:
        raise ValueError(f"audio of shape {samples.shape} at {rate} Hz: give one or two axes and a positive rate")
    mono = _to_float(samples)
    if mono.ndim == 2 and mono.size:
        mono = _mix_down(mono.T if mono.shape[0] < mono.shape[1] else mono)  # a clip has more samples than channels
    return mono[cut.samples(rate)], rate, len(mono) / rate


def _read_sound_file(file: BinaryIO, cut: ClipRange) -> tuple[np.ndarray, int, float] | None:
    """Reads the range of wav, flac or ogg data as [`_cut_array`]; None if libsndfile cannot read it."""
    head = file.read(12)
    if head[:4] not in (b"fLaC", b"OggS") and (head[:4], head[8:]) != (b"RIFF", b"WAVE"):
        return None
    file.seek(0)
    try:
        with soundfile.SoundFile(file) as sound:
            rate, frames = sound.samplerate, sound.frames
            first, last, _ = cut.samples(rate).indices(frames)
            sound.seek(first)
            samples = sound.read(max(last - first, 0), dtype="float32", always_2d=True)
    except soundfile.SoundFileError:
        return None
    return (_mix_down(samples), rate, frames / rate) if frames else None


def _decode_audio(file: BinaryIO, cut: ClipRange) -> tuple[np.ndarray, int, float]:
    """Reads the range of any other container as [`_cut_array`], as exact as its timestamps."""
    with open_container(file, cut.name) as container:
        stream = require_stream(container, "audio", cut.name)
        if cut.begin > AUDIO_PREROLL:
            seek(container, stream, cut.begin - AUDIO_PREROLL)
        chunks: list[np.ndarray] = []
        rate, first, length = stream.codec_context.sample_rate, cut.begin, (container.duration or 0) / av.time_base
        for time, frame in decode(container, stream):
            if not chunks:
                rate, first, length = frame.sample_rate, time, time
            chunks.append(_mix_down(_interleaved(frame)))
            length += frame.samples / rate
            if length >= cut.stop:
                break
    if first > cut.begin:  # audio that starts later than the video follows silence, as in a player
        silence = min(first - cut.begin, cut.stop - cut.begin, LATEST_SOUND)
        chunks.insert(0, np.zeros(round(silence * rate), dtype=np.float32))
        first = cut.begin
    mono = np.concatenate(chunks) if chunks else np.zeros(0, dtype=np.float32)
    return mono[cut.samples(rate, first)], rate, length


def _read_image(file: BinaryIO, name: str) -> np.ndarray | None:
    """The first frame of a PNG, JPEG or WebP, uint8 RGB `(height, width, 3)`; None for every other file.

    Raises:
        MediaError: The image is damaged or has a size that `check_size` refuses.
    """
    head = file.read(12)
    file.seek(0)
    if not head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) and (head[:4], head[8:]) != (b"RIFF", b"WEBP"):
        return None
    if Image is None:
        raise ImportError("reading still images needs Pillow: pip install pillow")
    try:
        with Image.open(file, formats=("PNG", "JPEG", "WEBP")) as image:
            check_size(image.width, image.height, name)
            scale = _scale_to_limit(image.width, image.height)
            if scale < 1:  # a JPEG is scaled while it is decoded
                image.thumbnail((round(image.width * scale), round(image.height * scale)))
            if image.mode.startswith("I;16"):  # Pillow would cut 16 bits off at 255
                grey = (np.asarray(image) >> 8).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=-1)
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, MediaError):
            raise
        raise MediaError(f"{name}: not a readable image ({error})") from error


def _spread_array(frames: np.ndarray, name: str, num_frames: int) -> list[Any]:
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(f"frames of shape {frames.shape}, {frames.dtype}: give uint8 (frames, height, width, 3)")
    if not len(frames):
        raise MediaError(f"{name}: 0 frames")
    check_size(frames.shape[2], frames.shape[1], name)
    rows = (np.arange(num_frames) + 0.5) * len(frames) / num_frames
    return [av.VideoFrame.from_ndarray(np.ascontiguousarray(frames[int(row)]), "rgb24") for row in rows]


def _spread_clip(container: Any, cut: ClipRange, num_frames: int) -> list[Any]:
    """Returns the frames shown at the midpoints of equal segments of the range."""
    stream = require_stream(container, "video", cut.name)
    context = stream.codec_context
    context.thread_type, context.thread_count = "AUTO", 1
    if context.width * context.height >= THREADED_PIXELS:
        # torch has one thread in data loader workers, which run in parallel.
        context.thread_count = min(4, torch.get_num_threads())
    times = cut.midpoints(num_frames, _declared_end(container, stream) or _measured_end(container, stream))
    frames, reached = _frames_at(container, stream, times, cut.name)
    frame_seconds = 1 / stream.average_rate if stream.average_rate else 0
    if reached + frame_seconds < times[-1]:  # truncated: spread over the existing part
        times = cut.midpoints(num_frames, _measured_end(container, stream))
        frames, reached = _frames_at(container, stream, times, cut.name)
    if not frames:
        raise MediaError(f"{cut.name}: no frame could be decoded")
    return frames


def _declared_end(container: Any, stream: Any) -> float:
    if not stream.duration:
        return (container.duration or 0) / av.time_base
    return clock(container, float(((stream.start_time or 0) + stream.duration) * stream.time_base))


def _measured_end(container: Any, stream: Any) -> float:
    """Returns the end of a stream measured from its packets; rewinds the container."""
    seek(container, stream, 0.0)
    ends = [packet.pts + (packet.duration or 0) for packet in packets(container, stream) if packet.pts is not None]
    seek(container, stream, 0.0)
    return clock(container, float(max(ends) * stream.time_base)) if ends else 0.0


def check_size(width: int, height: int, name: str) -> None:
    """Raises `MediaError` for a picture of too many pixels, or one that is a line."""
    if width * height > LARGEST_IMAGE:
        raise MediaError(f"{name}: {width} x {height} pixels are too many: scale the pictures down")
    if max(width, height) > LARGEST_ASPECT * min(width, height):
        raise MediaError(f"{name}: {width} x {height} pixels: one side is more than {LARGEST_ASPECT} times the other")


def _scale_to_limit(width: int, height: int) -> float:
    """Returns the factor, at most 1, that scales a picture to `SCALED_IMAGE` pixels."""
    return min(1.0, math.sqrt(SCALED_IMAGE / (width * height)))


def _decode_pictures(container: Any, stream: Any, name: str) -> Iterator[tuple[float, Any]]:
    """Yields frames as `decode`. Each is checked, because the size may change in the middle of a stream."""
    for time, frame in decode(container, stream):
        check_size(frame.width, frame.height, name)
        yield time, frame


def _frames_at(container: Any, stream: Any, times: np.ndarray, name: str) -> tuple[list[Any], float]:
    """Returns the frames shown at increasing times, and the time of the last decoded frame."""
    shown: list[Any] = []
    before = after = None
    reached = 0.0
    frames = _decode_pictures(container, stream, name)
    for time in times:
        if time - reached > VIDEO_SEEK_GAP:
            seek(container, stream, time)
            before, after, frames = None, None, _decode_pictures(container, stream, name)
        while after is None or reached <= time:
            upcoming = next(frames, None)
            if upcoming is None:
                break
            before, (reached, after) = after, upcoming
        if after is None:
            break
        shown.append(before if before is not None and reached > time else after)
    return shown, reached


def _to_images(frames: list[Any], size: int | None, half: Literal["left", "right"] | None) -> np.ndarray:
    width, height = frames[0].width, frames[0].height
    if size is None:
        scale = _scale_to_limit(width, height)
    else:
        scale = size / min(height, width if half is None else max(1, width // 2))
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    # One converter for all frames, because creating one is slow.
    convert = av.video.reformatter.VideoReformatter().reformat
    images = [convert(frame, width=width, height=height, format="rgb24").to_ndarray() for frame in frames]
    return np.stack(images)[:, :, _HALVES[half](width)]


@functools.cache
def _detector() -> Any:
    """Returns OpenCV's frontal-face cascade (Viola and Jones 2001), which is part of its package."""
    if cv2 is None or not hasattr(cv2, "CascadeClassifier"):
        raise ImportError('face_crop needs OpenCV 4: pip install "modeling-erc[faces]"')
    return cv2.CascadeClassifier(haarcascades + "haarcascade_frontalface_default.xml")


def crop_face(frames: np.ndarray) -> np.ndarray:
    """Crops all frames of a clip to one square around its largest face.

    The square is the median over the frames with a detected face, which is robust to single false detections.

    Args:
        frames: uint8 RGB `(frames, height, width, 3)`.

    Returns:
        uint8 RGB `(frames, side, side, 3)`, or the unchanged frames if no face is detected.

    Raises:
        ImportError: OpenCV 4 is missing.

    Example:
        >>> crop_face(np.zeros((2, 48, 64, 3), dtype=np.uint8)).shape  # no face in black frames
        (2, 48, 64, 3)
    """
    detector = _detector()
    height, width = frames.shape[1:3]
    smallest = max(1, round(SMALLEST_FACE * min(height, width)))
    detected = []
    for frame in frames:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        boxes = detector.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(smallest, smallest))
        detected += [max(boxes, key=lambda box: box[2])] if len(boxes) else []
    if not detected:
        return frames
    left, top, side = np.median(np.array(detected)[:, :3], axis=0)
    wide = round(min(side * (1 + 2 * MARGIN), height, width))
    # Shifted inside the frame instead of cut, so that the result is square.
    x = int(np.clip(round(left + (side - wide) / 2), 0, width - wide))
    y = int(np.clip(round(top + (side - wide) / 2), 0, height - wide))
    return frames[:, y : y + wide, x : x + wide]
