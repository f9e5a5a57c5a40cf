"""Opens media with PyAV: allowed formats, clip ranges, player times, and tolerance for damaged files."""

import io
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np

# The three are optional, so that models for text or features load without them.
try:
    import av as av
except ImportError:
    av = None  # type: ignore[assignment]
try:
    import soundfile as soundfile
except ImportError:
    soundfile = None
try:
    import soxr as soxr
except ImportError:
    soxr = None

MediaSource = str | os.PathLike[str] | bytes

# FFmpeg's playlist readers open other files, and its text and image readers accept any file as a video.
_FORMATS = (
    "mov mp4 matroska webm avi asf flv ogg mpeg mpegts mpegvideo mxf dv h264 m4v "
    "wav w64 aiff au caf flac mp3 aac ac3 eac3 amr"
)
_OPEN_OPTIONS = {"format_whitelist": _FORMATS.replace(" ", ","), "protocol_whitelist": "none"}

# Pixels of the largest frame to decode, and the time (of `time.monotonic`) at which decoding ends.
_LIMITS: ContextVar[tuple[int, float]] = ContextVar("decoding limits", default=(8192 * 4608, math.inf))


@contextmanager
def decoding_limits(pixels: int, until: float) -> Iterator[None]:
    """Limits what is decoded inside the context, whatever the header of a file declares.

    Args:
        pixels: size of the largest frame (width x height); larger ones are skipped as damaged.
        until: time of `time.monotonic()`, after which decoding raises `TimeoutError`.
    """
    token = _LIMITS.set((pixels, until))
    try:
        yield
    finally:
        _LIMITS.reset(token)


class MediaError(ValueError):
    """A clip cannot be used: the message names the clip and the reason in one line."""


def require_libraries() -> None:
    """Raises `ImportError` with the install command if a library is missing."""
    if av is None or soundfile is None or soxr is None:
        raise ImportError("reading media needs PyAV, soundfile and soxr: pip install av soundfile soxr")


def source_name(source: Any) -> str:
    """Returns the name of a source for messages: its path, or its type."""
    return os.fspath(source) if isinstance(source, str | os.PathLike) else f"<{type(source).__name__}>"


@dataclass(frozen=True)
class ClipRange:
    """The requested part of a clip in player seconds; `stop` is infinite for the end of the clip."""

    name: str
    begin: float
    stop: float

    @classmethod
    def checked(
        cls, name: str, start: float | None, end: float | None, max_seconds: float | None = None
    ) -> "ClipRange":
        begin, stop = (0.0 if start is None else start), (math.inf if end is None else end)
        if max_seconds is not None:
            stop = min(stop, begin + max_seconds)
        if begin < 0:
            raise MediaError(f"{name}: range {begin}-{stop} s starts before 0")
        if not begin < stop:  # also true for NaN, an empty cell of a table
            raise MediaError(f"{name}: range {begin}-{stop} s is empty")
        return cls(name, begin, stop)

    def samples(self, rate: int, first: float = 0.0) -> slice:
        """Returns the slice of samples of audio that starts at `first` seconds."""
        stop = None if math.isinf(self.stop) else round((self.stop - first) * rate)
        return slice(round((self.begin - first) * rate), stop)

    def midpoints(self, count: int, length: float) -> np.ndarray:
        """Returns the midpoints (seconds) of equal segments of the range in a clip of `length` seconds."""
        self.check_inside(length)
        return self.begin + (np.arange(count) + 0.5) * (min(self.stop, length) - self.begin) / count

    def check_inside(self, length: float) -> None:
        if 0 < self.begin >= length:
            span = f"{self.begin}-{'end' if math.isinf(self.stop) else self.stop}"
            raise MediaError(f"{self.name}: range {span} s lies past the end ({length:.1f} s)")


def clip_settings(utterance: Mapping[str, Any], modality: str) -> dict[str, Any]:
    """Returns the part of the media file of an utterance as arguments of `load_audio` or `load_frames`.

    Args:
        utterance: `start` and `end` (seconds); for video `video_start` and `video_end`, if one is given, replace them,
            and `video_half` selects a half of the frame.
        modality: audio or vision.
    """
    start, end = utterance.get("start"), utterance.get("end")
    if modality == "audio":
        return {"start": start, "end": end}
    if utterance.get("video_start") is not None or utterance.get("video_end") is not None:
        start, end = utterance.get("video_start"), utterance.get("video_end")
    return {"start": start, "end": end, "half": utterance.get("video_half")}


@contextmanager
def open_file(source: MediaSource, name: str) -> Iterator[BinaryIO]:
    """Opens a Python file, because FFmpeg would interpret `concat:` and other protocols in a path."""
    if "://" in name:
        raise MediaError(f"{name}: remote sources are not read: download first")
    if not isinstance(source, str | os.PathLike | bytes):
        raise TypeError(f"a clip is a path, the bytes of a file or an array (sound with its rate), not a {name}")
    if not isinstance(source, bytes) and not os.path.isfile(source):
        raise MediaError(f"{name}: no such file")
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")  # noqa: SIM115, closed below
    except OSError as error:
        raise MediaError(f"{name}: not readable ({error.strerror})") from error
    with file:
        if not file.seek(0, os.SEEK_END):
            raise MediaError(f"{name}: 0 bytes")
        file.seek(0)
        yield file


@contextmanager
def open_container(file: BinaryIO, name: str) -> Iterator[Any]:
    """Opens a PyAV container of an allowed format."""
    file.seek(0)
    try:
        container = av.open(file, options=_OPEN_OPTIONS, metadata_errors="replace")
    except av.FFmpegError as error:
        raise MediaError(f"{name}: not media ({error.strerror})") from error
    with container:
        yield container


def find_stream(container: Any, kind: Literal["audio", "video"]) -> Any | None:
    """Returns the first decodable stream of a kind, or None; cover art is not a video."""
    for stream in getattr(container.streams, kind):
        if stream.codec_context is not None and not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    return None


def require_stream(container: Any, kind: Literal["audio", "video"], name: str) -> Any:
    """Returns the stream as [`find_stream`], or raises `MediaError`."""
    stream = find_stream(container, kind)
    if stream is None:
        raise MediaError(f"{name}: no {kind} stream")
    return stream


def clock(container: Any, time: float) -> float:
    """Converts a container time, which may start at any value, to player seconds."""
    return time - (container.start_time or 0) / av.time_base


def seek(container: Any, stream: Any, time: float) -> None:
    """Seeks to the keyframe before a player time; a file without an index keeps its position."""
    with suppress(av.FFmpegError):
        container.seek(int((time - clock(container, 0)) / stream.time_base), stream=stream)


def packets(container: Any, stream: Any) -> Iterator[Any]:
    """Yields packets up to the end or up to the end of a truncated file."""
    # PyAV raises IndexError if damage adds a stream that the header does not have.
    with suppress(av.FFmpegError, IndexError):
        yield from container.demux(stream)


def decode(container: Any, stream: Any) -> Iterator[tuple[float, Any]]:
    """Yields each frame with its player time; skips damaged packets and frames that are too large.

    Raises:
        TimeoutError: the time of [`decoding_limits`] is over.
    """
    pixels, until = _LIMITS.get()
    if stream.type == "video":
        stream.codec_context.options = {"max_pixels": str(pixels)}  # FFmpeg checks it before it allocates a frame
    for packet in packets(container, stream):
        if time.monotonic() > until:
            raise TimeoutError("decoding takes too long")
        try:
            frames = packet.decode()
        except av.FFmpegError:
            continue
        yield from ((clock(container, frame.time), frame) for frame in frames if frame.time is not None)
