"""One short dialogue in the forms that the documentation of tools shows, and near them."""

import json
from pathlib import Path
from typing import Any

import pytest

from modeling_erc.conversations import ConversationError, read_conversation

WORDS = [("Hi", 0.5, 0.8), ("Bob.", 0.8, 1.0), ("Oh", 1.5, 1.8), ("no!", 1.8, 2.0)]


def read(path: Path, content: str) -> list[tuple[Any, ...]]:
    path.write_bytes(content.encode())
    return [(u.get("start"), u.get("end"), u["speaker"], u["text"]) for u in read_conversation(path).utterances]


def dialogue(a: str | None, b: str | None) -> list[tuple[Any, ...]]:
    return [(0.5, 1.0, a, "Hi Bob."), (1.5, 2.0, b, "Oh no!")]


STM = """;; CATEGORY "0" "" ""
talk 1 inter_segment_gap 0.00 0.50 <o,f0,unknown>
talk 1 Ann 0.50 1.00 <o,f0,female> Hi (%hesitation) { Bob. / Rob. }
talk 1 Bo 1.50 2.00 <o,f0,male> Oh [noise] no!
"""
CTM = """;; recording, channel, start, duration, word, confidence, type, speaker
talk 1 0.50 0.30 Hi 0.95 lex Ann
talk 1 * * <ALT_BEGIN>
talk 1 0.80 0.20 Bob. 0.90 lex Ann
talk 1 * * <ALT>
talk 1 0.80 0.20 Rob. 0.10 lex Ann
talk 1 * * <ALT_END>
talk 1 1.20 0.10 [laughter] 0.90 non-lex Ann
talk 1 1.50 0.30 Oh 0.90 lex Bo
talk 1 1.80 0.20 no! 0.90 lex Bo
"""
CPP_SRT = """1
00:00:00,500 --> 00:00:01,000
(speaker 0) Hi Bob.

2
00:00:01,500 --> 00:00:02,000
(speaker 1) Oh no!
"""
CPP_VTT = "WEBVTT\n\n00:00:00.500 --> 00:00:01.000\n<v Ann> Hi Bob.\n\n00:00:01.500 --> 00:00:02.000\n<v Bo> Oh no!\n"
VTT = """WEBVTT A title
X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000

REGION
id:fred
width:40%

STYLE
::cue(b) { color: peachpuff; }

NOTE
not
said

1 - intro
00:00.500 --> 00:01.000 region:fred align:left line:0 position:20% size:60%
<v.loud Ann>Hi <b>Bob</b>.</v>

00:00:01.100 --> 00:00:01.200

00:00:01.500 --> 00:00:02.000 vertical:rl line:-1,end
<v Bo><lang en>Oh</lang> <ruby>no<rt>a reading</rt></ruby>!

NOTE the end
"""


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\ufeff"])
@pytest.mark.parametrize(
    ("name", "content", "speakers"),
    [
        ("a.stm", STM, ("Ann", "Bo")),
        ("a.txt", STM, ("Ann", "Bo")),
        ("a.ctm", CTM, ("Ann", "Bo")),
        ("a.txt", CTM, ("Ann", "Bo")),
        ("a.ctm", "\n".join(f"t A {a} {b - a:.1f} {w}" for w, a, b in WORDS), (None, None)),
        ("a.srt", CPP_SRT, ("speaker 0", "speaker 1")),
        ("a.vtt", CPP_VTT, ("Ann", "Bo")),
        ("a.vtt", CPP_VTT.replace("WEBVTT\n\n", "WEBVTT\n").replace("00:00:0", "0:0"), ("Ann", "Bo")),
        ("a.vtt", VTT, ("Ann", "Bo")),
        ("a.csv", 'start,end,text\n500,1000," Hi Bob."\n1500,2000," Oh no!"\n', (None, None)),
        ("a.csv", 'start,end,speaker,text\n500,1000,0," Hi Bob."\n1500,2000,1," Oh no!"\n', ("0", "1")),
    ],
)
def test_text_of_recognisers(
    name: str, content: str, speakers: tuple[str | None, str | None], ends: str, tmp_path: Path
) -> None:
    content = ends + content if ends == "\ufeff" else content.replace("\n", ends)
    assert read(tmp_path / name, content) == dialogue(*speakers)


def test_ctm_channels_are_speakers_and_a_second_recording_is_refused(tmp_path: Path) -> None:
    turns = read(tmp_path / "a.ctm", "t A 0.5 0.5 Hi\nt B 1.5 0.5 Oh\n")
    assert [turn[2] for turn in turns] == ["channel A", "channel B"]
    with pytest.raises(ConversationError, match="line 2: a second recording, 'u': keep the lines of one recording"):
        read(tmp_path / "a.ctm", "t 1 0.5 0.5 Hi\nu 1 1.5 0.5 Oh\n")
    with pytest.raises(ConversationError, match=r"line 1: 't 1 0\.5' has 3 columns: expected at least 5"):
        read(tmp_path / "a.ctm", "t 1 0.5\n")


