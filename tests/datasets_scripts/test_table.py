import datetime
import logging
from pathlib import Path

import pytest

from datasets_scripts import CorpusError, label_names
from datasets_scripts.table import Table
from tests.datasets_scripts.small_tables import PLAIN, Cells, load, turns, write

ROWS: list[Cells] = [
    {"dialogue_id": "a", "speaker": "Ann", "text": "Hi, Bo.", "label": "glad", "start": 0.5, "end": 2},
    {"dialogue_id": "a", "speaker": "Bo", "text": None, "label": None, "start": None, "end": None},
    {"dialogue_id": "b", "speaker": "Ann", "text": "Oh\u2026", "label": "calm", "start": 3, "end": None},
]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".jsonl", ".parquet"])
@pytest.mark.parametrize("streaming", [False, True])
def test_all_formats_give_the_same_dialogues(tmp_path: Path, suffix: str, streaming: bool) -> None:
    path = write(tmp_path / f"talk{suffix}", ROWS)
    data = Table(path, tmp_path).as_streaming_dataset() if streaming else load(path, tmp_path)
    assert label_names(data) == ["calm", "glad"]
    assert [(row["dialogue_id"], len(row["utterances"])) for row in data["train"]] == [("a", 2), ("b", 1)]
    columns = ("utterance_id", "speaker", "text", "audio_path", "video_path", "start", "end", "label")
    assert [tuple(turn[column] for column in columns) for turn in turns(data)] == [
        ("0", "Ann", "Hi, Bo.", None, None, 0.5, 2.0, 1),
        ("1", "Bo", None, None, None, None, None, None),
        ("0", "Ann", "Oh\u2026", None, None, 3.0, None, 0),
    ]


def test_columns_of_other_names_are_mapped(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [{"Scene": 1, "Line": "Hi.", "text": "wrong", "Mood": "glad"}])
    data = load(path, tmp_path, columns={"dialogue_id": "Scene", "text": "Line", "label": "Mood"})
    assert (data["train"][0]["dialogue_id"], turns(data)[0]["text"]) == ("1", "Hi.")


def test_columns_are_found_in_other_spellings(tmp_path: Path) -> None:
    rows = [{"Dialogue_ID": "a", "SPEAKER": "Ann", "Text": "Hi.", "Label": "glad", "Start": 1, "END": 2}]
    turn = turns(load(write(tmp_path / "t.csv", rows), tmp_path))[0]
    assert (turn["speaker"], turn["text"], turn["start"], turn["end"]) == ("Ann", "Hi.", 1.0, 2.0)
    # The exact name takes precedence over other spellings.
    both = [{"dialogue_id": "a", "Text": "wrong", "text": "Hi.", "label": "glad"}]
    assert turns(load(write(tmp_path / "u.csv", both), tmp_path))[0]["text"] == "Hi."


def test_file_without_splits_is_all_training(tmp_path: Path) -> None:
    assert list(load(write(tmp_path / "t.csv", PLAIN), tmp_path)) == ["train"]


def test_split_column_makes_the_splits_that_occur(tmp_path: Path) -> None:
    named = [{**PLAIN[0], "dialogue_id": name, "split": name} for name in ("Valid", "test", "val", "dev")]
    data = load(write(tmp_path / "t.jsonl", named), tmp_path)
    assert {split: rows["dialogue_id"][:] for split, rows in data.items()} == {
        "dev": ["Valid", "val", "dev"],
        "test": ["test"],
    }


def test_folder_of_a_file_a_split_may_repeat_dialogue_ids(tmp_path: Path) -> None:
    write(tmp_path / "talks" / "train.csv", PLAIN)
    write(tmp_path / "talks" / "validation.jsonl", PLAIN[:1])
    write(tmp_path / "talks" / "speakers.csv", [{"name": "Ann"}])
    (tmp_path / "talks" / "._test.csv").write_bytes(b"\0\5\x16\7")
    data = load(tmp_path / "talks", tmp_path, split_by="none")
    assert {split: rows["dialogue_id"][:] for split, rows in data.items()} == {
        "train": ["train_a", "train_b"],
        "dev": ["dev_a"],
    }


