import logging
import os
from pathlib import Path

import pytest

from datasets_scripts import CorpusError
from datasets_scripts.iemocap_files import find_dialogues, read_labels, read_transcript, read_turn_list

LABELS = (
    "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
    "[6.2901 - 8.2357]\tSes01F_script01_1_F000\tneu\t[2.5000, 2.5000, 2.5000]\n"
    "C-E2:\tNeutral;\t()\nA-E3:\tval 3; act 2; dom  2;\t([sic], hap)\n\n"
    "[10 - 11.5]\tSes01F_script01_1_M000\txxx\t[2.5000, 3.0000, 3.0000]\n"
)
TRANSCRIPT = (
    "Ses01F_script01_1_F000 [006.2901-008.2357]: Excuse me: [LAUGHTER]\n"
    "M: Yeah.\n"
    "Ses01F_script01_1_MXX0 [009.0000-009.5000]: [BREATHING]\n"
    "Ses01F_script01_1_FXX0: Right.\n"
    "Ses01F_script01_1_M000 [010.0000-011.5000]:\n"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "Ses01F_script01_1.txt"


def test_lines_of_single_raters_are_no_label_lines(file: Path) -> None:
    file.write_text(LABELS)
    turns = read_labels(file)
    assert {name: (turn.speaker, turn.value, turn.start, turn.end) for name, turn in turns.items()} == {
        "Ses01F_script01_1_F000": ("F", "neu", 6.2901, 8.2357),
        "Ses01F_script01_1_M000": ("M", "xxx", 10.0, 11.5),
    }


def test_transcript_gives_named_turns_with_the_times_they_have(file: Path) -> None:
    file.write_text(TRANSCRIPT)
    turns = read_transcript(file, ())
    assert {name[18:]: (turn.speaker, turn.value, turn.start, turn.end) for name, turn in turns.items()} == {
        "F000": ("F", "Excuse me: [LAUGHTER]", 6.2901, 8.2357),
        "MXX0": ("M", "[BREATHING]", 9.0, 9.5),
        "FXX0": ("F", "Right.", None, None),
        "M000": ("M", "", 10.0, 11.5),
    }


@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
def test_byte_order_mark_and_foreign_line_ends_leave_no_trace(file: Path, line_end: str) -> None:
    file.write_text(LABELS)
    plain = read_labels(file)
    # Without the first two lines, so that the mark stands right before a turn.
    file.write_bytes(b"\xef\xbb\xbf" + LABELS.split("\n", 2)[2].replace("\n", line_end).encode())
    assert read_labels(file) == plain
    file.write_bytes(b"\xef\xbb\xbf" + TRANSCRIPT.replace("\n", line_end).encode())
    assert read_transcript(file, ())["Ses01F_script01_1_MXX0"].value == "[BREATHING]"


def test_bytes_that_are_no_utf8_are_read_byte_by_byte(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfSes01F_script01_1_F000 [006.2901-008.2357]: I\x92m\x85 here\n")
    assert read_transcript(file, ())["Ses01F_script01_1_F000"].value == "I\x92m\x85 here"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[12.0 - 13.0]\tSes01F_script01_1_F001\tjoy\t[1, 1, 1]", "label 'joy' is none of fru, neu, .*, xxx"),
        (
            "[12.0 - 13.0]\tSes01F_script01_1_F000\thap\t[1, 1, 1]",
            "turn Ses01F_script01_1_F000 is hap here and neu above",
        ),
        ("[12.0 - 13.0]\tSes01F_script01_1_F001\thap\t[1, 1", r"'\[12.0 .* does not read `\[start - end\] turn label"),
        ("[12.0 - nan]\tSes01F_script01_1_F001\thap\t[1, 1, 1]", "does not read"),
        ("[12.0 13.0]\tSes01F_script01_1_F001\thap\t[1, 1, 1]", "does not read"),
        ("[12.0 - 13.0]\tSes01F_script01_1_X001\thap\t[1, 1, 1]", "does not read"),
        ("[12.0 - 13.0]\tSes01F_script01_1_F001", "does not read"),
    ],
)
def test_wrong_label_line_is_named_with_file_line_and_value(file: Path, line: str, message: str) -> None:
    file.write_text(LABELS + line + "\n")
    with pytest.raises(CorpusError, match=rf"Ses01F_script01_1\.txt, line 8: .*{message}"):
        read_labels(file)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Ses01F_script01_1_F000 [001.0000-002.0000]: Hm.", "turn Ses01F_script01_1_F000 has other words above"),
        ("Ses01F_script01_1_F001 [001.0000: Hm.", r"does not read `turn \[start-end\]: words`"),
        ("Ses01F_script01_1_F001 [001.0000-002.0000]", "does not read"),
    ],
)
def test_wrong_transcript_line_is_named_with_file_and_line(file: Path, line: str, message: str) -> None:
    file.write_text(TRANSCRIPT + line + "\n")
    with pytest.raises(CorpusError, match=rf"Ses01F_script01_1\.txt, line 6: .*{message}"):
        read_transcript(file, ["Ses01F_script01_1_F000", "Ses01F_script01_1_F001"])


