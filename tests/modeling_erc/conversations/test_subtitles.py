"""Subtitles as they occur, with their errors."""

from pathlib import Path
from typing import Any

import pytest

from modeling_erc.conversations import ConversationError, read_conversation
from tests.cpu_seconds import cpu_seconds

Turns = list[tuple[Any, ...]]


def read(path: Path, content: str | bytes) -> tuple[Turns, list[str]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    conversation = read_conversation(path)
    return [(u["start"], u["end"], u["speaker"], u["text"]) for u in conversation.utterances], conversation.notes


CLEAN = "1\n00:00:01,000 --> 00:00:02,500\nANN: We won!\n\n2\n00:01:00,250 --> 01:00:03,000\nANN: Really?\nYes.\n"
WANTED = [(1.0, 2.5, "ANN", "We won!"), (60.25, 3603.0, "ANN", "Really? Yes.")]


@pytest.mark.parametrize(
    "content",
    [
        CLEAN,
        CLEAN.encode("utf-8-sig"),
        CLEAN.encode("utf-16"),
        CLEAN.encode("utf-16-le"),
        CLEAN.replace("\n", "\r\n"),
        CLEAN.replace("\n", "\r"),
        "\n\n" + CLEAN.replace("\n\n", "\n\n\n \n") + "\n\n3\n",
        CLEAN.replace("1\n0", "0").replace("2\n0", "0"),
        CLEAN.replace(",", ".").replace("00:00:01", "0:01").replace(".000 -->", ".0 -->"),
        CLEAN.replace("We won!", "<i>We</i> <font color='#fff'>won!</font>").replace("500", "500 X1:40 Y1:20"),
        CLEAN.replace("ANN: We", "{\\an8}- ANN : We").replace("ANN: Really", ">> ANN: Really"),
        "\n\n".join(reversed(CLEAN.split("\n\n"))),
    ],
)
def test_variants_of_srt_give_the_same_utterances(content: str | bytes, tmp_path: Path) -> None:
    assert read(tmp_path / "a.srt", content) == (WANTED, [])


def test_speakers_are_voices_dashes_and_repeated_names(tmp_path: Path) -> None:
    vtt = """WEBVTT - with a title
Language: en

STYLE
::cue(.x) { color: red }

NOTE this is
not said

intro
00:01.000 --> 00:05.000 align:start position:10%
<v.loud Ann Lee>Hi <00:02.000><c.x>there</c> &amp; you</v>
<v Bo>Hello.

00:06.000 --> 00:08.000
- One, two.
- Three, four.

00:09.000 --> 00:10.000
Listen: this makes no speaker.

00:11.000 --> 00:12.000
Cy: I do.

00:13.000 --> 00:14.000
Cy: Twice.
"""
    assert read(tmp_path / "a.vtt", vtt)[0] == [
        (1.0, 3.8, "Ann Lee", "Hi there & you"),
        (3.8, 5.0, "Bo", "Hello."),
        (6.0, 6.857, None, "One, two."),
        (6.857, 8.0, None, "Three, four."),
        (9.0, 10.0, None, "Listen: this makes no speaker."),
        (11.0, 12.0, "Cy", "I do."),
        (13.0, 14.0, "Cy", "Twice."),
    ]


def test_a_speaker_with_a_hyphen_is_recognised(tmp_path: Path) -> None:
    srt = "".join(
        f"{i}\n00:00:0{i},000 --> 00:00:0{i},900\n{text}\n\n"
        for i, text in enumerate(
            ["JEAN-LUC: Engage - now.", "- Mary-Ann: Well-known.\n- Mary-Ann: To whom?", "Jean\u2013Luc \u2013 gone."]
        )
    )
    assert [turn[2:] for turn in read(tmp_path / "a.srt", srt)[0]] == [
        ("JEAN-LUC", "Engage - now."),
        ("Mary-Ann", "Well-known."),
        ("Mary-Ann", "To whom?"),
        (None, "Jean\u2013Luc \u2013 gone."),
    ]


@pytest.mark.parametrize(
    "said", ["<v", "<v ", "<v.a", "<rt>", "<1", "{\\", "-", "a ", ">>", "a\n", "[]", "(", "\u266a ", "&#"]
)
@pytest.mark.parametrize("gap", ["", " "])
def test_long_runs_of_unclosed_tags_take_linear_time(said: str, gap: str, tmp_path: Path) -> None:
    """The text repeats it, or has it once with a long gap behind it."""
    text = said + gap * 200_000 if gap else said * (200_000 // len(said))
    with cpu_seconds(2):
        turns, _ = read(tmp_path / "a.srt", f"{CLEAN}\n3\n01:00:04,000 --> 01:00:05,000\n{text}b\n")
    assert turns[:2] == WANTED


def test_an_invalid_character_reference_of_any_length_is_read(tmp_path: Path) -> None:
    vtt = f"WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann&#{'1' * 5000};>Hi&#{'0' * 5000} &#33;\n"
    assert read(tmp_path / "a.vtt", vtt)[0] == [(1.0, 2.0, "Ann\ufffd", "Hi\ufffd !")]


def test_cues_without_speech_are_left_out_with_a_note(tmp_path: Path) -> None:
    srt = "".join(
        f"{i}\n00:00:0{i},000 --> 00:00:0{i},900\n{text}\n\n"
        for i, text in enumerate(["[door slams]", "♪ la la\nla ♪", "", "- [sighs]\n- (laughs) No.", "<i> </i>"])
    )
    said, notes = read(tmp_path / "a.srt", srt)
    assert said == [(3.0, 3.9, None, "(laughs) No.")]
    assert notes == ["4 cue(s) without speech, such as [music] or a song, are left out"]


def test_other_encodings_are_read_with_a_note(tmp_path: Path) -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\n“Déjà vu”, naïve\n"
    assert read(tmp_path / "a.srt", text) == ([(1.0, 2.0, None, "“Déjà vu”, naïve")], [])
    said, notes = read(tmp_path / "b.srt", text.encode("cp1252"))
    assert said[0][3] == "“Déjà vu”, naïve" and "b.srt is not UTF-8 (line 3): read as Windows-1252" in notes[0]
    chinese = "1\n00:00:01,000 --> 00:00:02,000\n你好我很高兴见到你\n"
    said, notes = read(tmp_path / "e.srt", chinese.encode("gb18030"))
    assert said[0][3] == "你好我很高兴见到你" and "e.srt is not UTF-8 (line 3): read as gb18030" in notes[0]
    said, notes = read(tmp_path / "c.srt", "1\n00:00:01,000 --> 00:00:02,000\ncafÃ© naÃ¯ve\n")
    assert said[0][3] == "café naïve" and "letters are restored" in notes[0]
    said, notes = read(tmp_path / "d.srt", "1\n00:00:01,000 --> 00:00:02,000\nÂNGELA: SÃO PAULO\n")
    assert said[0][2:] == ("ÂNGELA", "SÃO PAULO") and notes == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "1\n00:00:01,000 -> 00:00:02,000\nHi\n",
            r"a\.srt, line 1: '1' belongs to no cue: write times as 00:01:02,500",
        ),
        (
            "1\n00:00:1x,000 --> 00:00:02,000\nHi\n",
            r"a\.srt, line 2: '00:00:1x,000 --> 00:00:02,000' is not a pair of times",
        ),
        (
            CLEAN + "\n3\n00:00:09,000 --> 00:00:08,500\nHi\n",
            r"line 11: the cue ends at 8\.5 s, before it begins at 9 s",
        ),
        ("1\n" + "1" * 5000 + ":00:01,000 --> 00:00:02,000\nHi\n", "line 2: '1{60}' is not a pair of times"),
        ("00:00:01,000 --> " + "1" * 400 + ":00:02,000\nHi\n", "line 1: '00:00:01,000 --> 1+' is not a pair of times"),
        (CLEAN.replace("?\n", "?\n\n"), "line 9: 'Yes.' belongs to no cue: .* or remove the empty line"),
        (CLEAN.replace("\n\n", "\n"), "line 5: times in the middle of a cue: put an empty line before the next cue"),
        ("\n", "no utterance in it"),
        ("1\n00:00:01,000 --> 00:00:02,000\n[music]\n", "no utterance in it"),
        (b"\x00\x01\x02", "is not a text file: export the conversation as srt"),
    ],
)
def test_invalid_content_is_named_with_line_and_remedy(content: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConversationError, match=message):
        read(tmp_path / "a.srt", content)


def test_a_vtt_without_its_first_line_and_an_unknown_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversationError, match="line 1: a WebVTT file begins with the line WEBVTT"):
        read(tmp_path / "a.vtt", CLEAN)
    with pytest.raises(ValueError, match=r"unknown conversation format '\.xyz': choose one of \.ass, \.cha"):
        read_conversation(tmp_path / "a.xyz")
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_conversation(tmp_path / "none.srt")
