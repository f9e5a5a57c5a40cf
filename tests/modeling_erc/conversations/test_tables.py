"""Conversations in tables and JSON, and joined with a recording."""

import json
from pathlib import Path
from typing import Any

import pytest

from modeling_erc.conversations import Conversation, ConversationError, read_conversation, with_media

ROWS: list[dict[str, Any]] = [
    {"speaker": "Ann", "text": "Well, hello", "start": 0.5, "end": 1.25, "audio": "a.wav"},
    {"speaker": None, "text": None, "video": "clips/b.mp4", "label": "joy"},
]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", "row.json", "semicolon.csv"])
def test_every_format_gives_the_same_utterances(suffix: str, tmp_path: Path) -> None:
    contents = {
        ".json": json.dumps(ROWS, indent=1),
        "row.json": json.dumps({"dialogue_id": "d", "utterances": ROWS}),
        ".jsonl": "\n".join(map(json.dumps, ROWS)) + "\n\n",
        ".csv": "\ufeffSpeaker, Text,start,end,audio,video\r\n"
        'Ann,"Well, hello",0.5,1.25,a.wav,\r\n,,,,,clips/b.mp4\r\n',
        "semicolon.csv": "speaker;text;start;end;audio;video\nAnn;Well, hello;0.5;1.25;a.wav;\n;;;;;clips/b.mp4\n",
    }
    path = tmp_path / f"c{suffix}"
    path.write_text(contents[suffix], encoding="utf-8", newline="")
    conversation = read_conversation(path)
    first, second = conversation.utterances
    assert first == {**ROWS[0], "audio": str(tmp_path / "a.wav")}
    assert second == {"speaker": None, "text": None, "video": str(tmp_path / "clips" / "b.mp4")}
    assert not conversation.timed


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "[" * 100_000, r"a\.json, line 1: too many nested brackets"),
        ("a.jsonl", '{"text": "Hi."}\n' + "[" * 100_000, r"a\.jsonl, line 2: too many nested brackets"),
        ("a.json", '[{"text": "Hi.", "start": 1' + "0" * 400 + "}]", r"start is '10+': write seconds"),
        (
            "a.json",
            '[{"text": "Hi."},\n{"start": 1' + "0" * 5000 + "}]",
            r"a\.json, line 2: a number with thousands of digits",
        ),
        (
            "a.jsonl",
            '{"text": "Hi."}\n{"start": -' + "1" * 5000 + "}",
            r"a\.jsonl, line 2: a number with .*: write seconds",
        ),
        ("a.csv", "text\n" + "x" * 200_000, r"a\.csv, line \d: not CSV \(field larger"),
        ("a.csv", "who,words\nAnn,Hi\n", r"a\.csv, line 1: columns who, words: expected at least one of text, audio"),
        (
            "a.csv",
            "speaker,text\nAnn,Hi, you\n",
            "line 2: 2 columns expected: put quotation marks around text with commas",
        ),
        ("a.csv", "speaker,text,start\nAnn,Hi,soon\n", "line 2: start is 'soon': write seconds, like 62.5"),
        ("a.csv", "speaker,text\nAnn,Hi\nBo,\n", "line 3: an utterance without text, audio, video: give it one"),
        ("a.jsonl", '{"text": "Hi"}\n{"text": 3}\n', "line 2: text is '3': write it as text"),
        ("a.jsonl", '{"text": "Hi"}\n{"text": \n', "line 2: not JSON"),
        ("a.json", '[\n{"text": "Hi"},\n]', r"line \d: not JSON"),
        ("a.json", '{"text": "Hi"}', 'expected a list of utterances, or an object with "utterances"'),
        ("a.json", '[{"text": "Hi"}, "Hi"]', "utterance 1: 'Hi' is not an object"),
        ("a.json", '[{"text": "Hi", "start": 3, "end": 2}]', "utterance 0: end 2 is before start 3: correct them"),
        ("a.json", '[{"audio": "http://a/b.wav"}]', "utterance 0: audio 'http://a/b.wav' is a URL: download it"),
    ],
)
def test_invalid_content_is_named_with_place_and_remedy(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConversationError, match=message):
        read_conversation(tmp_path / name)


def test_a_recording_is_added_to_the_utterances_inside_it(clips: dict[str, Path], tmp_path: Path) -> None:
    conversation = Conversation(
        [{"text": "a", "start": 0.0, "end": 0.5}, {"text": "b", "start": 0.5, "end": 2.0, "audio": "own.wav"}]
    )
    film, sound = str(clips["short.mp4"]), str(clips["short.wav"])
    assert [(u["audio"], u["video"]) for u in with_media(conversation, film).utterances] == [
        (film, film),
        ("own.wav", film),
    ]
    assert [u.get("video") for u in with_media(conversation, sound).utterances] == [None, None]
    conversation.utterances.append({"text": "c", "start": 9.0, "end": 10.0})
    longer = with_media(conversation, film)
    assert longer.utterances[2] == {"text": "c", "start": 9.0, "end": 10.0}
    assert longer.notes[0].startswith("1 utterance(s) begin after short.mp4 ends (0.")
    with pytest.raises(ValueError, match=r"lasts 0\.\d s, but the first utterance begins at 9\.0 s"):
        with_media(Conversation(conversation.utterances[2:]), film)
    with pytest.raises(ValueError, match="has no times"):
        with_media(Conversation([{"text": "a"}]), film)
    with pytest.raises(FileNotFoundError, match="no such file"):
        with_media(conversation, tmp_path / "none.mp4")
