"""Damaged, hostile and empty media: a clip gives what there is, or an error that names it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from modeling_erc.containers_erc import MediaError
from modeling_erc.media_erc import load_audio, load_frames, probe_media
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
