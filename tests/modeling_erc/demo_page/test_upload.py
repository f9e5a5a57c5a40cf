"""Uploaded files: which are read, which are refused, and that no file or path of this machine is disclosed."""

import json
from pathlib import Path

import pytest

from modeling_erc.conversations import Conversation
from modeling_erc.demo_page.limits import LIMITS, Limits, PageError
from modeling_erc.demo_page.script import read_script
from modeling_erc.demo_page.upload import open_conversation, with_recording

SMALL = Limits(turns=3, characters=20, seconds=60)  # files of up to 300 bytes


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "[0:01 - 0:02] Ann: Hi\nBo: Oh"),
        ("a.json", '[{"speaker": "Ann", "text": "Hi", "start": 1, "end": 2}, {"speaker": "Bo", "text": "Oh"}]'),
        ("a.jsonl", '{"speaker": "Ann", "text": "Hi", "start": 1, "end": 2}\n{"speaker": "Bo", "text": "Oh"}'),
        ("a.csv", "speaker,text,start,end\nAnn,Hi,1,2\nBo,Oh,,\n"),
        ("a.SRT", "1\n00:00:01,000 --> 00:00:02,000\nANN: Hi\n\n2\n00:00:03,000 --> 00:00:04,000\nBO: Oh\n"),
        ("a.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann>Hi\n\n00:03.000 --> 00:04.000\n<v Bo>Oh\n"),
    ],
)
def test_every_format_is_converted_to_lines(tmp_path: Path, name: str, text: str) -> None:
    lines, notes = open_conversation(write(tmp_path / name, text), LIMITS)
    first, second = read_script(lines).utterances
    assert first == {"speaker": first["speaker"], "text": "Hi", "start": 1.0, "end": 2.0} and second["text"] == "Oh"
    assert [first["speaker"].lower(), second["speaker"].lower()] == ["ann", "bo"] and notes == []


def test_recordings_named_in_a_file_are_not_opened(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.wav", "secret")
    rows = [
        {"text": "a", "audio": str(secret)},
        {"text": "b", "video": "../../../../etc/passwd"},
        {"text": "c", "audio_path": "/dev/zero"},
    ]
    lines, notes = open_conversation(write(tmp_path / "a.json", json.dumps(rows)), LIMITS)
    assert lines == "?: a\n?: b\n?: c"
    assert notes == ["3 turn(s) name a recording, which this page does not open: attach one recording of all."]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.pkl", "x", "“a.pkl” is of an unknown kind: open one of"),
        ("a.json", "[" * 299, "cannot be read"),
        ("a.json", '[{"text": "a", "start": 1e999}]', "cannot be read"),
        ("a.json", '{"utterances": 3}', "expected a list of utterances"),
        ("a.json", '[{"text": ["a"]}]', "write it as text"),
        ("a.csv", "when,what\n1,2\n", "columns when, what"),
        ("a.srt", "1\n00:00:01 -> 2\nHi\n", "line 1: '1' belongs to no cue"),
        ("a.txt", "\n", "no utterance in it"),
        ("a.txt", "a\n" * 4, "4 turns are too many for this page: leave at most 3"),
        ("a.txt", "a" * 21, "Turn 1 has a text of 21 characters: shorten it to 20"),
        ("a.txt", "[0:01 - 1:01] a", "Turn 1 ends at 61 s: this page takes at most 1 minutes"),
        ("a.txt", "a" * 301, "too large: at most 0 kB"),
    ],
)
def test_broken_and_oversized_files_are_refused_without_disclosing_folders(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(PageError, match=message) as caught:
        open_conversation(write(tmp_path / name, text), SMALL)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("name", ["a.json", "a.csv", "a.srt", "a.txt"])
def test_binary_files_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes(range(256)))
    with pytest.raises(PageError, match="cannot be read"):
        open_conversation(tmp_path / name, LIMITS)


def test_a_recording_is_cut_at_the_times_of_the_lines(clips: dict[str, Path]) -> None:
    video, sound = clips["long.mp4"], clips["long.wav"]
    timed = read_script("[0:00 - 0:00.5] Ann: Hi\n[0:00.5 - 0:01] Bo: Oh")
    assert with_recording(timed, sound, LIMITS).utterances[1] == {
        "speaker": "Bo",
        "text": "Oh",
        "start": 0.5,
        "end": 1.0,
        "audio": str(sound),
    }
    assert {"audio": str(video), "video": str(video)}.items() <= with_recording(timed, video, LIMITS).utterances[
        0
    ].items()
    whole = with_recording(read_script("Ann: Hi"), video, LIMITS)
    assert whole.utterances == [{"speaker": "Ann", "text": "Hi", "audio": str(video), "video": str(video)}]


def test_unusable_recordings_are_refused(tmp_path: Path, clips: dict[str, Path]) -> None:
    timed: Conversation = read_script("[0:09 - 0:10] Ann: Hi\n[0:10 - 0:11] Bo: Oh")
    video, sound = clips["long.mp4"], clips["long.wav"]
    for conversation, path, limits, message in (
        (timed, write(tmp_path / "broken.mp4", "no film"), LIMITS, "broken.mp4.*Try wav, mp3 or mp4"),
        (timed, sound, LIMITS, "does not fit: long.wav lasts 1.5 s"),
        (read_script("a\nb"), sound, LIMITS, "cannot be cut: begin every line with its times"),
        (timed, video, Limits(pixels=1000), "Frames of 48 x 32 pixels are too large"),
        (timed, sound, Limits(seconds=1.2), "lasts 2 s: this page takes at most"),
    ):
        with pytest.raises(PageError, match=message) as caught:
            with_recording(conversation, path, limits)
        assert str(path.parent) not in str(caught.value)
