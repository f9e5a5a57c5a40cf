import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets_scripts import CorpusError, iemocap, label_names
from datasets_scripts.iemocap import Iemocap
from tests.datasets_scripts.small_iemocap import (
    DIALOGUES,
    Turn,
    all_rows,
    label_file,
    load,
    stream,
    turns,
    wav_of,
    write_dialogue,
    write_empty,
    write_release,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_release(tmp_path / "IEMOCAP_full_release")


RATE = 16000


def avi_of(root: Path, name: str, folder: str = "avi/DivX") -> Path:
    return root / f"Session{name[4]}" / "dialog" / folder / f"{name}.avi"


def warnings_with(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if words in record.getMessage()]


def test_one_row_is_one_dialogue_ordered_by_time_and_then_name(root: Path) -> None:
    splits = load(root)
    assert list(splits) == ["train", "dev", "test"]
    assert splits["train"]["dialogue_id"][:] == ["Ses01F_impro01", "Ses02M_script01_1"]
    assert splits["dev"]["dialogue_id"][:] == ["Ses04M_impro03"]
    assert splits["test"]["dialogue_id"][:] == ["Ses05M_script01_1b"]
    names = label_names(splits)
    assert names == ["happy", "sad", "neutral", "angry", "excited", "frustrated"]
    assert [
        (turn["utterance_id"], turn["speaker"], turn["text"], names[turn["label"]])
        for turn in splits["train"][0]["utterances"]
    ] == [
        ("Ses01F_impro01_F000", "Ses01_F", "I'm here.", "neutral"),
        ("Ses01F_impro01_F002", "Ses01_F", "Oh.", "happy"),
        ("Ses01F_impro01_M000", "Ses01_M", "No.", "frustrated"),
    ]


def test_four_way_setting_puts_excited_with_happy_and_leaves_frustrated_out(root: Path) -> None:
    splits = stream(root, setting="4way")
    names = label_names(splits)
    labels = {turn["utterance_id"]: names[turn["label"]] for row in all_rows(splits) for turn in row["utterances"]}
    assert labels == {
        "Ses01F_impro01_F000": "neutral",
        "Ses01F_impro01_F002": "happy",
        "Ses02M_script01_1_M000": "happy",
        "Ses04M_impro03_M000": "sad",
        "Ses05M_script01_1b_F000": "angry",
    }


def test_other_labels_and_timed_unlabelled_turns_can_stay_as_context(root: Path) -> None:
    kept = turns(root, other_labels="context")
    assert [(name, kept[name]["label"]) for name in kept if name.startswith("Ses01")] == [
        ("Ses01F_impro01_F000", 2),
        ("Ses01F_impro01_FXX0", None),
        ("Ses01F_impro01_F002", 0),
        ("Ses01F_impro01_M000", 5),
        ("Ses01F_impro01_F001", None),
    ]
    assert kept["Ses01F_impro01_FXX0"]["text"] == "[LAUGHTER]"
    assert (kept["Ses01F_impro01_FXX0"]["video_start"], kept["Ses01F_impro01_FXX0"]["video_end"]) == (0.5, 0.75)


@pytest.mark.parametrize("other_labels", ["drop", "context"])
def test_dialogue_with_nothing_to_score_is_left_out(root: Path, other_labels: str) -> None:
    rows = all_rows(stream(root, other_labels=other_labels))
    assert {row["dialogue_id"] for row in rows} == DIALOGUES.keys() - {"Ses03F_impro02"}


def test_stream_yields_the_rows_of_the_prepared_dataset(root: Path) -> None:
    write_empty(avi_of(root, "Ses01F_impro01"), wav_of(root, "Ses01F_impro01_F000"))
    prepared, streamed = load(root, other_labels="context"), stream(root, other_labels="context")
    assert label_names(streamed) == label_names(prepared)
    for split in ("train", "dev", "test"):
        assert list(streamed[split]) == list(prepared[split])


def test_files_are_read_dialogue_by_dialogue(root: Path) -> None:
    rows = Iemocap(data_dir=root, dev_dialogues=1).dialogues("train")
    assert next(rows)["dialogue_id"] == "Ses01F_impro01"
    label_file(root, "Ses02M_script01_1").write_text("[broken")
    with pytest.raises(CorpusError, match=r"Ses02M_script01_1\.txt, line 1"):
        next(rows)


def test_wav_of_a_turn_is_taken_whole_and_the_recording_gives_the_picture(root: Path) -> None:
    wav, avi = wav_of(root, "Ses01F_impro01_F000"), avi_of(root, "Ses01F_impro01")
    write_empty(wav, avi)
    turn = turns(root)["Ses01F_impro01_F000"]
    assert (turn["audio_path"], turn["start"], turn["end"]) == (str(wav), None, None)
    assert (turn["video_path"], turn["video_start"], turn["video_end"]) == (str(avi), 0.0, 1.0)


@pytest.mark.parametrize("folder", ["avi", "avi/DivX"])
def test_recording_gives_the_sound_where_there_is_no_wav(root: Path, folder: str) -> None:
    avi = avi_of(root, "Ses01F_impro01", folder)
    write_empty(avi)
    turn = turns(root)["Ses01F_impro01_M000"]
    assert (turn["audio_path"], turn["start"], turn["end"]) == (str(avi), 1.0, 2.0)
    assert (turn["video_path"], turn["video_start"], turn["video_end"]) == (str(avi), 1.0, 2.0)


def test_turn_without_media_keeps_its_times(root: Path) -> None:
    turn = turns(root)["Ses01F_impro01_M000"]
    empty = ("audio_path", "start", "end", "video_path", "video_half")
    assert [turn[column] for column in empty] == [None] * 5
    assert (turn["video_start"], turn["video_end"]) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("option", "halves"),
    [
        ("marked_left", ["left", "right", "right"]),
        ("marked_right", ["right", "left", "left"]),
        ("whole", [None, None, None]),
    ],
)
def test_half_follows_who_wears_the_markers(root: Path, option: str, halves: list[str | None]) -> None:
    write_empty(avi_of(root, "Ses01F_impro01"), avi_of(root, "Ses05M_script01_1b"))
    rows = turns(root, video_half=option)
    names = ("Ses01F_impro01_F000", "Ses01F_impro01_M000", "Ses05M_script01_1b_F000")
    assert [rows[name]["video_half"] for name in names] == halves