def test_folder_of_one_table_is_that_table(tmp_path: Path) -> None:
    write(tmp_path / "talks" / "mine.csv", PLAIN)
    (tmp_path / "talks" / "notes.txt").write_text("notes")
    (tmp_path / "talks" / "about.json").write_text("{}")
    assert load(tmp_path / "talks", tmp_path)["train"]["dialogue_id"][:] == ["a", "b"]


def test_order_sorts_the_utterances_of_a_dialogue(tmp_path: Path) -> None:
    rows = [{"dialogue_id": "a", "text": text, "order": order} for text, order in [("c", 10), ("b", 9), ("a", -1.5)]]
    data = load(write(tmp_path / "t.csv", rows), tmp_path, labels=["calm"])
    assert [(turn["utterance_id"], turn["text"]) for turn in turns(data)] == [("0", "a"), ("1", "b"), ("2", "c")]


def test_whole_number_ids_that_run_backwards_order_a_dialogue(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ids = {"a": ["2", "0", "1"], "b": ["0", "1"], "c": ["10.0", "9.0"], "d": ["u2", "u1"], "e": ["1", "x", "0"]}
    rows = [
        {"dialogue_id": dialogue, "utterance_id": number, "text": f"{dialogue} {number}", "label": "glad"}
        for dialogue, numbers in ids.items()
        for number in numbers
    ]
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        data = load(write(tmp_path / "t.csv", rows), tmp_path, split_by="none")
    found = {row["dialogue_id"]: [turn["utterance_id"] for turn in row["utterances"]] for row in data["train"]}
    assert found == {**ids, "a": ["0", "1", "2"], "c": ["9.0", "10.0"]}
    assert "utterance_id runs backwards in 2 dialogues (a, c), which are ordered by it; map a column" in caplog.text
    assert "as order where that is wrong" in caplog.text


def test_column_order_takes_precedence_over_ids_that_run_backwards(tmp_path: Path) -> None:
    rows = [{"dialogue_id": "a", "utterance_id": 2 - n, "order": n, "text": "Hi.", "label": "glad"} for n in range(3)]
    data = load(write(tmp_path / "t.csv", rows), tmp_path)
    assert [turn["utterance_id"] for turn in turns(data)] == ["2", "1", "0"]


REMEDY = "map the column of the speakers"


@pytest.mark.parametrize(
    ("speakers", "message"),
    [
        (
            [f"Ses01F_impro01_F{n:03d}" for n in range(6)],
            "each of the 6 utterances has its own speaker (Ses01F_impro01",
        ),
        (["Ann"] * 6, "all 6 utterances have the same speaker 'Ann', so that the model sees one speaker"),
        ([""] * 6, "speaker is empty, so that the model sees one speaker"),
        (["Ann", "Bo"] * 3, None),
    ],
)
def test_speakers_that_cannot_be_right_are_reported(
    tmp_path: Path, speakers: list[str], message: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{**PLAIN[0], "dialogue_id": f"d{n // 3}", "speaker": speaker} for n, speaker in enumerate(speakers)]
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        load(write(tmp_path / "t.csv", rows), tmp_path)
    assert message in caplog.text if message else REMEDY not in caplog.text


def test_single_clips_need_no_repeated_speakers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{**PLAIN[0], "dialogue_id": f"d{n}", "speaker": f"s{n}"} for n in range(6)]
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        load(write(tmp_path / "t.csv", rows), tmp_path)
    assert REMEDY not in caplog.text