@pytest.mark.parametrize(
    "line",
    [
        "Ses01F_script01_1_MXX0 [020.0000-020.5000]: Other words.",
        "Ses01F_script01_1_FXX3 [020.0000: Hm.",
        "Ses01F_script01_1_F007 without times and colon",
        "Ses01F_script01_1_F000 [006.2901-008.2357]:  Excuse me:  [LAUGHTER]",
        "Ses01 a note",
    ],
)
def test_transcript_lines_that_change_no_labelled_turn_are_skipped_and_listed(file: Path, line: str) -> None:
    labelled = ["Ses01F_script01_1_F000", "Ses01F_script01_1_M000"]
    file.write_text(TRANSCRIPT)
    turns = read_transcript(file, labelled)
    file.write_text(TRANSCRIPT + line + "\n")
    skipped: list[str] = []
    assert read_transcript(file, labelled, skipped) == turns
    assert skipped == [f"{file}, line 6"]


@pytest.mark.parametrize(
    "line",
    ["[6.2901 - 8.2357]\tSes01F_script01_1_F000\tneu\t[2.5000, 2.5000, 2.5000]", "[1 - 2]\tSes01F_script01_1_FXX0\t"],
)
def test_label_lines_that_change_no_label_are_skipped_and_listed(file: Path, line: str) -> None:
    file.write_text(LABELS)
    turns = read_labels(file)
    file.write_text(LABELS + line + "\n")
    skipped: list[str] = []
    assert read_labels(file, skipped) == turns
    assert skipped == [f"{file}, line 8"]


def test_turn_list_is_read_in_any_form(file: Path) -> None:
    for text in (
        "Ses01F_impro01_F000\nSes05M_script01_1b_M010\n",
        '["Ses01F_impro01_F000", "Ses05M_script01_1b_M010"]',
    ):
        file.write_text(text)
        assert read_turn_list(file) == {"Ses01F_impro01_F000", "Ses05M_script01_1b_M010"}
    file.write_text("nothing")
    with pytest.raises(CorpusError, match="names no turn: write one a line"):
        read_turn_list(file)


@pytest.mark.parametrize("content", [b"", LABELS.encode("utf-16"), b"% only a heading\n"])
def test_label_file_without_a_turn_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(CorpusError, match=r"Ses01F_script01_1\.txt has no line of a turn"):
        read_labels(file)


def test_file_that_cannot_be_read_is_named_with_the_reason(file: Path) -> None:
    file.mkdir()  # as good as a forbidden file, and so for root too
    with pytest.raises(CorpusError, match=r"Ses01F_script01_1\.txt cannot be read \(Is a directory\)"):
        read_transcript(file, ["Ses01F_script01_1_F000", "Ses01F_script01_1_F001"])


def test_links_in_circles_pipes_and_folders_are_no_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = tmp_path / "Session1" / "dialog" / "EmoEvaluation"
    labels.mkdir(parents=True)
    (labels / "Ses01F_impro01.txt").write_text(LABELS)
    (labels / "Ses01F_impro02.txt").symlink_to("Ses01F_impro02.txt")
    (labels / "Ses01F_impro03.txt").symlink_to("nowhere")
    (labels / "Ses01F_impro04.txt").mkdir()
    os.mkfifo(labels / "Ses01F_impro05.txt")
    (labels / "again").symlink_to(labels)
    transcripts = tmp_path / "Session1" / "dialog" / "transcriptions"
    transcripts.symlink_to(transcripts)
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        (dialogue,) = find_dialogues(tmp_path)
    assert (dialogue.name, dialogue.transcript, dialogue.avi, dialogue.wavs()) == ("Ses01F_impro01", None, None, {})
    assert f"{transcripts} cannot be read (Too many levels of symbolic links)" in caplog.text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("mode", [0o000, 0o444])  # its names cannot be listed; its files cannot be reached
def test_unreadable_folder_counts_as_missing_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    labels = tmp_path / "Session1" / "dialog" / "EmoEvaluation"
    labels.mkdir(parents=True)
    (labels / "Ses01F_impro01.txt").write_text(LABELS)
    wavs = tmp_path / "Session1" / "sentences" / "wav" / "Ses01F_impro01"
    wavs.mkdir(parents=True)
    (wavs / "Ses01F_impro01_F000.wav").write_bytes(b"")
    wavs.chmod(mode)
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        assert find_dialogues(tmp_path)[0].wavs() == {}
    wavs.chmod(0o700)
    assert f"{wavs} cannot be read (Permission denied)" in caplog.text


def test_only_dialogues_of_their_session_directly_in_the_folder_count(tmp_path: Path) -> None:
    labels = tmp_path / "Session2" / "dialog" / "EmoEvaluation"
    for name in (
        "Ses02M_script01_1b",
        "._Ses02M_script01_1b",
        "Ses01F_impro01",
        "Ses02F_impro01 (1)",
        "notes",
        "Attribute/Ses02F_impro01_atr",
        "Categorical/Ses02F_impro01",
        "Self-evaluation/Ses02F_impro01",
    ):
        (labels / name).parent.mkdir(parents=True, exist_ok=True)
        (labels / f"{name}.txt").write_text(LABELS)
    assert [(files.name, files.session) for files in find_dialogues(tmp_path)] == [("Ses02M_script01_1b", 2)]


def test_folder_without_labels_is_named_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "Session1" / "sentences").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"EmoEvaluation/Ses\*\.txt, and .*it holds Session1\. Unpack"):
        find_dialogues(tmp_path)
