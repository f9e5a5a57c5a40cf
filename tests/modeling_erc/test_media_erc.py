import math
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

av = pytest.importorskip("av")
soundfile = pytest.importorskip("soundfile")
soxr = pytest.importorskip("soxr")

from modeling_erc.containers_erc import MediaError, decode, decoding_limits, open_container  # noqa: E402
from modeling_erc.media_erc import MediaInfo, load_audio, load_frames, probe_media  # noqa: E402

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


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3 s, 72 numbered frames, noise in stereo at 44.1 kHz; the header comes first, as in files for streaming."""
    path = tmp_path_factory.mktemp("clips") / "dia1_utt2.mp4"
    sound = np.stack([babble(3, 44100)] * 2)
    return write_clip(path, sound, brightness(72), options={"movflags": "faststart"}, video_options={"g": "12"})


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 s at 2 frames a second, a keyframe every 4 s."""
    path = tmp_path_factory.mktemp("clips") / "long.mp4"
    return write_clip(path, np.stack([babble(30, 16000)]), brightness(60), rate=16000, layout="mono", fps=2,
                      video_options={"g": "8"})  # fmt: skip


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation, at the best shift within 1 ms: some containers' clocks tick no finer."""
    length = min(len(first), len(second)) - 16
    shifts = [(shift, 0) for shift in range(17)] + [(0, shift) for shift in range(17)]
    return max(float(np.corrcoef(first[a : a + length], second[b : b + length])[0, 1]) for a, b in shifts)


# Sound