@pytest.mark.parametrize(
    ("columns", "cells", "expected"),
    [
        (("start", "end"), ("00:16:16,059", "00:16:21,731"), (976.059, 981.731)),
        (("start", "end"), ("1:02.5", "1:04"), (62.5, 64.0)),
        (("start", "end"), ("2,5", "3 s"), (2.5, 3.0)),
        (("start_ms", "end_ms"), ("20", "70"), (0.02, 0.07)),
        (("start", "end"), ("2500", "4000"), (2.5, 4.0)),
        (("start", "end"), ("25", "40"), (25.0, 40.0)),
        (("start", "end"), ("2500.5", "4000.5"), (2500.5, 4000.5)),
    ],
)
def test_times_of_every_usual_form_are_seconds(
    tmp_path: Path, columns: tuple[str, str], cells: tuple[str, str], expected: tuple[float, float]
) -> None:
    rows = [{"dialogue_id": "a", "text": "Hi.", "label": "glad", columns[0]: cells[0], columns[1]: cells[1]}]
    mapped = dict(zip(("start", "end"), columns, strict=True))
    turn = turns(load(write(tmp_path / "t.csv", rows), tmp_path, columns=mapped))[0]
    assert (turn["start"], turn["end"]) == expected


def test_parquet_times_are_read_as_seconds(tmp_path: Path) -> None:
    row = {"dialogue_id": "a", "text": "Hi.", "label": "glad", "start": datetime.timedelta(seconds=1.5), "end": None}
    late = {**row, "start": datetime.timedelta(seconds=3), "end": datetime.timedelta(minutes=1)}
    data = load(write(tmp_path / "t.parquet", [row, late]), tmp_path)
    assert [(turn["start"], turn["end"]) for turn in turns(data)] == [(1.5, None), (3.0, 60.0)]


def test_half_a_character_does_not_stop_a_table(tmp_path: Path) -> None:
    row = {"dialogue_id": "a", "text": "Hi \ud83d", "speaker": "\ude00", "label": "glad"}
    turn = turns(load(write(tmp_path / "t.jsonl", [row]), tmp_path))[0]
    assert (turn["text"], turn["speaker"]) == ("Hi ?", "?")


