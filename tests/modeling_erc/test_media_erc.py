import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from modeling_erc.containers_erc import MediaError, decode, decoding_limits, open_container
from modeling_erc.media_erc import MediaInfo, load_audio, load_frames, probe_media
from tests.modeling_erc.clips import (
    RATE,
    WRITERS,
    babble,
    brightness,
    numbers,
    similarity,
    tone,
    write_clip,
    write_usual_clip,
    write_wav,
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_usual_clip(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 s at 2 frames a second, a keyframe every 4 s."""
    path = tmp_path_factory.mktemp("clips") / "long.mp4"
    return write_clip(path, np.stack([babble(30, 16000)]), brightness(60), rate=16000, layout="mono", fps=2,
                      video_options={"g": "8"})  # fmt: skip


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
