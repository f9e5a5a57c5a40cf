"""Speech is found, transcribed and given to speakers; real recognisers and voices are used where they are installed."""

import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.__main__ import main as modeling_erc
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.transcription import transcribe
from modeling_erc.transcription.speakers import _cepstra, cluster_spectra
from modeling_erc.transcription.speech import find_speech
from modeling_erc.transcription.transcribe import _windows

RATE = 16000
ROOT = Path(__file__).parents[3]


def espeak(voice: str, text: str) -> np.ndarray:
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    command = ["espeak-ng", "-v", voice, "-s", "150", "--stdout", text]
    samples, rate = soundfile.read(io.BytesIO(subprocess.run(command, check=True, capture_output=True).stdout))
    return soxr.resample(samples.astype(np.float32), rate, RATE)


def buzz(pitch: float, formants: tuple[float, ...], seconds: float) -> np.ndarray:
    """A voice of pulses that formants filter, whose loudness has the rhythm of syllables: it passes for speech."""
    time = np.arange(round(seconds * RATE)) / RATE
    sound = np.zeros_like(time)
    for number in range(1, int(4000 / pitch)):
        frequency = number * pitch * (1 + 0.03 * np.sin(2 * np.pi * 0.7 * time))
        gain = sum(
            np.exp(-(((number * pitch - f * (1 + 0.2 * np.sin(2 * np.pi * 2 * time))) / 150) ** 2)) for f in formants
        )
        sound += gain * np.sin(2 * np.pi * np.cumsum(frequency) / RATE) / np.sqrt(number)
    syllables = np.clip(np.sin(2 * np.pi * 4 * time) + 0.6, 0, 1)
    return (0.3 * sound * syllables / np.abs(sound).max()).astype(np.float32)