def test_text_normalization_is_a_setting(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", ROWS)
    assert turns(load(path, tmp_path, normalize_text=True))[2]["text"] == "Oh..."


def test_nan_and_blank_cells_are_empty(tmp_path: Path) -> None:
    row = {"dialogue_id": "a", "text": " ", "audio": "", "label": "glad", "start": float("nan"), "end": None}
    data = load(write(tmp_path / "t.parquet", [row, {**row, "text": "Hi."}]), tmp_path)
    assert [(turn["text"], turn["audio_path"], turn["start"]) for turn in turns(data)] == [
        (None, None, None),
        ("Hi.", None, None),
    ]


def test_range_of_no_length_is_left_to_the_media_layer(tmp_path: Path) -> None:
    row = {"dialogue_id": "a", "text": "Hi.", "label": "glad", "start": 2, "end": 1}
    assert turns(load(write(tmp_path / "t.csv", [row]), tmp_path))[0]["end"] == 1.0


def media_table(folder: Path) -> Path:
    write(folder / "t.csv", [{"dialogue_id": "a", "audio": f"clips/{n}.wav", "label": "glad"} for n in range(5)])
    (folder / "clips").mkdir(exist_ok=True)
    (folder / "clips" / "0.wav").write_bytes(b"")
    return folder / "t.csv"


def test_media_paths_start_from_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media_table(tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    data = load(Path("here/t.csv"), tmp_path)
    clip = str(tmp_path / "here" / "clips" / "0.wav")
    assert [turn["audio_path"] for turn in turns(data)] == [clip, None, None, None, None]


def test_media_paths_start_from_media_dir_or_are_absolute(tmp_path: Path) -> None:
    media_table(tmp_path / "there")
    clip = tmp_path / "there" / "clips" / "0.wav"
    rows = [{"dialogue_id": "a", "audio": "clips/0.wav", "video": str(clip), "label": "glad"}]
    turn = turns(load(write(tmp_path / "t.csv", rows), tmp_path, media_dir=str(tmp_path / "there")))[0]
    assert (turn["audio_path"], turn["video_path"]) == (str(clip), str(clip))


@pytest.mark.parametrize("streaming", [False, True])
def test_missing_media_are_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture, streaming: bool) -> None:
    path = media_table(tmp_path)
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        list((Table(path, tmp_path).as_streaming_dataset() if streaming else load(path, tmp_path))["train"])
    messages = [record.getMessage() for record in caplog.records if "split train" in record.getMessage()]
    named = ", ".join(str(tmp_path / "clips" / f"{number}.wav") for number in (1, 2, 3))
    assert f"{path}, split train: 4 files are not there, {named}, ..." in messages[0]
    # There is no text and no video to miss.
    assert [text for text in messages[1:] if "text" in text or "video" in text] == []


def test_medium_that_appears_or_vanishes_is_noticed(tmp_path: Path) -> None:
    path = media_table(tmp_path)

    def there() -> list[bool]:
        return [turn["audio_path"] is not None for turn in turns(load(path, tmp_path))]

    assert there() == [True, False, False, False, False]
    (tmp_path / "clips" / "1.wav").write_bytes(b"")
    assert there() == [True, True, False, False, False]
    (tmp_path / "clips" / "0.wav").unlink()
    assert there() == [False, True, False, False, False]


def test_second_load_reads_the_cache_and_another_mapping_does_not(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [{"dialogue_id": "a", "text": "Hi.", "other": "Oh.", "label": "glad"}])
    files = [load(path, tmp_path)["train"].cache_files[0]["filename"] for _ in range(2)]
    assert files[0] == files[1]
    assert turns(load(path, tmp_path, columns={"text": "other"}))[0]["text"] == "Oh."


def test_stream_yields_a_dialogue_before_the_next_one_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [{**PLAIN[0], "end": ""}, {**PLAIN[1], "end": "soon"}])
    rows = iter(Table(path, tmp_path).as_streaming_dataset()["train"])
    assert next(rows)["dialogue_id"] == "a"
    with pytest.raises(CorpusError, match="row 3: end 'soon' is no time"):
        next(rows)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([{"dialogue_id": ""}], r"row 3 has no dialogue_id, .* columns are dialogue_id, utterance_id, order"),
        ([{"utterance_id": "u0", "text": "Ho."}], r"row 3: dialogue 'a', utterance_id u0 stands in row 2 already"),
        ([{"order": ""}], r"row 3 has no order, as others of its dialogue have"),
        ([{"order": "first"}], r"row 3: order 'first' is no number"),
        ([{"start": "0:01:xx"}], r"row 3: start '0:01:xx' is no time: write seconds, like 12\.5"),
        ([{"end": "inf"}], r"row 3: end 'inf' is no time"),
        ([{"split": "holdout"}], r"row 3: split 'holdout' is none of train, dev"),
        ([{"split": ""}], r"row 3: split None is none of train, dev"),
        ([{"split": "dev"}], r"row 3: split is dev here and train in row 2 of the same dialogue"),
        ([{"dialogue_id": "b"}, {}], r"row 4: dialogue 'a' comes back after it ended in row 2; .* sort the file"),
        ([{"label": "rage"}], r"row 3: label 'rage' is none of glad: correct the row, or pass"),
    ],
)
def test_bad_row_is_refused_with_file_row_and_value(tmp_path: Path, cells: list[Cells], message: str) -> None:
    good = {"dialogue_id": "a", "utterance_id": "u0", "order": 0, "text": "Hi.", "start": 1, "end": 2}
    good |= {"label": "glad", "split": "train"}
    rows = [good, *({**good, "utterance_id": f"u{n}", **changed} for n, changed in enumerate(cells, start=1))]
    with pytest.raises(CorpusError, match=rf"t\.csv, {message}"):
        load(write(tmp_path / "t.csv", rows), tmp_path, labels=["glad"])


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_missing_column_is_named_with_those_of_the_file(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"t{suffix}", PLAIN)
    with pytest.raises(
        CorpusError, match=r"no column words; found dialogue_id, text, label, needed dialogue_id, words"
    ):
        load(path, tmp_path, columns={"text": "words"})
    with pytest.raises(ValueError, match=r"columns maps words: its keys are among dialogue_id, utterance_id, .*split"):
        load(path, tmp_path, columns={"words": "text"})
    with pytest.raises(ValueError, match=r"columns maps text to no text"):
        load(path, tmp_path, columns={"text": None})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "a", "text": "Hi."}, "no column dialogue_id; found id, text"),
        ({"dialogue_id": "a", "text": "", "label": "glad"}, "no row has text, audio or video"),
        ({"dialogue_id": "a", "text": "Hi.", "label": ""}, "no row has a label: map it, .* or pass labels"),
    ],
)
def test_table_of_nothing_to_learn_from_is_refused(tmp_path: Path, row: Cells, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        load(write(tmp_path / "t.csv", [row]), tmp_path)


HEAD = b"dialogue_id,text,label\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "no column dialogue_id; found none"),
        ("t.csv", HEAD, "has a header and no rows"),
        ("t.csv", HEAD + b"a,caf\x81 au lait,glad\n", "is no text in UTF-8, UTF-16, cp1252 or gb18030 .*: save it"),
        ("t.csv", b"PK\x03\x04", "is a spreadsheet of Excel or another archive: save it as CSV"),
        ("t.json", b'[{"dialogue_id": "a", "te', "is no JSON"),
        ("t.json", b'{"a": [], "b": []}', "is no list of JSON objects"),
        ("t.json", b"[]", "has no rows"),
        ("t.csv", HEAD + b"a,Hi.,glad\na,Hi", "row 3 ends before label"),
        ("t.csv", HEAD + b"a,Well, no.,glad\n", "row 2 has more cells than the header"),
        ("t.csv", HEAD.replace(b"label", b"text"), "two columns are called text"),
        ("t.jsonl", b"\n", "has no rows"),
        ("t.jsonl", b'{"dialogue_id": "a", "text": "Hi.", "label": "x"}\n{"dialogue_id": "a", "te', "row 2 is no JSON"),
        ("t.jsonl", b'["a", "Hi."]\n', "is no list of JSON objects"),
        (
            "t.jsonl",
            b'{"dialogue_id": ["a"], "text": "Hi.", "label": 1}',
            r"row 1: dialogue_id is .*'a'.*, neither text",
        ),
        ("t.jsonl", b"\xff\xfe{}\n", "is no text in utf-16"),
        ("t.parquet", b"PAR1 and then nothing", "cannot be read as parquet"),
        ("t.xlsx", b"PK", r"is no table: its name has to end with one of \.csv"),
    ],
)
def test_broken_file_is_refused_by_name(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=rf"{name}.* {message}|{name}: {message}"):
        load(tmp_path / name, tmp_path)


