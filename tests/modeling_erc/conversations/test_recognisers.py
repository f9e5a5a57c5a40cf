"""The output of speech recognisers, in the forms that their documentation shows."""

import json
from pathlib import Path
from typing import Any

import pytest

from modeling_erc.conversations import ConversationError, read_conversation
from tests.cpu_seconds import cpu_seconds

HI = (0.5, 1.0, "A", "Hi Bob.")
NO = (1.5, 2.0, "B", "Oh no!")


def word(text: str, start: float, end: float, speaker: Any = None, key: str = "word", **more: Any) -> dict[str, Any]:
    return {key: text, "start": start, "end": end, **({} if speaker is None else {"speaker": speaker}), **more}


def words(key: str = "word", scale: float = 1) -> list[dict[str, Any]]:
    spans = [("Hi", 0.5, 0.8, "A"), ("Bob.", 0.8, 1.0, "A"), ("Oh", 1.5, 1.8, "B"), ("no!", 1.8, 2.0, "B")]
    return [word(text, round(a * scale, 3), round(b * scale, 3), who, key) for text, a, b, who in spans]


AWS_ITEMS = [
    {
        "type": kind,
        "alternatives": [{"confidence": "0.9", "content": text}],
        **({"start_time": a, "end_time": b} if a else {}),
    }
    for kind, text, a, b in [
        ("pronunciation", "Hi", "0.5", "0.8"),
        ("pronunciation", "Bob", "0.8", "1.0"),
        ("punctuation", ".", "", ""),
        ("pronunciation", "Oh", "1.5", "1.8"),
        ("pronunciation", "no", "1.8", "2.0"),
        ("punctuation", "!", "", ""),
    ]
]
AWS_LABELS = [
    {"start_time": a, "speaker_label": who, "items": [{"start_time": t, "speaker_label": who} for t in (a, b)]}
    for a, b, who in [("0.5", "0.8", "A"), ("1.5", "1.8", "B")]
]
FORMS: dict[str, Any] = {
    "whisperx": {"segments": [{"start": 0.5, "end": 2.0, "text": " Hi Bob. Oh no!", "words": words()}]},
    "whisper.cpp": {
        "params": {"model": "base"},
        "transcription": [
            {"timestamps": {"from": "00:00:00,500", "to": "00:00:01,000"}, "offsets": {"from": 500, "to": 1000}}
            | {"text": " Hi Bob.", "speaker": "A"},
            {"timestamps": {"from": "00:00:01,500", "to": "00:00:02,000"}, "offsets": {"from": 1500, "to": 2000}}
            | {"text": " Oh no!", "speaker": "B"},
        ],
    },
    "funasr": [
        {
            "key": "a",
            "text": "Hi Bob. Oh no!",
            "timestamp": [[500, 800], [800, 1000]],
            "sentence_info": [
                {"text": "Hi Bob.", "start": 500, "end": 1000, "timestamp": [[500, 800]], "spk": "A"},
                {"text": "Oh no!", "start": 1500, "end": 2000, "timestamp": [[1500, 2000]], "spk": "B"},
            ],
        }
    ],
    "assemblyai words": {"id": "x", "text": "Hi Bob. Oh no!", "utterances": None, "words": words("text", 1000)},
    "deepgram": {"results": {"channels": [{"alternatives": [{"transcript": "hi bob oh no", "words": words()}]}]}},
    "aws": {
        "results": {
            "transcripts": [{"transcript": "Hi Bob. Oh no!"}],
            "speaker_labels": {"speakers": 2, "segments": AWS_LABELS},
            "items": AWS_ITEMS,
        }
    },
    "azure": {
        "combinedRecognizedPhrases": [{"display": "Hi Bob. Oh no!"}],
        "recognizedPhrases": [
            {"speaker": who, "offset": a, "duration": "PT0.5S", "offsetInTicks": ticks, "nBest": [{"display": text}]}
            for who, a, ticks, text in [("A", "PT0.5S", 5e6, "Hi Bob."), ("B", "PT1.5S", 15e6, "Oh no!")]
        ],
    },
    "deepgram, a speaker a channel": {
        "metadata": {"channels": 2},
        "results": {
            "channels": [
                {"alternatives": [{"transcript": "x", "words": [word(t, a, b) for t, a, b in spans]}]}
                for spans in ([("Hi", 0.5, 0.8), ("Bob.", 0.8, 1.0)], [("Oh", 1.5, 1.8), ("no!", 1.8, 2.0)])
            ]
        },
    },
    "label studio, JSON-MIN": [
        {
            "audio": "a.wav",
            "labels": [
                {"start": a, "end": b, "channel": 0, "labels": [who]}
                for a, b, who in [(0.5, 1.0, "A"), (1.5, 2.0, "B")]
            ],
            "transcription": ["Hi Bob.", "Oh no!"],
        }
    ],
    "label studio": [
        {
            "data": {"audio": "a.wav"},
            "annotations": [
                {
                    "result": [
                        {"id": i, "type": kind, "value": {"start": a, "end": b, key: [value]}}
                        for i, a, b, who, text in [("x", 0.5, 1.0, "A", "Hi Bob."), ("y", 1.5, 2.0, "B", "Oh no!")]
                        for kind, key, value in [("labels", "labels", who), ("textarea", "text", text)]
                    ]
                }
            ],
        }
    ],
}