@pytest.mark.parametrize("option", ["setting", "test_session", "other_labels", "video_half"])
def test_unknown_choice_is_refused_with_the_known_ones(root: Path, option: str) -> None:
    message = {
        "setting": "'6way', '4way'",
        "test_session": "1, 2, 3, 4, 5",
        "other_labels": "'drop', 'context'",
        "video_half": "'marked_left', 'marked_right', 'whole'",
    }
    with pytest.raises(ValueError, match=f"{option} is '7': choose one of {message[option]}"):
        Iemocap(data_dir=root, **{option: "7"})


def test_text_normalization_is_a_setting(root: Path) -> None:
    assert turns(root, normalize_text=False)["Ses01F_impro01_F000"]["text"] == "I\u2019m here."


def test_words_of_one_byte_a_letter_become_plain_text(root: Path) -> None:
    path = root / "Session1" / "dialog" / "transcriptions" / "Ses01F_impro01.txt"
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp1252").replace(b"\n", b"\r\n"))
    assert turns(root)["Ses01F_impro01_F000"]["text"] == "I'm here."


def test_folder_above_the_release_will_do(root: Path) -> None:
    above = [row["dialogue_id"] for row in stream(root.parent)["test"]]
    assert above == [row["dialogue_id"] for row in stream(root)["test"]] == ["Ses05M_script01_1b"]


def test_raw_files_are_labels_transcripts_wavs_and_recordings(root: Path) -> None:
    wav, avi = wav_of(root, "Ses05M_script01_1b_F000"), avi_of(root, "Ses05M_script01_1b")
    write_empty(
        wav, avi, wav.with_name("notes.txt"), label_file(root, "Ses05M_script01_1b").parent / "Categorical/x.txt"
    )
    for file in list(root.rglob("Ses0*.*")):
        file.with_name(f"._{file.name}").write_bytes(b"\x00\x05\x16\x07")
    texts = [
        root / f"Session{name[4]}" / "dialog" / folder / f"{name}.txt"
        for name in DIALOGUES
        for folder in ("EmoEvaluation", "transcriptions")
    ]
    assert Iemocap.raw_files(root) == sorted([*texts, wav, avi])
    assert turns(root)["Ses05M_script01_1b_F000"]["audio_path"] == str(wav)


def test_new_wav_and_changed_transcript_are_noticed(root: Path) -> None:
    def turn() -> dict[str, Any]:
        found: dict[str, Any] = load(root)["test"][0]["utterances"][0]
        return found

    assert (turn()["audio_path"], turn()["text"]) == (None, "Out!")
    wav = wav_of(root, "Ses05M_script01_1b_F000")
    write_empty(wav)
    assert turn()["audio_path"] == str(wav)
    write_dialogue(root, "Ses05M_script01_1b", [("F000", 0.5, 1.5, "ang", "Off!")])
    assert turn()["text"] == "Off!"


