"""Reads one clip's speech and frames from files, bytes or arrays; a clip that cannot be used raises `MediaError`.

Times are seconds on the clip's own timeline (0 is where a player starts), so an utterance cut out of a long recording
gets speech and frames of the same moment.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from PIL import Image, ImageOps

from .containers_erc import (
    ClipRange,
    MediaError,
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

AudioSource = MediaSource | tuple[np.ndarray, int]
FrameSource = MediaSource | np.ndarray

SILENCE_PEAK = 1e-4
# Audio codecs need some packets before the wanted one to come out exact (mp3's bit reservoir, overlapping windows).
AUDIO_PREROLL = 0.5
# Sound said to set in later than this has a damaged clock, which must not fill the memory with silence.
LATEST_SOUND = 60.0
# Over a longer gap, jumping to the keyframe before the target beats decoding everything on the way.
VIDEO_SEEK_GAP = 5.0
# Starting decoder threads costs more than it saves on pictures smaller than this (pixels).
THREADED_PIXELS = 320 * 240

# A larger still image is more likely a bomb than a face (pixels).
LARGEST_IMAGE = 50_000_000

_HALVES = {
    None: lambda width: slice(None),
    "left": lambda width: slice(None, width // 2),
    "right": lambda width: slice(width - width // 2, None),
}


@dataclass(frozen=True)
class MediaInfo:
    """What a file declares about itself, without decoding it.

    Args:
        duration: Length in seconds as declared (a truncated file still declares all of it), None if it does not say.
        has_audio: Whether there is an audio stream.
        has_video: Whether there is a video stream (cover art of a song is none).
        sampling_rate: Audio samples a second (Hz), None without audio.
        frame_rate: Video frames a second (Hz), None without video or where it is unknown.
        width: Picture width in pixels, None without video.
        height: Picture height in pixels, None without video.
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
    """Reads a clip's sound as one channel at the wanted rate.

    Channels are averaged (5.1 too), then resampled. A damaged or truncated file gives whatever decodes.

    Args:
        source: Path, the bytes of a file, or `(array, rate)` with array `(samples,)`, `(channels, samples)` or
            `(samples, channels)`, integer or float, and its rate in Hz.
        sampling_rate: Rate of the result in Hz, the one that the feature extractor declares.
        start: Where to begin, in seconds; the clip's beginning by default.
        end: Where to stop, in seconds; the clip's end by default, also where `end` lies past it.
        max_seconds: Longest result in seconds, cut at the end.
        min_seconds: Shortest result in seconds: front-ends fail on less, so shorter clips get silence at the end.

    Returns:
        float32 `(samples,)`, finite.

    Raises:
        MediaError: The clip cannot be used (missing, empty, not media, no audio, silent, range outside it, NaN).
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
    """Reads frames spread evenly over a clip: those nearest to the midpoints of `num_frames` equal segments.

    A clip with fewer frames repeats them; of a truncated one the frames spread over what is there.

    Args:
        source: Path or bytes of a video or of a still image (PNG, JPEG, WebP), or uint8 frames
            `(frames, height, width, 3)`.
        num_frames: How many frames to return.
        start: Where to begin, in seconds (not for arrays, which have no clock).
        end: Where to stop, in seconds (not for arrays).
        size: Length of the shorter side of the result in pixels, the aspect ratio is kept; unchanged by default.
        half: Keep only this half of the picture, as for two actors filmed side by side.

    Returns:
        uint8 RGB `(num_frames, height, width, 3)`.

    Raises:
        MediaError: The clip cannot be used (missing, empty, not media, no video, range outside it).
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
                # A face has no clock: the times of its utterance cut the recording alone.
                frames = _spread_array(image[None], name, num_frames)
            else:
                with open_container(file, name) as container:
                    frames = _spread_clip(container, cut, num_frames)
    return _to_pictures(frames, size, half)


