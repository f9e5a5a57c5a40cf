"""Typed conversations."""

from typing import Any

import pytest

from modeling_erc.demo_page.limits import PageError
from modeling_erc.demo_page.script import read_script, write_script
from tests.cpu_seconds import cpu_seconds


def test_each_line_is_a_turn_with_optional_speaker_and_times() -> None:
    text = """
    Ann: We won!

    [0:01.0 - 0:02.5] Dr. Bo Li: At 10:30: we leave.
    [1:02:03,25-->3724] Ann:
    No, look: it moved
    ?: Who is there?
    Really? Yes: really.
    See https://example.org now
    """
    assert read_script(text).utterances == [
        {"speaker": "Ann", "text": "We won!"},
        {"speaker": "Dr. Bo Li", "text": "At 10:30: we leave.", "start": 1.0, "end": 2.5},
        {"speaker": "Ann", "text": None, "start": 3723.25, "end": 3724.0},
        {"speaker": None, "text": "No, look: it moved"},
        {"speaker": None, "text": "Who is there?"},
        {"speaker": None, "text": "Really? Yes: really."},
        {"speaker": None, "text": "See https://example.org now"},
    ]


def test_written_lines_are_read_back() -> None:
    utterances: list[dict[str, Any]] = [
        {"speaker": "Ann", "text": "We won: hooray!", "start": 59.9996, "end": 3725.25},
        {"speaker": None, "text": "Listen: this is\n it."},
        {"speaker": "A: B, [C]", "text": None, "start": 0.0, "end": 0.5, "audio": "/etc/passwd"},
    ]
    assert read_script(write_script(utterances)).utterances == [
        {"speaker": "Ann", "text": "We won: hooray!", "start": 60.0, "end": 3725.25},
        {"speaker": None, "text": "Listen: this is it."},
        {"speaker": "A B C", "text": None, "start": 0.0, "end": 0.5},
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" \n ", "The conversation is empty"),
        ("Ann: a\n[0:03 - 0:02] Bo: b", r"Line 2: the turn ends before it begins: correct \[0:03 - 0:02\]"),
        ("1\n00:00:01,000 --> 00:00:00,500\nHi", "Line 2: the cue ends at 0.5 s, before it begins"),
    ],
)
def test_messages_name_the_problem(text: str, message: str) -> None:
    with pytest.raises(PageError, match=message):
        read_script(text)


def test_the_content_of_a_file_can_be_pasted() -> None:
    for text in (
        "1\n00:00:01,000 --> 00:00:02,000\nANN: Hi\n",
        "WEBVTT\n\n00:01.000 --> 00:02.000\n<v ANN>Hi\n",
        '{"segments": [{"start": 1.0, "end": 2.0, "text": " Hi", "speaker": "ANN"}]}',
        "Speaker Name;Start Time;End Time;Text\nANN;1,0;2,0;Hi\n",
    ):
        assert read_script(text).utterances == [{"speaker": "ANN", "text": "Hi", "start": 1.0, "end": 2.0}]


@pytest.mark.parametrize("line", ["\n", " ", "1", "1:", "[", "[1", "[1-", "-->", "Ann: ", "\u2028"])
def test_a_megabyte_of_any_input_is_read_in_seconds(line: str) -> None:
    text = line * (1_000_000 // len(line)) + "\nAnn: We won!"
    with cpu_seconds(5):
        assert read_script(text).utterances[-1] == {"speaker": "Ann", "text": "We won!"}