def test_missing_values_are_counted_in_one_warning_per_split(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "Session5" / "dialog" / "transcriptions" / "Ses05M_script01_1b.txt").unlink()
    write_empty(*(wav_of(root, f"{name}_{turn[0]}") for name in DIALOGUES for turn in DIALOGUES[name]))
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        assert load(root)["test"][0]["utterances"][0]["text"] is None
        load(root)
    (message,) = warnings_with(caplog, "iemocap test:")
    place = r"Ses05M_script01_1b/Ses05M_script01_1b_F000"
    assert f"of 1 utterances, 1 have no text ({place}); 1 have no video ({place})." in message


@pytest.mark.parametrize(("start", "end"), [(1.0, 1.0), (2.0, 1.0), (-0.5, 1.0)])
def test_turn_with_impossible_times_stays_without_a_cut(
    root: Path, caplog: pytest.LogCaptureFixture, start: float, end: float
) -> None:
    broken: list[Turn] = [(name, start, end, "ang", "Out!") for name in ("F000", "F001")]
    write_dialogue(root, "Ses05M_script01_1b", [*broken, ("M000", 3.0, 4.0, "sad", "What?")])
    wav = wav_of(root, "Ses05M_script01_1b_F001")
    write_empty(avi_of(root, "Ses05M_script01_1b"), wav)
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        rows = load(root)["test"][0]["utterances"]
    assert [turn["utterance_id"][-4:] for turn in rows] == ["F000", "F001", "M000"]
    assert [turn["audio_path"] for turn in rows[:2]] == [None, str(wav)]
    for column in ("video_path", "video_start", "video_end", "video_half", "start", "end"):
        assert [turn[column] for turn in rows[:2]] == [None, None]
    (message,) = warnings_with(caplog, "do not end after they start")
    assert message.startswith("iemocap test: 2 turns")
    assert "(Ses05M_script01_1b_F000, Ses05M_script01_1b_F001)" in message


