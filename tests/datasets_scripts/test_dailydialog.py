import logging
import os
from pathlib import Path
from typing import Any

import pytest

from datasets_scripts import CorpusError, label_names
from datasets_scripts.dailydialog import DailyDialog

TEXTS = ["Hi , Jim . __eou__ It \u2019 s you ! __eou__ Yes . __eou__", "Well ? __eou__ No . __eou__"]
EMOTIONS = ["0 6 4 ", "5 1 "]
FOLDERS = {"train": "train", "dev": "validation", "test": "test"}


def write(folder: Path, texts: list[str], emotions: list[str], end: str = "\n") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for kind, lines in {"dialogues": texts, "dialogues_emotion": emotions}.items():
        (folder / f"{kind}_{folder.name}.txt").write_bytes("".join(line + end for line in lines).encode())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in FOLDERS.values():
        write(tmp_path / "dailydialog" / folder, TEXTS, EMOTIONS)
    return tmp_path / "dailydialog"


def load(root: Path, **options: Any) -> Any:
    builder = DailyDialog(data_dir=root, cache_dir=root.parent / "cache", **options)
    builder.download_and_prepare()
    return builder.as_dataset()


def test_line_is_a_dialogue_of_two_who_take_turns(root: Path) -> None:
    splits = load(root)
    names = label_names(splits)
    assert {split: rows["dialogue_id"][:] for split, rows in splits.items()} == {
        split: [f"{split}_1", f"{split}_2"] for split in FOLDERS
    }
    turns = splits["dev"][0]["utterances"]
    assert [(t["utterance_id"], t["speaker"], t["text"], names[t["label"]]) for t in turns] == [
        ("0", "A", "Hi , Jim .", "no emotion"),
        ("1", "B", "It ' s you !", "surprise"),
        ("2", "A", "Yes .", "happiness"),
    ]


def test_text_normalization_is_a_setting(root: Path) -> None:
    assert load(root, normalize_text=False)["train"][0]["utterances"][1]["text"] == "It \u2019 s you !"


@pytest.mark.parametrize("nested", [True, False])
def test_zips_unpacked_into_folders_or_into_one_are_found(root: Path, nested: bool) -> None:
    for folder in FOLDERS.values():
        target = root / folder / folder if nested else root
        target.mkdir(exist_ok=True)
        for file in list((root / folder).glob("*.txt")):
            file.rename(target / file.name)
    assert len(load(root)["dev"]) == 2


def test_line_ends_marks_and_empty_lines_at_the_end_leave_no_trace(root: Path) -> None:
    expected = list(load(root)["train"])
    write(root / "train", ["\ufeff" + TEXTS[0], TEXTS[1], "", ""], EMOTIONS, end="\r\n")
    assert list(load(root)["train"]) == expected
    assert list(DailyDialog(root, root.parent).as_streaming_dataset()["train"]) == expected


def test_broken_line_is_left_out_with_a_warning_and_the_others_keep_their_numbers(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(root / "train", [TEXTS[0], "Oh , __eou__ no", "", *TEXTS], [EMOTIONS[0], "0 0 0", "1", *EMOTIONS])
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        assert load(root)["train"]["dialogue_id"][:] == ["train_1", "train_4", "train_5"]
    messages = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(messages) == 1
    assert "dialogues_train.txt: 2 dialogues are left out" in messages[0]
    assert "line 2: 2 utterances, 3 emotions; line 3: 0 utterances, 1 emotions" in messages[0]


def test_files_that_do_not_match_are_refused(root: Path) -> None:
    write(root / "test", [TEXTS[0]] * 11, [EMOTIONS[1]] * 11)
    with pytest.raises(CorpusError, match=r"dialogues_test\.txt and .*: line 1: 3 utterances, 2 emotions; line 2"):
        load(root)


@pytest.mark.parametrize(
    ("texts", "emotions", "message"),
    [
        (TEXTS, [EMOTIONS[0], "5 7 "], r"dialogues_emotion_train\.txt, line 2: emotion '7' is no number from 0 to 6"),
        (TEXTS, [EMOTIONS[0], "5 happy"], r"line 2: emotion 'happy' is no number"),
        (TEXTS, EMOTIONS[:1], r"dialogues_emotion_train\.txt ends before line 2 of dialogues_train\.txt"),
        (TEXTS, [*EMOTIONS, "0 0"], r"dialogues_train\.txt ends before line 3 of dialogues_emotion_train\.txt"),
    ],
)
def test_bad_line_is_refused_with_file_line_and_value(
    root: Path, texts: list[str], emotions: list[str], message: str
) -> None:
    write(root / "train", texts, emotions)
    with pytest.raises(CorpusError, match=message):
        load(root)


def test_unknown_encoding_is_refused(root: Path) -> None:
    (root / "test" / "dialogues_test.txt").write_bytes(b"Hi \x81 , Jim . __eou__")
    with pytest.raises(CorpusError, match=r"dialogues_test\.txt is no text in UTF-8"):
        load(root)


def test_message_lists_the_zip_that_was_not_unpacked(root: Path) -> None:
    for file in (root / "validation").iterdir():
        file.unlink()
    (root / "validation").rmdir()
    (root / "validation.zip").write_bytes(b"")
    message = r"needs validation/dialogues_validation\.txt .* holds .*validation\.zip\. Unpack"
    with pytest.raises(FileNotFoundError, match=message):
        load(root)


@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_split_without_a_dialogue_is_refused(root: Path, texts: list[str]) -> None:
    write(root / "train", texts, texts)
    with pytest.raises(CorpusError, match=r"dialogues_train\.txt has no dialogue"):
        load(root)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_named(root: Path) -> None:
    (root / "test" / "dialogues_emotion_test.txt").chmod(0)
    with pytest.raises(CorpusError, match=r"dialogues_emotion_test\.txt cannot be read \(Permission denied\)"):
        load(root)
