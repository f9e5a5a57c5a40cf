"""Splits of a table: drawn by seed and without a common speaker, or read under other names."""

import logging
from pathlib import Path
from typing import Any

import pytest

from datasets_scripts import CorpusError, DialogueRows
from tests.datasets_scripts.small_tables import PLAIN, Cells, load, turns, write


def clips(count: int, groups: int = 0, **cells: Any) -> list[Cells]:
    """Dialogues of two speakers, who are the same in dialogues n and n + `groups`."""
    return [
        {
            "dialogue_id": f"d{n:02d}",
            "speaker": f"{n % groups if groups else n}-{turn}",
            "text": "Hi.",
            "label": ("calm", "glad")[turn],
            **cells,
        }
        for n in range(count)
        for turn in range(2)
    ]


def split_ids(data: Any) -> dict[str, list[str]]:
    return {split: rows["dialogue_id"][:] for split, rows in data.items()}


def test_missing_dev_and_test_are_drawn_by_seed_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "t.csv", clips(12))
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        data = load(path, tmp_path)
    assert {split: len(ids) for split, ids in split_ids(data).items()} == {"train": 9, "dev": 1, "test": 2}
    assert sorted(name for ids in split_ids(data).values() for name in ids) == [f"d{n:02d}" for n in range(12)]
    note = "test and dev drawn by seed 0, dialogue-disjoint: test 2, dev 1, train 9 dialogues"
    assert note in caplog.text
    assert DialogueRows(data["dev"]).split_note == note
    other = split_ids(load(path, tmp_path, split_seed=1, test_share=0.25, dev_share=0.25))
    assert {split: len(ids) for split, ids in other.items()} == {"train": 6, "dev": 3, "test": 3}
    assert list(load(path, tmp_path, split_by="none")) == ["train"]


def test_only_missing_splits_are_drawn(tmp_path: Path) -> None:
    test = [{**row, "dialogue_id": f"t{row['dialogue_id']}"} for row in clips(4, split="Test1")]
    found = split_ids(load(write(tmp_path / "t.csv", clips(10, split="train") + test), tmp_path))
    assert (len(found["train"]), len(found["dev"])) == (9, 1)
    assert found["test"] == ["td00", "td01", "td02", "td03"]
    assert list(load(write(tmp_path / "u.csv", clips(9, split="test")), tmp_path)) == ["test"]


def test_splits_are_drawn_out_of_the_training_file(tmp_path: Path) -> None:
    write(tmp_path / "talks" / "train.csv", clips(10))
    write(tmp_path / "talks" / "test.csv", clips(2))
    found = split_ids(load(tmp_path / "talks", tmp_path))
    assert {split: len(ids) for split, ids in found.items()} == {"train": 9, "dev": 1, "test": 2}
    assert found["dev"][0].startswith("train_")


def test_draw_is_disjoint_by_speakers_that_repeat(tmp_path: Path) -> None:
    data = load(write(tmp_path / "t.csv", clips(30, groups=10)), tmp_path)
    train, dev, test = ({turn["speaker"] for turn in turns(data, split)} for split in ("train", "dev", "test"))
    assert train and dev and test
    assert not (train & dev or train & test or dev & test)
    assert "speaker-disjoint: test 6, dev 3, train 21" in data["train"].info.description


def test_speakers_of_all_dialogues_leave_a_draw_by_dialogue_unless_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", clips(12, groups=1))
    description = load(path, tmp_path)["train"].info.description
    assert "dialogue-disjoint, with speakers that may occur in several splits" in description
    with pytest.raises(CorpusError, match=r"t\.csv: split_by is speaker, but the 12 training dialogues form 1 groups"):
        load(path, tmp_path, split_by="speaker")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("split_by", "session", "choose one of auto, dialogue, speaker, none"),
        ("dev_share", 0.7, r"both are above 0 and below 0\.5|choose above 0, below 0\.5"),
        ("split_map", {"a": "eval"}, "its values are train, dev and test"),
    ],
)
def test_wrong_options_of_the_draw_are_refused(tmp_path: Path, option: str, value: Any, message: str) -> None:
    path = write(tmp_path / "t.csv", PLAIN)
    with pytest.raises(ValueError, match=message):
        load(path, tmp_path, **{option: value})


def test_split_map_reads_other_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["fold 1", "Fold 2", "3", "Development"]
    path = write(tmp_path / "t.csv", [{**PLAIN[0], "dialogue_id": name, "split": name} for name in names])
    split_map: Any = {"Fold 1": "train", "fold 2": "train", 3: "test"}
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        data = load(path, tmp_path, split_map=split_map)
    assert split_ids(data) == {"train": names[:2], "dev": names[3:], "test": names[2:3]}
    assert "splits are read as fold 1 = train, Fold 2 = train, 3 = test, Development = dev" in caplog.text
    with pytest.raises(CorpusError, match=r"split 'fold 1' is none of train, .* pass split_map"):
        load(path, tmp_path)


def test_names_of_files_may_contain_the_split(tmp_path: Path) -> None:
    for name in ("talks_trn.csv", "talks-development.csv", "Test1.csv"):
        write(tmp_path / "talks" / name, PLAIN)
    assert list(load(tmp_path / "talks", tmp_path)) == ["train", "dev", "test"]