HIGH, LOW = (220, (850, 1900, 2900)), (150, (600, 1500, 2500))


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), dtype=np.float32)


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speech from 1 s to 3 s and from 4 s to 6 s, by two voices."""
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    sounds = [silence(1), buzz(*HIGH, 2.0), silence(1), buzz(*LOW, 2.0), silence(1)]
    soundfile.write(path, np.concatenate(sounds), RATE)
    return path


def test_speech_is_found_and_noise_is_not(talk: Path) -> None:
    samples, _ = soundfile.read(talk, dtype="float32")
    first, *rest = find_speech(samples)
    assert first == pytest.approx((1, 3), abs=0.05)
    assert (rest[0][0], rest[-1][1]) == pytest.approx((4, 6), abs=0.2)
    noise, time = np.random.default_rng(0).normal(size=5 * RATE), np.arange(5 * RATE) / RATE
    hum = np.sin(2 * np.pi * 50 * time) + np.sin(2 * np.pi * 150 * time) / 2
    for sound in (0 * noise, 0.003 * noise, 0.1 * noise, np.cumsum(noise) / 500, 0.2 * hum):
        assert find_speech(sound.astype(np.float32)) == []


def test_windows_hold_whole_sections_and_no_long_pause() -> None:
    sections = [(0.05, 10.0), (10.3, 20.0), (60.0, 75.0), (75.1, 80.0)]
    windows = list(_windows(sections))
    assert [[section for *_, section in window] for window in windows] == [sections[:2], sections[2:]]
    flat = [edge for window in windows for first, last, _ in window for edge in (first, last)]
    assert flat == pytest.approx([0, 10.15, 10.15, 20.2, 59.8, 75.05, 75.05, 80.2])


def test_voices_are_grouped_by_their_spectra() -> None:
    wanted = [0, 1, 0, 0, 1]
    frames = [_cepstra(buzz(*(HIGH, LOW)[voice], 1.0 + 0.2 * place)) for place, voice in enumerate(wanted)]
    groups = cluster_spectra(frames, 2)
    assert [group != groups[0] for group in groups] == [bool(voice) for voice in wanted]
    assert len(set(cluster_spectra(frames, 1))) == 1


def test_a_recording_alone_becomes_a_timeline(
    recogniser: Path,
    voices: Path,
    talk: Path,
    raw_config: Callable[..., ErcConfig],
    processor: ErcProcessor,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.manual_seed(0)
    ErcForSequenceClassification(raw_config()).save_pretrained(tmp_path / "checkpoint")
    processor.save_pretrained(tmp_path / "checkpoint")
    command = ["predict", str(tmp_path / "checkpoint"), str(talk), "--device", "cpu", "--transcribe", str(recogniser)]
    for speakers, names in (
        (["2"], {"Speaker 1", "Speaker 2"}),
        ([str(voices)], {"Speaker 1", "Speaker 2"}),
    ):
        options = [word for value in speakers for word in ("--speakers", value)]
        modeling_erc([*command, "--language", "en", *options, "--out", str(tmp_path / "out.json")])
        turns = json.loads((tmp_path / "out.json").read_text())
        assert turns and {turn["speaker"] for turn in turns} <= names
        assert all(1 <= round(turn["start"], 1) < turn["end"] <= 6.1 and turn["text"] for turn in turns)
        assert {tuple(turn["modalities"]) for turn in turns} == {("text", "audio")}
        assert not [1 for before, after in pairwise(turns) if after["start"] < before["end"]]
    assert "distinguished by the sound of their voices" in capsys.readouterr().out


def test_what_cannot_be_transcribed_is_refused(recogniser: Path, voices: Path, talk: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "noise.wav", 0.01 * np.random.default_rng(0).normal(size=2 * RATE), RATE)
    soundfile.write(tmp_path / "silence.wav", silence(2), RATE)
    cases: list[tuple[Path, Path, dict[str, Any], str]] = [
        (tmp_path / "none.wav", recogniser, {}, "no such file"),
        (tmp_path / "noise.wav", recogniser, {}, r"noise\.wav: no speech was found in its 2\.0 s"),
        (tmp_path / "silence.wav", recogniser, {}, "silent"),
        (talk, voices, {}, "not a speech recogniser"),
        (talk, tmp_path, {}, "not a speech recogniser"),
        (talk, recogniser, {"language": "klingon"}, "language 'klingon' is not one of Whisper's"),
        (talk, recogniser, {"speaker_model": str(tmp_path)}, "not a model of speakers"),
    ]
    for path, model, options, message in cases:
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            transcribe(path, str(model), **options)


# A folder of `tools/get_models.py DEST whisper-base`, or any Whisper.
REAL = Path(os.environ.get("ERC_SPEECH_RECOGNISER", ROOT.parent / "shared" / "models" / "whisper-base"))
SAID = [
    ("en-us+m3", "Hi Bob, did you get the news? We won the contract!"),
    ("en-us+f4", "Oh my God, that is wonderful! I can't believe it!"),
    ("en-us+m3", "But the server crashed last night and we lost the backup."),
    ("en-us+f4", "What? You are kidding me. Who is responsible for that?"),
]


@pytest.mark.skipif(not REAL.is_dir(), reason="ERC_SPEECH_RECOGNISER names no folder of a speech recogniser")
def test_a_real_recogniser_gives_words_turns_and_two_speakers(tmp_path: Path) -> None:
    sounds = [silence(5)]
    for voice, text in SAID:
        sounds += [espeak(voice, text), silence(0.6)]
    faint = 0.003 * np.random.default_rng(0).normal(size=5 * RATE)
    soundfile.write(tmp_path / "talk.wav", np.concatenate([*sounds, faint]), RATE)
    conversation = transcribe(tmp_path / "talk.wav", str(REAL), speakers=2)
    assert conversation.language == "en"
    assert [u["speaker"] for u in conversation.utterances] == ["Speaker 1", "Speaker 2"] * 2
    heard, said = (
        re.findall(r"[\w']+", " ".join(turns).lower())
        for turns in zip(
            *((u["text"], text) for u, (_, text) in zip(conversation.utterances, SAID, strict=True)), strict=True
        )
    )
    assert heard == said
    starts = np.cumsum([0, *map(len, sounds)])[1:-1:2] / RATE
    assert [u["start"] for u in conversation.utterances] == pytest.approx(starts, abs=0.2)