def test_one_warning_lists_the_counts_that_differ_from_the_full_release(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        load(root)
    (message,) = warnings_with(caplog, "is not the full release")
    for part in ("dialogues 5 instead of 151", "labelled turns 11 instead of 10,039", "6way turns 7 instead of 7,380"):
        assert part in message
    assert "4way turns 5 instead of 5,531" in message
    assert "fru 2 instead of 1,849" in message
    assert "oth 1 instead of 3" in message
    assert "dis 0 instead of 2" in message


@pytest.mark.parametrize("surplus", [0, 1])
def test_counts_that_agree_are_not_in_the_warning(
    root: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, surplus: int
) -> None:
    counts = {"dialogues": 5, "labelled turns": 11, "6way turns": 7, "4way turns": 5}
    labels = {"fru": 2, "neu": 1, "ang": 1, "sad": 1, "exc": 1, "hap": 1, "sur": 1, "oth": 1, "xxx": 2, "fea": 0}
    monkeypatch.setattr(iemocap, "EXPECTED_COUNTS", {**counts, **labels, "dis": surplus})
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        stream(root)
    messages = warnings_with(caplog, "is not the full release")
    assert [message.split(": ", 1)[1] for message in messages] == ["dis 0 instead of 1. It is read as it is."] * surplus


@pytest.mark.parametrize("read", [load, stream])
def test_wrong_label_is_refused_with_file_and_line(root: Path, read: Any) -> None:
    path = label_file(root, "Ses04M_impro03")
    path.write_text(path.read_text().replace("\tsad\t", "\tsob\t"))
    with pytest.raises(CorpusError, match=r"Ses04M_impro03\.txt, line 3: label 'sob' is none of"):
        read(root)


@pytest.mark.parametrize("streaming", [False, True])
def test_wrong_transcript_is_refused_with_file_and_line(root: Path, streaming: bool) -> None:
    path = root / "Session4" / "dialog" / "transcriptions" / "Ses04M_impro03.txt"
    path.write_text(path.read_text() + path.read_text().replace("Gone.", "Here."))
    with pytest.raises(CorpusError, match=r"Ses04M_impro03\.txt, line 3: turn Ses04M_impro03_M000 has other words"):
        list(all_rows(stream(root))) if streaming else load(root)


def test_lines_that_change_no_labelled_turn_are_counted_in_one_warning(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = turns(root)
    transcript = root / "Session5" / "dialog" / "transcriptions" / "Ses05M_script01_1b.txt"
    name = "Ses05M_script01_1b_FXX3"
    extra = f"{name} [000.1000-000.2000]: Mhm.\nM: Yeah.\n{name} [002.6000-002.9000]: Right.\n{name} [broken\n"
    transcript.write_text(extra + transcript.read_text() * 2)
    labels = label_file(root, "Ses05M_script01_1b")
    labels.write_text(labels.read_text() * 2)
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        assert turns(root) == before
        kept = turns(root, other_labels="context")
    assert kept[name]["text"] == "Mhm."
    messages = warnings_with(caplog, "change no labelled turn")
    assert len(messages) == 1
    assert messages[0].startswith("6 repeated or malformed lines of IEMOCAP")


def test_turn_list_defines_the_labelled_turns(root: Path) -> None:
    labels = label_file(root, "Ses01F_impro01")
    # F001 has no majority, but one of its raters chose happiness as a second emotion.
    before, after = labels.read_text().split("Ses01F_impro01_F001", 1)
    labels.write_text(before + "Ses01F_impro01_F001" + after.replace("Neutral;\t()", "Neutral; Happiness;\t()", 1))
    file = root / "list.txt"
    names = ["Ses01F_impro01_F001", "Ses02M_script01_1_M000", "Ses04M_impro03_M000", "Ses05M_script01_1b_F000"]
    file.write_text("\n".join(names))
    rows = turns(root, turn_list=str(file))
    assert {name: row["label"] for name, row in rows.items()} == dict(zip(names, (0, 4, 1, 3), strict=True))
    kept = turns(root, turn_list=str(file), other_labels="context")
    assert (kept["Ses01F_impro01_F000"]["label"], kept["Ses01F_impro01_F001"]["label"]) == (None, 0)
    file.write_text("\n".join([*names, "Ses05M_script01_1b_M000", "Ses05M_script01_1b_M999"]))
    with pytest.raises(CorpusError, match=r"list\.txt: 2 turns \(Ses05M_script01_1b_M000, Ses05M_script01_1b_M999\)"):
        load(root, turn_list=str(file))


def test_changed_turn_list_is_noticed(root: Path) -> None:
    file = root / "list.txt"
    names = ["Ses01F_impro01_F000", "Ses04M_impro03_M000", "Ses05M_script01_1b_F000"]
    file.write_text("\n".join(names))
    assert len(load(root, turn_list=str(file))["train"][0]["utterances"]) == 1
    file.write_text("\n".join([*names, "Ses01F_impro01_F002"]))
    assert len(load(root, turn_list=str(file))["train"][0]["utterances"]) == 2


def test_copies_on_the_hub_are_not_allowed() -> None:
    assert not Iemocap.REDISTRIBUTABLE


def write_recording(path: Path) -> None:
    """Two seconds, loud and then soft: red beside blue in the first, green beside white in the second."""
    av = pytest.importorskip("av")
    colours = [((255, 0, 0), (0, 0, 255)), ((0, 255, 0), (255, 255, 255))]
    path.parent.mkdir(parents=True)
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("mpeg4", rate=10), container.add_stream("pcm_s16le", rate=RATE)
        video.width, video.height, video.pix_fmt, audio.layout = 64, 32, "yuv420p", "mono"
        for number in range(20):
            picture = np.repeat(np.array(colours[number // 10], dtype=np.uint8), 32, axis=0)[None].repeat(32, axis=0)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        tone = np.sin(np.arange(2 * RATE) / 10) * np.repeat([16000, 1600], RATE)
        piece = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], "s16", "mono")
        piece.sample_rate, piece.pts, piece.time_base = RATE, 0, Fraction(1, RATE)
        container.mux(audio.encode(piece))
        container.mux(audio.encode(None))


def test_rows_cut_the_right_moment_and_person_out_of_a_recording(root: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    pytest.importorskip("soxr")
    from modeling_erc.media_erc import load_audio, load_frames

    write_recording(avi_of(root, "Ses01F_impro01"))
    wav = wav_of(root, "Ses01F_impro01_F000")
    wav.parent.mkdir(parents=True)
    soundfile.write(wav, np.sin(np.arange(12000) / 10), RATE)
    rows = turns(root)

    def colour(turn: dict[str, Any]) -> list[int]:
        start, end = turn["video_start"], turn["video_end"]
        frames = load_frames(turn["video_path"], 2, start=start, end=end, half=turn["video_half"])
        assert frames.shape == (2, 32, 32, 3)
        return [round(float(level) / 255) for level in frames[:, :, 4:-4].mean(axis=(0, 1, 2))]

    woman, man = rows["Ses01F_impro01_F000"], rows["Ses01F_impro01_M000"]
    assert colour(woman) == [1, 0, 0]  # first second, left
    assert colour(man) == [1, 1, 1]  # second second, right
    assert colour(turns(root, video_half="marked_right")["Ses01F_impro01_F000"]) == [0, 0, 1]

    own = load_audio(woman["audio_path"], RATE, start=woman["start"], end=woman["end"])
    assert own.shape == (12000,)
    cut = load_audio(man["audio_path"], RATE, start=man["start"], end=man["end"])
    assert cut.shape == (RATE,)
    assert np.abs(cut).max() == pytest.approx(1600 / 32768, rel=0.01)