def probe_media(source: MediaSource) -> MediaInfo:
    """Reads what a clip declares about itself, without decoding it.

    Args:
        source: Path or the bytes of a file.

    Raises:
        MediaError: It is missing, empty or not media.
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
    """Integer samples of any width to -1..1."""
    if samples.dtype.kind == "f":
        return samples.astype(np.float32, copy=False)
    if samples.dtype.kind not in "iu":
        raise ValueError(f"audio of dtype {samples.dtype}: give integers or floats")
    scale = 2.0 ** (8 * samples.dtype.itemsize - 1)
    return samples.astype(np.float32) / scale - (samples.dtype.kind == "u")


def _mix_down(samples: np.ndarray) -> np.ndarray:
    """Mean over the channels of `(samples, channels)`; as a product, which is 40 times faster than `mean(axis=1)`."""
    return samples @ np.full(samples.shape[1], 1 / samples.shape[1], dtype=np.float32)


def _interleaved(frame: Any) -> np.ndarray:
    """An audio frame as `(samples, channels)`."""
    if frame.format.is_planar and frame.layout.nb_channels >= 8:
        # PyAV walks past FFmpeg's list of 8 planes into foreign memory; damaged packets may claim 45 channels.
        frame = av.AudioResampler(frame.format.packed, frame.layout).resample(frame)[0]
    samples = _to_float(frame.to_ndarray())
    return samples.T if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)


def _cut_array(samples: np.ndarray, rate: int, cut: ClipRange) -> tuple[np.ndarray, int, float]:
    """One channel of the range, its rate (Hz) and the whole clip's length (seconds), as the two readers below."""
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2) or rate <= 0:
        raise ValueError(f"audio of shape {samples.shape} at {rate} Hz: give one or two axes and a positive rate")
    mono = _to_float(samples)
    if mono.ndim == 2 and mono.size:
        mono = _mix_down(mono.T if mono.shape[0] < mono.shape[1] else mono)  # a clip has more samples than channels
    return mono[cut.samples(rate)], rate, len(mono) / rate


def _read_sound_file(file: BinaryIO, cut: ClipRange) -> tuple[np.ndarray, int, float] | None:
    """The range of a wav, flac or ogg, by what it is and not by its name; None for all that libsndfile cannot read."""
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
    """The range of any other container's sound, exact to the sample where the container's clock is."""
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
    if first > cut.begin:  # sound that sets in after the picture comes after silence, as in a player
        silence = min(first - cut.begin, cut.stop - cut.begin, LATEST_SOUND)
        chunks.insert(0, np.zeros(round(silence * rate), dtype=np.float32))
        first = cut.begin
    mono = np.concatenate(chunks) if chunks else np.zeros(0, dtype=np.float32)
    return mono[cut.samples(rate, first)], rate, length


def _read_image(file: BinaryIO, name: str) -> np.ndarray | None:
    """The first frame of a PNG, JPEG or WebP, uint8 RGB `(height, width, 3)`; None for every other file.

    Raises:
        MediaError: The image is damaged or larger than `LARGEST_IMAGE`.
    """
    head = file.read(12)
    file.seek(0)
    if not head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) and (head[:4], head[8:]) != (b"RIFF", b"WEBP"):
        return None
    try:
        with Image.open(file, formats=("PNG", "JPEG", "WEBP")) as image:
            if image.width * image.height > LARGEST_IMAGE:
                raise MediaError(f"{name}: {image.width} x {image.height} pixels are too many: scale the image down")
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
    rows = (np.arange(num_frames) + 0.5) * len(frames) / num_frames
    return [av.VideoFrame.from_ndarray(np.ascontiguousarray(frames[int(row)]), "rgb24") for row in rows]


def _spread_clip(container: Any, cut: ClipRange, num_frames: int) -> list[Any]:
    """The frames on display at the middles of the range's equal segments."""
    stream = require_stream(container, "video", cut.name)
    context = stream.codec_context
    context.thread_type, context.thread_count = "AUTO", 1
    if context.width * context.height >= THREADED_PIXELS:
        # In a data loader's worker torch is set to one thread: there the parallelism comes from the other workers.
        context.thread_count = min(4, torch.get_num_threads())
    times = cut.midpoints(num_frames, _declared_end(container, stream) or _measured_end(container, stream))
    frames, reached = _frames_at(container, stream, times)
    frame_seconds = 1 / stream.average_rate if stream.average_rate else 0
    if reached + frame_seconds < times[-1]:  # truncated: spread over what is really there
        times = cut.midpoints(num_frames, _measured_end(container, stream))
        frames, reached = _frames_at(container, stream, times)
    if not frames:
        raise MediaError(f"{cut.name}: no frame could be decoded")
    return frames