def read(path: Path, content: str) -> list[tuple[Any, ...]]:
    path.write_text(content, encoding="utf-8")
    return [(u.get("start"), u.get("end"), u["speaker"], u["text"]) for u in read_conversation(path).utterances]


@pytest.mark.parametrize("form", FORMS)
def test_segments_have_words_speakers_and_seconds(form: str, tmp_path: Path) -> None:
    turns = read(tmp_path / "a.json", json.dumps(FORMS[form]))
    names = {"channel 1": "A", "channel 2": "B"}
    assert [(start, end, names.get(who, who), text) for start, end, who, text in turns] == [HI, NO]


def test_words_of_hugging_face_are_grouped_into_turns(tmp_path: Path) -> None:
    spans = [(" Hi", 0.5, 0.8), (" Bob.", 0.8, 1.0), (" Oh", 2.0, 2.3), (" no!", 2.3, None)]
    chunks = [{"text": text, "timestamp": [start, end]} for text, start, end in spans]
    turns = read(tmp_path / "a.json", json.dumps({"text": "x", "chunks": chunks}))
    assert [turn[3] for turn in turns] == ["Hi Bob.", "Oh no!"] and turns[0][:2] == (0.5, 1.0)


def test_rolling_captions_of_youtube_are_read_once(tmp_path: Path) -> None:
    vtt = """WEBVTT
Kind: captions
Language: en

00:00:00.500 --> 00:00:02.160 align:start position:0%
\x20
Hi<00:00:00.832><c> Bob</c>

00:00:02.160 --> 00:00:02.170 align:start position:0%
Hi Bob
\x20

00:00:02.160 --> 00:00:04.153 align:start position:0%
Hi Bob
we<00:00:02.493><c> won!</c>

00:00:04.153 --> 00:00:04.163 align:start position:0%
we won!
\x20

00:00:05.000 --> 00:00:06.000 align:start position:0%
we won!
Oh<00:00:05.500><c> no</c>
"""
    assert read(tmp_path / "a.en.vtt", vtt) == [(0.5, 4.153, None, "Hi Bob we won!"), (5.0, 6.0, None, "Oh no")]
    segs = [("Hi", 0), (" Bob", 300)]
    events = [
        {"tStartMs": 0, "dDurationMs": 9000, "id": 1},
        {"tStartMs": 500, "dDurationMs": 3000, "segs": [{"utf8": text, "tOffsetMs": at} for text, at in segs]},
        {"tStartMs": 1500, "dDurationMs": 2000, "aAppend": 1, "segs": [{"utf8": "\n"}]},
        {"tStartMs": 1510, "dDurationMs": 2000, "segs": [{"utf8": "we"}, {"utf8": " won!", "tOffsetMs": 200}]},
        {"tStartMs": 5000, "dDurationMs": 1000, "segs": [{"utf8": "Oh no"}]},
    ]
    turns = read(tmp_path / "a.json3", json.dumps({"wireMagic": "pb3", "events": events}))
    assert [turn[3] for turn in turns] == ["Hi Bob we won!", "Oh no"] and turns[1][:2] == (5.0, 6.0)