@pytest.mark.parametrize(
    "text",
    [
        "Anna Smith 0 minutes 3 seconds\nHi Bob\nBob Smith 1 hour 0 minutes 5 seconds\nOh no at 10:30\n",
        "Smith, Anna (External)   0:03\nHi Bob\n\nBob Smith   1:00:05\nOh no at 10:30\n",
        "Anna Smith\n0 minutes 3 seconds\n0:03\nHi Bob\nBob Smith\n1 hour 5 seconds\n1:00:05\nOh no at 10:30\n",
        "AS\nAnna Smith\n0 minutes 3 seconds\n0:03\nAnna Smith 0 minutes 3 seconds\nHi Bob\nBS\nBob Smith\n"
        "1 hour 5 seconds\n1:00:05\nBob Smith 1 hour 5 seconds\nOh no at 10:30\n",
        "0:0:3.0 --> 1:0:5.0\nAnna Smith\nHi Bob\n1:0:5.0 --> 1:0:6.0\nBob Smith\nOh no at 10:30\n",
        "00:00:03.000 --> 01:00:05.000\nAnna Smith\nHi Bob\n\n"
        "01:00:05.000 --> 01:00:06.000\nBob Smith\nOh no at 10:30\n",
    ],
)
def test_names_of_teams_are_not_words(text: str, tmp_path: Path) -> None:
    first, second = read(tmp_path / "a.txt", text)
    assert first[0] == 3.0 and first[3] == "Hi Bob" and first[2] in ("Anna Smith", "Smith, Anna")
    assert second == (3605.0, 3606.0, "Bob Smith", "Oh no at 10:30")


def test_two_lines_of_words_have_no_speaker(tmp_path: Path) -> None:
    srt = "1\n00:00:01 --> 00:00:02\nWe went to\nLondon\n\n2\n00:00:03 --> 00:00:04\nGood Morning\nto you\n"
    assert [turn[2:] for turn in read(tmp_path / "a.srt", srt)] == [
        (None, "We went to London"),
        (None, "Good Morning to you"),
    ]


@pytest.mark.parametrize("head", ["**{}:** ", "\\[{time}\\] **{}:** ", "**{}:** [{time}] ", "**{} ({time}):** "])
@pytest.mark.parametrize("suffix", [".md", ".txt"])
def test_markdown_of_descript(head: str, suffix: str, tmp_path: Path) -> None:
    a, b = head.format("Anna Smith", time="00:00:03"), head.format("Bob Smith", time="00:00:05")
    turns = read(tmp_path / f"a{suffix}", f"# An episode\r\n\r\n{a}Hi *Bob*\r\n\r\nCome.\r\n\r\n{b}Oh no\r\n")
    assert [turn[2] for turn in turns] == ["Anna Smith"] * (len(turns) - 1) + ["Bob Smith"]
    assert " ".join(turn[3] for turn in turns) == "Hi Bob Come. Oh no"
    assert [turns[0][0], turns[-1][0]] == ([3.0, 5.0] if "time" in head else [None, None])


def google(tags: tuple[int, int] | None, words: list[tuple[str, float, float]] = WORDS) -> dict[str, Any]:
    rows = [
        {"startTime": f"{a:g}s", "endTime": f"{b:g}s", "word": word} | ({"speakerTag": tags[a > 1]} if tags else {})
        for word, a, b in words
    ]
    said = {} if tags else {"transcript": " ".join(word for word, *_ in words)}
    return {"alternatives": [{**said, "words": rows}], "isFinal": True}


GOOGLE = {"results": [google(None, WORDS[:2]), google(None, WORDS[2:]), google((1, 2))]}


@pytest.mark.parametrize(
    "content",
    [
        GOOGLE,
        {"name": "1", "done": True, "response": GOOGLE},
        {"results": {"gs://bucket/a.wav": {"transcript": GOOGLE}}},
        {"results": [google((1, 2), WORDS[:2]), google((1, 2))]},
        {"results": [google((1, 1), WORDS[:2]), google((2, 2), WORDS[2:])]},
        [
            {"results": [{"alternatives": [{"transcript": "hi"}], "stability": 0.9}]},
            {"results": [google((1, 2), WORDS[:2])]},
            {"results": [google((1, 2))]},
        ],
    ],
)
@pytest.mark.parametrize("dialect", ["rest", "python", "node"])
def test_google_words_are_read_once(content: Any, dialect: str, tmp_path: Path) -> None:
    text = json.dumps(content)
    if dialect == "python":
        text = text.replace("startTime", "start_time").replace("endTime", "end_time").replace("erTag", "er_tag")
    for _, *times in WORDS if dialect == "node" else ():
        for time in times:
            parts = json.dumps({"seconds": str(int(time)), "nanos": round(time % 1 * 1e9)})
            text = text.replace(f'"{time:g}s"', parts)
    assert read(tmp_path / "a.json", text) == dialogue("1", "2")