def _declared_end(container: Any, stream: Any) -> float:
    if not stream.duration:
        return (container.duration or 0) / av.time_base
    return clock(container, float(((stream.start_time or 0) + stream.duration) * stream.time_base))


def _measured_end(container: Any, stream: Any) -> float:
    """Where a stream really ends, from its packets alone; leaves the container at its beginning."""
    seek(container, stream, 0.0)
    ends = [packet.pts + (packet.duration or 0) for packet in packets(container, stream) if packet.pts is not None]
    seek(container, stream, 0.0)
    return clock(container, float(max(ends) * stream.time_base)) if ends else 0.0


def _frames_at(container: Any, stream: Any, times: np.ndarray) -> tuple[list[Any], float]:
    """The frame on display at each of the rising times, and the time of the last one that was decoded."""
    shown: list[Any] = []
    before = after = None
    reached = 0.0
    frames = decode(container, stream)
    for time in times:
        if time - reached > VIDEO_SEEK_GAP:
            seek(container, stream, time)
            before, after, frames = None, None, decode(container, stream)
        while after is None or reached <= time:
            upcoming = next(frames, None)
            if upcoming is None:
                break
            before, (reached, after) = after, upcoming
        if after is None:
            break
        shown.append(before if before is not None and reached > time else after)
    return shown, reached


def _to_pictures(frames: list[Any], size: int | None, half: Literal["left", "right"] | None) -> np.ndarray:
    width, height = frames[0].width, frames[0].height
    scale = 1.0 if size is None else size / min(height, width if half is None else width // 2)
    width, height = round(width * scale), round(height * scale)
    # One converter for all, because each new one sets up its tables anew.
    convert = av.video.reformatter.VideoReformatter().reformat
    pictures = [convert(frame, width=width, height=height, format="rgb24").to_ndarray() for frame in frames]
    return np.stack(pictures)[:, :, _HALVES[half](width)]


try:
    import cv2
    from cv2.data import haarcascades
except ImportError:
    cv2 = None  # type: ignore[assignment]

# A box of the detector ends at chin and forehead; hair and jaw carry expression too.
MARGIN = 0.25
SMALLEST_FACE = 0.1


@functools.cache
def _detector() -> Any:
    """OpenCV's frontal-face cascade (Viola and Jones 2001), which comes inside the package."""
    if cv2 is None or not hasattr(cv2, "CascadeClassifier"):
        raise ImportError('face_crop needs OpenCV 4: pip install "modeling-erc[faces]"')
    return cv2.CascadeClassifier(haarcascades + "haarcascade_frontalface_default.xml")


def crop_face(frames: np.ndarray) -> np.ndarray:
    """Cuts all frames of a clip to one square around its largest face.

    The square is the median over the frames in which a face is found, so that a single false find moves little.

    Args:
        frames: uint8 RGB `(frames, height, width, 3)`.

    Returns:
        uint8 RGB `(frames, side, side, 3)`, or the frames unchanged where no face is found.

    Raises:
        ImportError: OpenCV 4 is missing.

    Example:
        >>> crop_face(np.zeros((2, 48, 64, 3), dtype=np.uint8)).shape  # no face in black frames
        (2, 48, 64, 3)
    """
    detector = _detector()
    height, width = frames.shape[1:3]
    smallest = max(1, round(SMALLEST_FACE * min(height, width)))
    found = []
    for frame in frames:
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        boxes = detector.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(smallest, smallest))
        found += [max(boxes, key=lambda box: box[2])] if len(boxes) else []
    if not found:
        return frames
    left, top, side = np.median(np.array(found)[:, :3], axis=0)
    wide = round(min(side * (1 + 2 * MARGIN), height, width))
    # Shifted back inside rather than cut off, so that the result is square.
    x = int(np.clip(round(left + (side - wide) / 2), 0, width - wide))
    y = int(np.clip(round(top + (side - wide) / 2), 0, height - wide))
    return frames[:, y : y + wide, x : x + wide]


__all__ = [
    "AudioSource",
    "FrameSource",
    "MediaError",
    "MediaInfo",
    "crop_face",
    "load_audio",
    "load_frames",
    "probe_media",
]