def test_highlighted_words_are_one_cue(tmp_path: Path) -> None:
    lines = ["<u>Hi</u> Bob", "Hi <u>Bob</u>", "<u>Oh</u> no", "Oh <u>no</u>"]
    srt = "".join(f"{i}\n00:00:0{i},000 --> 00:00:0{i + 1},000\n{line}\n\n" for i, line in enumerate(lines))
    assert read(tmp_path / "a.srt", srt) == [(0.0, 2.0, None, "Hi Bob"), (2.0, 4.0, None, "Oh no")]


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".txt"])
def test_milliseconds_are_recognised_and_noted(suffix: str, tmp_path: Path) -> None:
    table = 'start\tend\ttext\n500\t2153\t"Hi" said Bob, did you get it?\n4653\t8020\tOh my God!\n'
    assert read(tmp_path / f"a{suffix}", table) == [
        (0.5, 2.153, None, '"Hi" said Bob, did you get it?'),
        (4.653, 8.02, None, "Oh my God!"),
    ]
    assert "times are milliseconds" in read_conversation(tmp_path / f"a{suffix}").notes
    seconds = "start\tend\ttext\n500\t502\tHi, did you get it?\n650\t655\tOh my God!\n"
    assert read(tmp_path / f"a{suffix}", seconds)[1][:2] == (650.0, 655.0)


def test_time_codes_and_decimal_commas(tmp_path: Path) -> None:
    premiere = 'Speaker Name,Start Time,End Time,Text\nAnn,00:00:00:12,00:01:04:20,"Hi, Bob"\n'
    assert read(tmp_path / "a.csv", premiere) == [(0.48, 64.8, "Ann", "Hi, Bob")]
    assert read_conversation(tmp_path / "a.csv").notes == ["time codes are read with 25 frames per second"]
    descript = "#,Speaker name,Timecode in,Timecode out,Transcript\n1,Ann,00:00:00:12,00:01:04:20,Hi\n"
    assert read(tmp_path / "a.csv", descript) == [(0.48, 64.8, "Ann", "Hi")]
    assert read(tmp_path / "b.csv", "Speaker;Start;End;Text\nAnn;0,5;4,153;Hi\n") == [(0.5, 4.153, "Ann", "Hi")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.rttm", "SPEAKER m 1 0.5 3.6 <NA> <NA> A <NA> <NA>\n", "without words: give a transcript"),
        ("a.txt", "SPEAKER m 1 0.5 3.6 <NA> <NA> A <NA> <NA>\n", "line 1: RTTM names speakers and times without words"),
        ("a.docx", "PK", "save it as plain text"),
        ("a.zip", "PK", "unpack it"),
        ("a.wav", "RIFF", "a recording without words: transcribe it"),
        ("a.json", '{"segments": []}', "expected a list of utterances"),
        ("a.json", '{"segments": [{"start": "soon", "text": "Hi"}]}', "segments 0: start is 'soon': write seconds"),
    ],
)
def test_other_forms_are_refused_with_a_remedy(name: str, content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConversationError, match=message):
        read(tmp_path / name, content)


@pytest.mark.parametrize(
    "text", ['{"a":', '[{"text":"a"},', '{"words":[', "[[", '{"text":"a","words":[{"word":"a"}]},']
)
def test_long_json_is_read_or_refused_in_linear_time(text: str, tmp_path: Path) -> None:
    with cpu_seconds(4), pytest.raises(ConversationError):
        read(tmp_path / "a.json", "[" + text * (200_000 // len(text)))
