"""Damaged clips: each gives finite numbers or is masked with a line."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from PIL import Image
from transformers import ViTImageProcessor, WhisperFeatureExtractor

from modeling_erc.processing_erc import ErcProcessor

from . import Outcome, Plan, children, fault

RATE = 16000


def clips(draw: np.random.Generator) -> dict[str, bytes]:
    """Makes whole clips of 0.7 s of noise, in the formats that people bring."""
    sound = draw.uniform(-0.5, 0.5, int(0.7 * RATE)).astype(np.float32)
    made = {}
    for name, (form, subtype) in {
        "pcm.wav": ("WAV", "PCM_16"),
        "float.wav": ("WAV", "FLOAT"),
        "flac": ("FLAC", "PCM_16"),
        "ogg": ("OGG", "VORBIS"),
        "mp3": ("MP3", "MPEG_LAYER_III"),
    }.items():
        file = io.BytesIO()
        soundfile.write(file, sound, RATE, format=form, subtype=subtype)
        made[name] = file.getvalue()
    for name, video, audio in (
        ("mp4", "libx264", "aac"),
        ("mkv", "ffv1", "pcm_s16le"),
        ("avi", "mjpeg", "pcm_s16le"),
        ("webm", "libvpx", "libopus"),
    ):
        made[name] = film(name, video, audio, sound, draw)
    picture = Image.fromarray(draw.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    for form in ("PNG", "JPEG", "WEBP"):
        file = io.BytesIO()
        picture.save(file, form)
        made[form.lower()] = file.getvalue()
    return made


def film(name: str, video: str, audio: str, sound: np.ndarray, draw: np.random.Generator) -> bytes:
    """Makes a film of six frames with sound."""
    file = io.BytesIO()
    rate = 48000 if audio == "libopus" else RATE
    with av.open(file, "w", format={"mkv": "matroska"}.get(name, name)) as container:
        pictures = container.add_stream(video, rate=8)
        voice = container.add_stream(audio, rate=rate, layout="mono")
        pictures.width, pictures.height = 64, 48
        pictures.pix_fmt = "yuvj420p" if video == "mjpeg" else "yuv420p"
        for number in range(6):
            frame = av.VideoFrame.from_ndarray(draw.integers(0, 255, (48, 64, 3), dtype=np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 8)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        resampler = av.AudioResampler(format=voice.codec_context.format, layout="mono", rate=rate, frame_size=960)
        whole = av.AudioFrame.from_ndarray(sound[None], "fltp", "mono")
        whole.sample_rate, whole.pts, whole.time_base = RATE, 0, Fraction(1, RATE)
        for piece in [*resampler.resample(whole), *resampler.resample(None)]:
            container.mux(voice.encode(piece))
        container.mux(voice.encode(None))
    return file.getvalue()


def damaged(data: bytes, draw: np.random.Generator) -> tuple[str, bytes]:
    """Returns the kind of damage and a damaged copy."""
    kind = draw.choice(["bits", "cut", "header", "zeros", "repeated", "lost"])
    values = bytearray(data)
    first = int(draw.integers(len(data)))
    length = int(draw.integers(1, 1 + len(data) // 4))
    if kind == "bits":
        for place in draw.integers(len(data), size=int(draw.integers(1, 65))):
            values[place] ^= 1 << int(draw.integers(8))
    elif kind == "cut":
        del values[first:]
    elif kind == "header":
        for place in draw.integers(min(256, len(data)), size=int(draw.integers(1, 9))):
            values[place] = int(draw.integers(256))
    elif kind == "zeros":
        values[first : first + length] = bytes(len(values[first : first + length]))
    elif kind == "repeated":
        values[first:first] = values[first : first + length]
    else:
        del values[first : first + length]
    return str(kind), bytes(values)


@fault("media", "damaged clips: the processor returns finite numbers, or masks the clip with a line")
def media(plan: Plan) -> Outcome:
    """Encodes damaged copies of clips of twelve formats."""
    draw = plan.draw
    whole = clips(draw)
    mutants = [(name, *damaged(data, draw)) for name, data in whole.items() for _ in range(plan.count(120))]
    processor = ErcProcessor(
        feature_extractor=WhisperFeatureExtractor(feature_size=16),
        image_processor=ViTImageProcessor(size={"height": 16, "width": 16}),
        modalities=["audio", "vision"],
        num_frames=2,
    )

    def failure(mutant: tuple[str, str, bytes]) -> str | None:
        name, kind, data = mutant
        try:
            inputs, problems = processor.encode([[{"audio": data, "video": data}]])
        except Exception as error:
            return f"{name}, {kind}: {type(error).__name__}: {error}"
        finite = all(value.isfinite().all() for value in inputs.values() if value.is_floating_point())
        if not finite:
            return f"{name}, {kind}: NaN or infinite values"
        return f"{name}, {kind}: a message of several lines" if any("\n" in line for line in problems) else None

    failures = children.each(failure, mutants, Path(plan.folder) / "log")
    return Outcome(len(mutants), failures, f"copies of {', '.join(whole)}")