@pytest.mark.parametrize(
    ("container", "rate"),
    [*((container, 44100) for container in WRITERS), ("wav", 48000), ("mp4, stereo", 48000), ("mp4, 5.1", 48000)],
)
def test_a_tone_keeps_its_pitch_and_length(tmp_path: Path, container: str, rate: int) -> None:
    sound = load_audio(WRITERS[container](tmp_path / "tone", tone(3, rate), rate), RATE)
    assert sound.dtype == np.float32 and sound.ndim == 1
    assert len(sound) == pytest.approx(3 * RATE, abs=0.07 * RATE)  # codecs pad the last packet
    spectrum = np.abs(np.fft.rfft(sound[: 2 * RATE] * np.hanning(2 * RATE)))
    assert np.argmax(spectrum) / 2 == pytest.approx(440, abs=0.5)
    assert np.sqrt(np.mean(sound[RATE : 2 * RATE] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.2)


@pytest.mark.parametrize("container", WRITERS)
def test_a_range_is_that_slice_of_the_whole(tmp_path: Path, container: str) -> None:
    path = WRITERS[container](tmp_path / "noise", babble(3, 44100), 44100)
    whole, part = load_audio(path, RATE), load_audio(path, RATE, start=1.25, end=2.0)
    assert len(part) == 0.75 * RATE
    assert similarity(whole[round(1.25 * RATE) :], part) > 0.995


@pytest.mark.parametrize("container", ["wav", "flac", "ogg", "mp4, stereo", "avi, pcm", "mkv", "mp3"])
def test_a_range_is_where_it_was_recorded(tmp_path: Path, container: str) -> None:
    noise = babble(3, RATE)
    part = load_audio(WRITERS[container](tmp_path / "noise", noise, RATE), RATE, start=1.25, end=2.0)
    assert similarity(noise[round(1.25 * RATE) :], part) > 0.9


def test_a_range_far_into_a_long_clip_is_where_it_was_recorded(long_clip: Path) -> None:
    part = load_audio(long_clip, RATE, start=21.3, end=22.3)
    assert similarity(babble(30, RATE)[round(21.3 * RATE) :], part) > 0.95


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_sound_that_sets_in_late_keeps_its_place(tmp_path: Path, extension: str) -> None:
    noise = babble(3, RATE)
    path = write_clip(tmp_path / f"late.{extension}", noise[None], brightness(72), rate=RATE, layout="mono", delay=1)
    whole = load_audio(path, RATE)
    assert np.abs(whole[: round(0.9 * RATE)]).max() < 1e-3
    assert similarity(whole[RATE:], noise) > 0.95
    assert similarity(load_audio(path, RATE, start=2.5, end=3.5), noise[round(1.5 * RATE) :]) > 0.95


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, silence = tone(2, 48000), np.zeros(96000, dtype=np.float32)
    whole = load_audio(write_wav(tmp_path / "a.wav", left[None], 48000), RATE)
    stereo = load_audio(write_wav(tmp_path / "b.wav", np.stack([left, silence]), 48000), RATE)
    np.testing.assert_allclose(stereo, whole / 2, atol=1e-4)
    sixth = write_clip(tmp_path / "c.mp4", np.stack([left, *[silence] * 5]), rate=48000, layout="5.1")
    assert np.std(load_audio(sixth, RATE)[8000:24000]) == pytest.approx(np.std(whole) / 6, rel=0.05)


def test_eight_channels_are_read(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", np.stack([babble(1, 48000)] * 8), rate=48000, layout="7.1")
    assert similarity(load_audio(path, RATE), load_audio((babble(1, 48000), 48000), RATE)) > 0.95


def test_what_the_lower_rate_cannot_carry_does_not_fold_back(tmp_path: Path) -> None:
    both = tone(2, 48000) + 0.9 * tone(2, 48000, frequency=10000)  # 10 kHz would fold to 6 kHz
    spectrum = np.abs(
        np.fft.rfft(load_audio(write_wav(tmp_path / "a.wav", both[None], 48000), RATE) * np.hanning(32000))
    )
    assert spectrum[11000:13000].max() < 1e-3 * spectrum.max()


def test_bytes_and_paths_give_the_same(clip: Path, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "a.wav", babble(1, 44100)[None])
    for path in (clip, wav):
        np.testing.assert_array_equal(load_audio(path.read_bytes(), RATE), load_audio(str(path), RATE))
    np.testing.assert_array_equal(load_frames(clip.read_bytes(), 3), load_frames(str(clip), 3))


def test_arrays_of_any_type_and_orientation_give_the_same() -> None:
    mono = tone(1, 44100)
    expected = load_audio((mono, 44100), RATE)
    assert expected.shape == (RATE,)
    for array in (mono[None], mono[:, None], np.stack([mono, mono]), np.stack([mono, mono], axis=1), mono.astype("f8")):
        np.testing.assert_allclose(load_audio((array, 44100), RATE), expected, atol=1e-6)
    np.testing.assert_allclose(load_audio(((mono * 32767).astype(np.int16), 44100), RATE), expected, atol=1e-3)
    np.testing.assert_allclose(load_audio(((mono * 127 + 128).astype(np.uint8), 44100), RATE), expected, atol=2e-2)
    part = load_audio((mono, 44100), 44100, start=0.25, end=0.75)
    np.testing.assert_array_equal(part, mono[11025:33075])


def test_length_limits(clip: Path, tmp_path: Path) -> None:
    assert len(load_audio(clip, RATE, max_seconds=1.5)) == 1.5 * RATE
    assert len(load_audio(clip, RATE, start=1.0, end=2.0, max_seconds=0.6)) == 0.6 * RATE
    assert len(load_audio(clip, RATE, start=2.0, end=9.0)) == pytest.approx(RATE, abs=0.05 * RATE)
    short = load_audio(write_wav(tmp_path / "short.wav", tone(0.2, RATE)[None], RATE), RATE)
    assert len(short) == 0.5 * RATE
    assert short[: round(0.2 * RATE)].any() and not short[round(0.2 * RATE) :].any()
    assert len(load_audio((tone(0.2, RATE), RATE), RATE, min_seconds=0.0)) == 0.2 * RATE


# Frames


@pytest.mark.parametrize("container", ["mp4, stereo", "avi, pcm", "mkv", "mpeg-ts"])
def test_frames_are_the_middles_of_equal_parts_in_order(tmp_path: Path, container: str) -> None:
    path = WRITERS[container](tmp_path / "clip", babble(3, 44100), 44100)
    frames = load_frames(path, 6)
    assert frames.shape == (6, 48, 64, 3) and frames.dtype == np.uint8
    assert numbers(frames) == pytest.approx([6, 18, 30, 42, 54, 66], abs=1)
    assert numbers(load_frames(path, 3, start=1.0, end=2.0)) == pytest.approx([28, 36, 44], abs=1)


@pytest.mark.parametrize("options", [{"bf": "2"}, {"g": "1"}], ids=["B-frames", "keyframes only"])
def test_each_frame_comes_once_when_all_are_asked_for(tmp_path: Path, options: dict[str, str]) -> None:
    path = write_clip(tmp_path / "all.mp4", frames=brightness(24), video_options=options)
    assert numbers(load_frames(path, 24)) == list(range(24))


def test_fewer_frames_than_asked_repeat(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "four.mp4", frames=brightness(4), fps=4)
    assert numbers(load_frames(path, 8)) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert numbers(load_frames(brightness(2), 4)) == [0, 0, 1, 1]
    assert numbers(load_frames(write_clip(tmp_path / "one.mp4", frames=brightness(1)), 3)) == [0, 0, 0]


def test_seeking_finds_the_same_frames_as_reading_through(long_clip: Path) -> None:
    assert numbers(load_frames(long_clip, 3)) == [10, 30, 50]
    assert numbers(load_frames(long_clip, 60)) == list(range(60))
    assert numbers(load_frames(long_clip, 4, start=21.0, end=25.0)) == [43, 45, 47, 49]


def test_large_pictures_come_in_order_too(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "large.mp4", frames=brightness(24, height=360, width=480))
    assert numbers(load_frames(path, 8)) == pytest.approx([1, 4, 7, 10, 13, 16, 19, 22], abs=1)


def test_decoding_is_limited_by_what_is_decoded_not_by_the_header(tmp_path: Path) -> None:
    path = tmp_path / "growing.ts"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=64, height=48, pix_fmt="yuv420p")
        larger = av.CodecContext.create("libx264", "w")
        larger.width, larger.height, larger.pix_fmt, larger.time_base = 640, 480, "yuv420p", Fraction(1, 25)
        for codec, first in ((stream.codec_context, 0), (larger, 10)):
            frames = [av.VideoFrame(codec.width, codec.height, "yuv420p") for _ in range(10)]
            for pts, frame in enumerate(frames, start=first):
                frame.pts, frame.time_base = pts, Fraction(1, 25)
            for packet in [*(packet for frame in frames for packet in codec.encode(frame)), *codec.encode(None)]:
                packet.stream = stream
                container.mux(packet)
    assert probe_media(path).width == 64

    def widths(pixels: int) -> set[int]:
        with path.open("rb") as file, open_container(file, "growing") as container, decoding_limits(pixels, math.inf):
            return {frame.width for _, frame in decode(container, container.streams.video[0])}

    assert widths(640 * 480) == {64, 640} and widths(640 * 480 - 1) == {64}
    with pytest.raises(TimeoutError), decoding_limits(10**9, 0.0):
        load_frames(path, 20)


def test_a_half_and_a_size(tmp_path: Path) -> None:
    two_actors = np.zeros((8, 48, 96, 3), dtype=np.uint8)
    two_actors[:, :, :48, 0] = two_actors[:, :, 48:, 2] = 200  # red on the left, blue on the right
    for source in (write_clip(tmp_path / "two.mp4", frames=two_actors), two_actors):
        left, right = load_frames(source, 2, half="left"), load_frames(source, 2, half="right")
        assert left.shape == right.shape == (2, 48, 48, 3)
        assert left[..., 0].min() > 100 > left[..., 2].max() and right[..., 2].min() > 100 > right[..., 0].max()
        assert load_frames(source, 2, size=24).shape == (2, 24, 48, 3)
        small = load_frames(source, 2, size=24, half="right")
        assert small.shape == (2, 24, 24, 3) and small[:, :, 2:, 2].min() > 100 > small[:, :, 2:, 0].max()


# What a file says about itself


def test_probe(clip: Path, tmp_path: Path) -> None:
    info = probe_media(clip)
    assert info == MediaInfo(pytest.approx(3.0, abs=0.05), True, True, 44100, 24.0, 64, 48)  # type: ignore[arg-type]
    wav = probe_media(write_wav(tmp_path / "a.wav", babble(1, 16000)[None], 16000))
    assert wav == MediaInfo(pytest.approx(1.0), True, False, 16000, None, None, None)  # type: ignore[arg-type]
    assert not probe_media(write_clip(tmp_path / "mute.mp4", frames=brightness(8))).has_audio


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    song = tmp_path / "song.mp3"
    with av.open(str(song), "w") as container:
        audio = container.add_stream("libmp3lame", rate=44100, layout="stereo")
        cover = container.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = 48, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(brightness(1)[0].copy(), "rgb24")))
        container.mux(cover.encode(None))
        sound = av.AudioFrame.from_ndarray(np.stack([tone(1, 44100)] * 2), "fltp", "stereo")
        sound.sample_rate = 44100
        container.mux([packet for piece in (sound, None) for packet in audio.encode(piece)])
    assert not probe_media(song).has_video
    assert load_audio(song, RATE).any()
    with pytest.raises(MediaError, match="no video stream"):
        load_frames(song, 1)


