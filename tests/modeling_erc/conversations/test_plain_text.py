"""Plain text, exported chats, and the formats of annotation programs."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from modeling_erc.conversations import ConversationError, read_conversation
from modeling_erc.conversations.speakers import find_prefix
from tests.cpu_seconds import cpu_seconds


def read(path: Path, content: str) -> list[tuple[Any, ...]]:
    path.write_text(content, encoding="utf-8")
    return [(u.get("start"), u.get("end"), u["speaker"], u["text"]) for u in read_conversation(path).utterances]


@pytest.mark.parametrize(
    ("line", "speaker"),
    [
        ("[SPEAKER_00]: Hi.", "SPEAKER_00"),
        ("[SPEAKER_00] Hi.", "SPEAKER_00"),
        ("(speaker 0) Hi.", "speaker 0"),
        ("(speaker ?) Hi.", ""),
        ("Speaker 1: Hi.", "Speaker 1"),
        ("[Ann] Hi.", "Ann"),
        ("<Ann> Hi.", "Ann"),
        ("ANN:Hi.", "ANN"),
        ("Anna Smith (she/her): Hi.", "Anna Smith"),
        ("BOB [shouting]: Hi.", "BOB"),
        ("BOB (V.O.): Hi.", "BOB"),
        ("\u5f20\u4e09\uff1aHi.", "\u5f20\u4e09"),
        (">> ANN: Hi.", "ANN"),
        ("- Ann: Hi.", "Ann"),
        ("[sighs] Hi.", None),
        ("[Door slams] Hi.", None),
        ("At 10:30 we leave.", None),
        ("See https://example.org", None),
    ],
)
def test_speakers_in_front_of_words(line: str, speaker: str | None) -> None:
    prefix = find_prefix(line)
    assert (prefix and prefix.name) == speaker and (prefix is None or prefix.text == "Hi.")


TWO = [("Anna", "Hi Bob: come now"), ("Bob", "Oh no")]


@pytest.mark.parametrize(
    "text",
    [
        "12/31/23, 9:41\u202fPM - Messages and calls are end-to-end encrypted.\n"
        "12/31/23, 9:41\u202fPM - Anna: Hi Bob: come\nnow\n"
        "12/31/23, 9:42\u202fPM - Bob: <Media omitted>\n12/31/23, 9:43\u202fPM - Bob: Oh no\n",
        "31.12.23, 21:41 - Anna: Hi Bob: come now\n31.12.23, 21:42 - Bob: <Medien ausgeschlossen>\n"
        "31.12.23, 21:42 - Anna added Cy\n31.12.23, 21:43 - Bob: Oh no <This message was edited>\n",
        "[31/12/2023, 21:41:10] Team: \u200eMessages and calls are end-to-end encrypted.\n"
        "[31/12/2023, 21:41:12] Anna: Hi Bob: come\nnow\n\u200e[31/12/2023, 21:42:10] Bob: \u200eimage omitted\n"
        "[31/12/2023, 21:43:10] ~ Bob: Oh no\n",
        "[12/31/23, 9:41:10\u202fPM] Anna: Hi Bob: come now\n[12/31/23, 9:42:10\u202fPM] Bob: Oh no\n",
        "21:40:10\t From  Anna : Hi Bob: come now\n21:41:10\t From  Bob : Oh no\n",
        "21:40:10 From Anna to Everyone:\n\tHi Bob: come\n\tnow\n21:41:10 From Bob to Anna(Direct Message):\n\tOh no\n",
    ],
)
def test_exported_chats(text: str, tmp_path: Path) -> None:
    assert read(tmp_path / "a.txt", text) == [(None, None, *turn) for turn in TWO]
    assert "times of day" in read_conversation(tmp_path / "a.txt").notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "Anna Smith  0:03  \nHi Bob\n\nBob Smith  0:05  \nOh no\n\nTranscribed by https://otter.ai\n",
        "Anna Smith\n0:03\nHi Bob\nBob Smith\n0:05\nOh no\n",
        "Anna Smith (00:03):\nHi Bob\n\nBob Smith (00:05):\nOh no\n",
        "[00:00:03] Anna Smith: Hi Bob\n[00:00:05] Bob Smith: Oh no\n",
        "0:00:03.000,0:00:05.000\nAnna Smith: Hi Bob\n\n0:00:05.000,0:00:06.000\nBob Smith: Oh no\n",
        "Anna Smith started transcription\n\nAnna Smith   0:03\nHi Bob\n\nBob Smith   0:05\nOh no\n\n"
        "Anna Smith stopped transcription\n",
        "00:00:03:00 - 00:00:05:00\nAnna Smith\nHi Bob\n\n00:00:05:00 - 00:00:06:00\nBob Smith\nOh no\n",
        "[00:00:03.000 --> 00:00:05.000]   Anna Smith: Hi Bob\n[00:00:05.000 --> 00:00:06.000]   Bob Smith: Oh no\n",
    ],
)
def test_transcripts_with_times(text: str, tmp_path: Path) -> None:
    assert read(tmp_path / "a.txt", text) == [(3.0, 5.0, "Anna Smith", "Hi Bob"), (5.0, 6.0, "Bob Smith", "Oh no")]


ANN, BO = (1.0, 2.5, "Ann", "We won! Yes"), (3.0, 4.5, "Bo", "Oh no")
TEXTGRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "Ann"
        xmin = 0
        xmax = 5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 1
            text = ""
        intervals [2]:
            xmin = 1
            xmax = 2.5
            text = "We won! Yes"
        intervals [3]:
            xmin = 2.5
            xmax = 5
            text = ""
    item [2]:
        class = "IntervalTier"
        name = "Bo"
        xmin = 0
        xmax = 5
        intervals: size = 1
        intervals [1]:
            xmin = 3
            xmax = 4.5
            text = "Oh no"
"""
EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/><TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1000"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="2500"/>
<TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="3000"/><TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="4500"/></TIME_ORDER>
<TIER LINGUISTIC_TYPE_REF="t" PARTICIPANT="Bo" TIER_ID="second"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
<ANNOTATION_VALUE>Oh no</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER LINGUISTIC_TYPE_REF="t" TIER_ID="Ann"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>We won! Yes</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="t" TIME_ALIGNABLE="true" GRAPHIC_REFERENCES="false"/></ANNOTATION_DOCUMENT>
"""
TTML = """<?xml version="1.0" encoding="utf-8"?>
<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttm="http://www.w3.org/ns/ttml#metadata" xml:lang="en"><head><metadata>
<ttm:agent xml:id="a" type="person"><ttm:name type="full">Ann</ttm:name></ttm:agent>
<ttm:agent xml:id="b" type="person"><ttm:name type="full">Bo</ttm:name></ttm:agent></metadata></head><body><div>
<p begin="00:00:01.000" end="00:00:02.500" ttm:agent="a">We won!<br/>Yes</p>
<p begin="3s" end="4.5s" ttm:agent="b">Oh <span>no</span></p></div></body></tt>
"""
ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:01.00,0:00:02.50,Default,Ann,0,0,0,,{\\i1}We won!{\\i0}\\NYes
Comment: 0,0:00:01.00,0:00:02.50,Default,Ann,0,0,0,,a comment
Dialogue: 0,0:00:03.00,0:00:04.50,Default,Bo,0,0,0,,Oh no
"""
SAMI = """<SAMI><HEAD><STYLE TYPE="text/css"><!--
P {margin-left:1pt;}
.ENCC {Name:English; lang: en-US;}
--></STYLE></HEAD><BODY>
<SYNC Start=1000><P Class=ENCC>Ann: We won! Yes
<SYNC Start=2500><P Class=ENCC>&nbsp;
<SYNC Start=3000><P Class=ENCC>Bo: Oh no
<SYNC Start=4500><P Class=ENCC>&nbsp;
</BODY></SAMI>
"""