def test_byte_order_mark_and_crlf_leave_no_trace(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + HEAD.replace(b"\n", b"\r\n") + b"a,Hi.,glad\r\n\r\n")
    (tmp_path / "u.jsonl").write_bytes(b'\xef\xbb\xbf{"dialogue_id": "a", "text": "Hi.", "label": "glad"}\r\n\r\n')
    assert list(load(tmp_path / "t.csv", tmp_path)["train"]) == list(load(tmp_path / "u.jsonl", tmp_path)["train"])


def test_folders_that_leave_a_choice_or_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "loop").symlink_to(tmp_path / "empty" / "loop")
    (tmp_path / "empty" / "notes.txt").write_text("notes")
    with pytest.raises(FileNotFoundError, match=r"no table \(.*\) in .*, which holds loop, notes\.txt"):
        load(tmp_path / "empty", tmp_path)
    for name in ("one.csv", "two.csv"):
        write(tmp_path / "several" / name, PLAIN)
    with pytest.raises(CorpusError, match=r"holds one\.csv, two\.csv: name them train, dev and test"):
        load(tmp_path / "several", tmp_path)
    for name in ("dev.csv", "val.csv"):
        write(tmp_path / "twice" / name, PLAIN)
    with pytest.raises(CorpusError, match=r"val\.csv and dev\.csv are both of split dev"):
        load(tmp_path / "twice", tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere", tmp_path)


def test_row_that_contradicts_the_name_of_its_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "talks" / "train.csv", [{**PLAIN[0], "split": "test"}])
    with pytest.raises(CorpusError, match=r"train\.csv, row 2: split 'test' in the file of train"):
        load(tmp_path / "talks", tmp_path)