# What cannot be used


def test_truncated_files_give_what_there_is(clip: Path, tmp_path: Path) -> None:
    wav, flac = tmp_path / "a.wav", tmp_path / "a.flac"
    for path in (wav, flac):
        soundfile.write(path, babble(3, 44100), 44100)
    for path, low, high in ((wav, 1.45, 1.55), (flac, 1.0, 2.0), (clip, 0.5, 2.9)):
        content = path.read_bytes()
        half = tmp_path / f"half{path.suffix}"
        half.write_bytes(content[: len(content) // 2])
        cut = load_audio(half, RATE)
        assert low * RATE < len(cut) < high * RATE
        assert similarity(load_audio(path, RATE)[: len(cut) - 3000], cut[:-3000]) > 0.99
    shown = numbers(load_frames(tmp_path / "half.mp4", 4))
    assert shown == sorted(set(shown)) and 8 < shown[-1] < 60


@pytest.mark.parametrize("size", [0, 2**32 - 1])
def test_a_recording_whose_header_was_never_finished(tmp_path: Path, size: int) -> None:
    content = write_wav(tmp_path / "a.wav", babble(2, RATE)[None], RATE).read_bytes()
    place = content.index(b"data") + 4
    unfinished = content[:place] + size.to_bytes(4, "little") + content[place + 4 :]
    np.testing.assert_allclose(load_audio(unfinished, RATE), babble(2, RATE), atol=1e-4)


@pytest.mark.parametrize("container", ["mp4, 5.1", "avi, mp3", "mkv", "mpeg-ts", "flac"])
def test_damaged_bytes_never_stop_a_run(tmp_path: Path, container: str) -> None:
    whole = WRITERS[container](tmp_path / "clip", babble(3, 44100), 44100).read_bytes()
    draw = np.random.default_rng(0)
    readable = 0
    for _ in range(8):
        damaged = bytearray(whole)
        for place in draw.integers(0, len(whole), 40):
            damaged[place] = draw.integers(256)
        for read in (load_audio, load_frames):
            try:
                result = read(bytes(damaged), 8000 if read is load_audio else 2)
            except MediaError:
                continue
            assert np.isfinite(result).all()
            readable += 1
    assert readable >= 4


def test_damage_before_the_sound_does_not_move_it(clip: Path) -> None:
    content = bytearray(clip.read_bytes())
    middle = content.index(b"mdat") + len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    begin = load_audio(bytes(content), RATE, max_seconds=0.5)
    np.testing.assert_allclose(begin, load_audio(clip, RATE, max_seconds=0.5), atol=1e-6)
    late = {"start": 2.5, "end": 2.9}
    np.testing.assert_allclose(load_audio(bytes(content), RATE, **late), load_audio(clip, RATE, **late), atol=1e-6)


def test_tags_in_another_encoding_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "tagged.avi"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Rene#"
        audio = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        sound = av.AudioFrame.from_ndarray(tone(1, RATE)[None], "flt", "mono")
        sound.sample_rate = RATE
        converted = av.AudioResampler("s16", "mono", RATE).resample(sound)
        container.mux([packet for piece in (*converted, None) for packet in audio.encode(piece)])
    latin = path.read_bytes().replace(b"Rene#", "Ren\u00e9".encode("latin-1") + b"#")
    assert similarity(load_audio(latin, RATE), tone(1, RATE)) > 0.99


def test_a_file_without_a_stated_length_is_measured(clip: Path, tmp_path: Path) -> None:
    stream = write_clip(tmp_path / "live.mkv", frames=brightness(72), options={"live": "1"})
    assert probe_media(stream).duration is None
    assert numbers(load_frames(stream, 6)) == pytest.approx([6, 18, 30, 42, 54, 66], abs=1)


def test_an_extension_may_lie(clip: Path, tmp_path: Path) -> None:
    video, wav = tmp_path / "video.wav", tmp_path / "sound.mp4"
    video.write_bytes(clip.read_bytes())
    write_wav(wav, babble(1, RATE)[None], RATE)
    np.testing.assert_array_equal(load_audio(video, RATE), load_audio(clip, RATE))
    assert similarity(load_audio(wav, RATE), babble(1, RATE)) > 0.999


@pytest.mark.parametrize("name", ["a.mp4", "a.wav", "a.txt", "a"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "0 bytes"), (b"RIFF____WAVE, she wrote", "not media"), (b"Hello there, General!\n" * 400, "not media")],
)
def test_what_is_no_media_is_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for read in (lambda: load_audio(path, RATE), lambda: load_frames(path, 2), lambda: probe_media(path)):
        with pytest.raises(MediaError) as error:
            read()
        assert str(error.value).startswith(f"{path}: {reason}") and "\n" not in str(error.value)


def test_a_header_without_its_index_is_not_media(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "a.mp4", np.stack([babble(1, 44100)] * 2), brightness(24)).read_bytes()
    with pytest.raises(MediaError, match=r"<bytes>: not media \(Invalid data"):
        load_audio(whole[: len(whole) // 2], RATE)


@pytest.mark.parametrize(
    "playlist",
    ["#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {}\n"],
)
def test_a_playlist_opens_no_other_file(tmp_path: Path, playlist: str) -> None:
    write_clip(tmp_path / "secret.ts", np.stack([babble(1, 44100)] * 2), brightness(24))
    for name in ("list.m3u8", "list.mp4"):
        path = tmp_path / name
        path.write_text(playlist.format("secret.ts"))
        with pytest.raises(MediaError, match="not media"):
            load_audio(path, RATE)


def test_paths_that_are_no_local_file(tmp_path: Path) -> None:
    for source in ("http://example.com/a.mp4", "file:///a.mp4", "rtsp://example.com/a"):
        for read in (lambda s=source: load_audio(s, RATE), lambda s=source: load_frames(s, 2)):
            with pytest.raises(MediaError, match=f"{source}: remote sources are not read: download first"):
                read()
    for path in (tmp_path / "absent.wav", tmp_path, "concat:a.ts|b.ts", ""):
        with pytest.raises(MediaError, match="no such file"):
            load_audio(path, RATE)
    for wrong in (3, None, np.zeros(RATE), [0.0]):
        with pytest.raises(TypeError, match="a clip is a path"):
            load_audio(wrong, RATE)  # type: ignore[arg-type]


def test_missing_streams_are_named(tmp_path: Path) -> None:
    mute = write_clip(tmp_path / "mute.mp4", frames=brightness(8))
    with pytest.raises(MediaError, match=r"mute\.mp4: no audio stream"):
        load_audio(mute, RATE)
    wav = write_wav(tmp_path / "a.wav", babble(1, RATE)[None], RATE)
    with pytest.raises(MediaError, match=r"a\.wav: no video stream"):
        load_frames(wav, 2)


def test_silence_is_no_speech(tmp_path: Path) -> None:
    quiet = np.zeros((2, 44100), dtype=np.float32)
    for path in (write_wav(tmp_path / "quiet.wav", quiet), write_clip(tmp_path / "quiet.mp4", quiet)):
        with pytest.raises(MediaError, match=f"{path.name}: silent"):
            load_audio(path, RATE)
    with pytest.raises(MediaError, match="<tuple>: silent"):
        load_audio((np.stack([tone(1, RATE), -tone(1, RATE)]), RATE), RATE)
    half_silent = np.concatenate([tone(1, RATE), np.zeros(RATE, dtype=np.float32)])
    with pytest.raises(MediaError, match="silent"):
        load_audio((half_silent, RATE), RATE, start=1.2)


def test_samples_that_are_no_numbers_are_counted(tmp_path: Path) -> None:
    sound = tone(1, RATE)
    sound[100:103] = (np.nan, np.inf, -np.inf)
    path = write_wav(tmp_path / "nan.wav", sound[None], RATE, subtype="FLOAT")
    with pytest.raises(MediaError, match=r"nan.wav: NaN or infinite samples \(3 of 16000\)"):
        load_audio(path, RATE)
    assert np.isfinite(load_audio(path, RATE, start=0.5)).all()


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        (1.0, 1.0, r"range 1.0-1.0 s is empty"),
        (2.0, 1.0, r"range 2.0-1.0 s is empty"),
        (float("nan"), 2.0, r"range nan-2.0 s is empty"),
        (-1.0, 2.0, r"range -1.0-2.0 s starts before 0"),
        (12.0, 14.0, r"range 12.0-14.0 s lies past the end \(3.0 s\)"),
        (12.0, None, r"range 12.0-end s lies past the end \(3.0 s\)"),
    ],
)
def test_ranges_outside_the_clip_are_named(
    clip: Path, tmp_path: Path, start: float, end: float | None, reason: str
) -> None:
    wav = write_wav(tmp_path / "a.wav", babble(3, RATE)[None], RATE)
    for source in (clip, wav, (babble(3, RATE), RATE)):
        with pytest.raises(MediaError, match=reason):
            load_audio(source, RATE, start=start, end=end)
    with pytest.raises(MediaError, match=reason):
        load_frames(clip, 2, start=start, end=end)


def test_clips_of_no_length_are_named(tmp_path: Path) -> None:
    empty = write_wav(tmp_path / "empty.wav", np.zeros((1, 0), dtype=np.float32), RATE)
    for source in (empty, (np.zeros(0), RATE)):
        with pytest.raises(MediaError, match="no audio could be decoded"):
            load_audio(source, RATE)
    with pytest.raises(MediaError, match="0 frames"):
        load_frames(np.zeros((0, 8, 8, 3), dtype=np.uint8), 2)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: load_frames(brightness(2), 0), "num_frames is 0"),
        (lambda: load_frames(brightness(2), 2, half="top"), "choose one of"),  # type: ignore[arg-type]
        (lambda: load_frames(brightness(2), 2, start=1.0), "no clock"),
        (lambda: load_frames(brightness(2)[0], 2), r"shape \(48, 64, 3\)"),
        (lambda: load_audio((np.zeros((1, 2, 3)), RATE), RATE), r"shape \(1, 2, 3\)"),
        (lambda: load_audio((tone(1, RATE), 0), RATE), "0 Hz"),
        (lambda: load_audio((np.array(["a"] * 9), RATE), RATE), "dtype <U1"),
    ],
)
def test_wrong_calls_are_not_mistaken_for_bad_clips(read: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        read()
    assert not isinstance(error.value, MediaError)


def test_a_machine_without_the_libraries_loads_the_code_and_says_what_to_install() -> None:
    script = (
        "import sys, numpy\n"
        "for library in ('av', 'soundfile', 'soxr'): sys.modules[library] = None\n"
        "from modeling_erc.media_erc import load_audio\n"
        "load_audio((numpy.ones(16000), 16000), 16000)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "ImportError: reading media needs PyAV, soundfile and soxr: pip install" in run.stderr