@pytest.mark.parametrize("suffix", ["own", ".txt", ""])
@pytest.mark.parametrize(
    ("own", "content", "library"),
    [
        (".TextGrid", TEXTGRID, "praatio"),
        (".eaf", EAF, "pympi"),
        (".ttml", TTML, "pysubs2"),
        (".ass", ASS, "pysubs2"),
    ],
)
def test_formats_of_libraries_by_suffix_and_by_content(
    own: str, content: str, library: str, suffix: str, tmp_path: Path
) -> None:
    pytest.importorskip(library)
    assert read(tmp_path / f"a{own if suffix == 'own' else suffix}", content) == [ANN, BO]


def test_sami_has_starts_alone(tmp_path: Path) -> None:
    pytest.importorskip("pysubs2")
    turns = [(start, *words) for start, _, *words in read(tmp_path / "a.smi", SAMI)]
    assert turns == [(1.0, "Ann", "We won! Yes"), (3.0, "Bo", "Oh no")]


def test_chat_transcripts_lose_their_codes(tmp_path: Path) -> None:
    pytest.importorskip("pylangacq")
    chat = (
        "@UTF8\n@Begin\n@Languages:\teng\n@Participants:\tCHI Ann Target_Child, MOT Mary Mother\n"
        "@ID:\teng|x|CHI||||| Target_Child|||\n@ID:\teng|x|MOT||||| Mother|||\n"
        "*CHI:\twe &-uh won (a)gain !\n\t\x151000_2500\x15\n%mor:\tpro|we\n"
        "*MOT:\toh no &=laughs +... \x153000_4500\x15\n@End\n"
    )
    assert read(tmp_path / "a.cha", chat) == [(1.0, 2.5, "CHI", "we won again!"), (3.0, 4.5, "MOT", "oh no")]


def test_microdvd_has_frames(tmp_path: Path) -> None:
    pytest.importorskip("pysubs2")
    assert read(tmp_path / "a.sub", "{1}{1}50\n{50}{100}Hi|you\n") == [(1.0, 2.0, None, "Hi you")]
    assert read(tmp_path / "a.sub", "{25}{50}Hi|you\n") == [(1.0, 2.0, None, "Hi you")]
    assert "25 frames per second are assumed" in read_conversation(tmp_path / "a.sub").notes[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.eaf", '<!DOCTYPE x [<!ENTITY a "b">]>' + EAF, "declares a document type or entities"),
        ("a.eaf", "<ANNOTATION_DOCUMENT>", "not XML"),
        ("a.TextGrid", 'File type = "ooTextFile"\nitem', "not a TextGrid"),
    ],
)
def test_broken_annotations_are_refused(name: str, content: str, message: str, tmp_path: Path) -> None:
    for library in ("praatio", "pympi"):
        pytest.importorskip(library)
    with pytest.raises(ConversationError, match=message):
        read(tmp_path / name, content)


@pytest.mark.parametrize(
    "text",
    [
        "12/31/23, 9:41 PM - ",
        "(",
        "a:",
        "[a] ",
        "0:01 ",
        "Ann 0:01\n",
        "<a",
        "a (b ",
        "Ann" + " " * 999,
        "a 0.5 0.5 b ",
        ";; ",
        "# a  \n",
    ],
)
def test_long_runs_of_any_text_take_linear_time(text: str, tmp_path: Path) -> None:
    with cpu_seconds(3), suppress(ConversationError):
        read(tmp_path / "a.txt", text * (200_000 // len(text)))