def test_google_without_speakers_and_without_a_start_of_zero(tmp_path: Path) -> None:
    streamed = [{"results": [google(None, WORDS[:2])]}, {"results": [google(None, WORDS[2:])]}]
    assert read(tmp_path / "a.json", json.dumps(streamed)) == dialogue(None, None)
    text = json.dumps(GOOGLE).replace('"startTime": "0.5s", ', "")
    assert read(tmp_path / "a.json", text)[0] == (0.0, 1.0, "1", "Hi Bob.")


def items(text: str, start: float, end: float) -> list[dict[str, Any]]:
    mark: dict[str, Any] = {"type": "punctuation", "alternatives": [{"content": text[-1]}]}
    spoken = {"type": "pronunciation", "start_time": str(start), "end_time": str(end)}
    return [{**spoken, "alternatives": [{"content": text.rstrip(".!")}]}, *([mark] if text[-1] in ".!" else [])]


AWS = [part for word in WORDS for part in items(*word)]
CHANNELS = [{"channel_label": "0", "items": AWS[:3]}, {"channel_label": "1", "items": AWS[3:]}]
REGIONS = [
    {"id": name, "type": kind, "value": {"start": start, "end": end, key: [value]}}
    for name, start, end, who, text in [("y", 1.5, 2.0, "1", "Oh no!"), ("x", 0.5, 1.0, "0", "Hi Bob.")]
    for kind, key, value in [("labels", "labels", who), ("textarea", "text", text)]
]
TASK = {
    "data": {"audio": "a.wav"},
    "annotations": [{"was_cancelled": True, "result": REGIONS[:2]}, {"result": REGIONS}],
}
CPP = [
    {"offsets": {"from": start, "to": end}, "text": text, "tokens": [{"text": "[_BEG_]", "offsets": {}}, *tokens]}
    for start, end, text, tokens in [
        (500, 1000, " Hi Bob.", [{"text": " Hi"}, {"text": " Bob"}, {"text": "."}]),
        (1500, 2000, " Oh no!", [{"text": " Oh"}, {"text": " no"}, {"text": "!"}]),
    ]
]
SENTENCES = [
    {"text": text, "start": start, "end": end, "timestamp": [[start, end]], "spk": who}
    for text, start, end, who in [("Hi Bob.", 500, 1000, 0), ("Oh no!", 1500, 2000, 1)]
]
EVENTS = [
    {"tStartMs": 0, "dDurationMs": 9000, "id": 1, "wpWinPosId": 1},
    {"tStartMs": 500, "dDurationMs": 500, "segs": [{"utf8": "Hi"}, {"utf8": "\nBob.", "tOffsetMs": 300}]},
    {"tStartMs": 1500, "dDurationMs": 500, "segs": [{"utf8": ">> Oh"}, {"utf8": " no!", "tOffsetMs": 300}]},
]
ANALYTICS = [
    {"Content": text, "BeginOffsetMillis": start, "EndOffsetMillis": end, "ParticipantRole": who, "Items": []}
    for text, start, end, who in [("Hi Bob.", 500, 1000, "0"), ("Oh no!", 1500, 2000, "1")]
]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"results": {"transcripts": [{"transcript": "x"}], "items": AWS}}, False),
        ({"results": {"items": AWS, "channel_labels": {"channels": CHANNELS}}}, True),
        ({"Transcript": ANALYTICS}, True),
        ([TASK], True),
        (TASK, True),
        ({"params": {"language": "en"}, "transcription": CPP}, False),
        ([{"key": "a", "text": "x", "sentence_info": SENTENCES}], True),
        ({"wireMagic": "pb3", "events": EVENTS}, False),
    ],
)
def test_json_of_recognisers(content: Any, named: bool, tmp_path: Path) -> None:
    turns = read(tmp_path / "a.json", "\ufeff" + json.dumps(content))
    assert turns == dialogue("0" if named else None, "1" if named else None)


@pytest.mark.parametrize(
    "stamp",
    [
        "[12/31/23, 9:4{}:10\u202fPM] ",
        "[31.12.23, 21:4{}:10] ",
        "\u200e[2023-12-31, 9:4{}:10 p.\u00a0m.] ",
        "[31/12/23, 21.4{}.10] ",
        "[2023. 12. 31. \uc624\ud6c4 9:4{}:10] ",
        "31/12/2023 \u00e0 21:4{} - ",
        "31.12.2023 klo 21.4{} - ",
        "2023/12/31 \u4e0b\u53489:4{} - ",
        "09:4{}:10 PM From ",
        "2023-12-31 21:4{}:10 From ",
    ],
)
def test_stamps_of_chats(stamp: str, tmp_path: Path) -> None:
    a, b, c = (stamp.format(minute) for minute in "123")
    text = f'{a}Anna: Hi Bob: come\r\nnow\r\n{b}Bob: Replying to "Hi" \r\n Oh no\r\n'
    text += f'{c}Cy: Reacted to "Hi" with \U0001f44d\r\n'
    assert [turn[2:] for turn in read(tmp_path / "a.txt", text)] == [("Anna", "Hi Bob: come now"), ("Bob", "Oh no")]
