"""Labels of a table: which cells are classes, which stand for no label, and how they are renamed."""

import logging
from pathlib import Path
from typing import Any

import pytest

from datasets_scripts import CorpusError, label_names
from datasets_scripts.table import Table
from tests.datasets_scripts.small_tables import PLAIN, load, turns, write


def test_single_and_absent_classes_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        {**PLAIN[0], "dialogue_id": "a", "split": "train"},
        {**PLAIN[1], "dialogue_id": "b", "split": "dev"},
        {**PLAIN[0], "dialogue_id": "c", "split": "test", "label": "-1"},
    ]
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        load(write(tmp_path / "t.csv", rows), tmp_path)
        load(write(tmp_path / "u.csv", rows[:1]), tmp_path)
    assert "t.csv: train has no utterance of calm; dev has no utterance of glad; no utterance of test is" in caplog.text
    assert "u.csv: there is only one class, glad" in caplog.text


def test_given_labels_fix_the_order_of_the_classes(tmp_path: Path) -> None:
    data = load(write(tmp_path / "t.csv", PLAIN), tmp_path, labels=["glad", "sad", "calm"])
    assert label_names(data) == ["glad", "sad", "calm"]
    assert [turn["label"] for turn in turns(data)] == [0, 2]


def test_numbers_as_labels_are_names(tmp_path: Path) -> None:
    rows = [{"dialogue_id": "a", "text": "Hi.", "label": label} for label in (10, 9)]
    assert label_names(load(write(tmp_path / "t.jsonl", rows), tmp_path)) == ["10", "9"]
    with pytest.raises(CorpusError, match=r"row 1: label '10' is none of calm, glad: correct the row, or pass labels"):
        load(tmp_path / "t.jsonl", tmp_path, labels=["calm", "glad"])


@pytest.mark.parametrize("labels", [[0, 1], [False, True], [], "glad"])
def test_labels_that_are_no_list_of_texts_are_refused(tmp_path: Path, labels: Any) -> None:
    path = write(tmp_path / "t.csv", PLAIN)
    with pytest.raises(ValueError, match=r"labels is .*: give a list of texts"):
        load(path, tmp_path, labels=labels)


MARKS = ["", "-1", "-100", "nan", "NaN", "None", "N/A", "null", "XXX", "-1.0", " n/a "]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_marks_of_unlabelled_utterances_are_no_classes(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"dialogue_id": "a", "text": "Hi.", "label": label} for label in ("joy", *MARKS, "sad")]
    path = write(tmp_path / f"t{suffix}", rows)
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        data = load(path, tmp_path)
    assert label_names(data) == ["joy", "sad"]
    assert [turn["label"] for turn in turns(data)] == [0, *[None] * len(MARKS), 1]
    assert "-1 (1), -1.0 (1), -100 (1), N/A (1), NaN (1)" in caplog.text
    assert "are read as unlabelled; give labels if they are classes" in caplog.text


def test_mark_that_labels_names_is_a_class(tmp_path: Path) -> None:
    rows = [{"dialogue_id": "a", "text": "Hi.", "label": label} for label in ("-1", "0", "1", "None")]
    data = load(write(tmp_path / "t.csv", rows), tmp_path, labels=["-1", "0", "1"])
    assert [turn["label"] for turn in turns(data)] == [0, 1, 2, None]


@pytest.mark.parametrize(
    "labels",
    [[1.2, -2.0, 0.0], ["0,5", "1,5", "joy"], [-3, -2, 0, 1], ["1e-3", 0, 1], [f"class {n}" for n in range(41)]],
)
def test_strengths_are_refused_as_classes(tmp_path: Path, labels: list[Any]) -> None:
    rows = [{"dialogue_id": "a", "text": "Hi.", "mood": label, "annotation": "ok"} for label in labels]
    path = write(tmp_path / "t.csv", rows)
    with pytest.raises(CorpusError, match=r"t\.csv: column mood has .* a strength\? name the label column"):
        load(path, tmp_path, columns={"label": "mood"})
    assert label_names(load(path, tmp_path, columns={"label": "annotation"})) == ["ok"]


def test_spellings_that_differ_in_case_or_space_are_one_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spellings = ["Happy", "happy", "happy ", "HAPPY", "no emotion", "No  Emotion", "noemotion"]
    rows = [{"dialogue_id": "a", "text": "Hi.", "label": label} for label in spellings]
    path = write(tmp_path / "t.csv", rows)
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        data = load(path, tmp_path)
    assert label_names(data) == ["happy", "noemotion"]
    assert [turn["label"] for turn in turns(data)] == [0] * 4 + [1] * 3
    assert "labels are read as classes: HAPPY (1), Happy (1) as happy; " in caplog.text
    assert label_names(load(path, tmp_path, labels=["No Emotion", "Happy"])) == ["No Emotion", "Happy"]


def test_whole_numbers_written_as_decimals_are_one_class(tmp_path: Path) -> None:
    rows = [{"dialogue_id": "a", "text": "Hi.", "label": label} for label in ("0.0", "1.0", "1", "")]
    data = load(write(tmp_path / "t.csv", rows), tmp_path)
    assert (label_names(data), [turn["label"] for turn in turns(data)]) == (["0", "1"], [0, 1, 1, None])


def test_label_map_renames_joins_and_drops_labels(tmp_path: Path) -> None:
    rows = [{"dialogue_id": "a", "text": "Hi.", "label": label} for label in ("Freude", "joy", 0, "-1", "other", 0.5)]
    label_map: Any = {"freude": "joy", 0: "anger", "-1": "fear", "Other": None, "0.5": None}
    data = load(write(tmp_path / "t.csv", rows), tmp_path, label_map=label_map)
    assert label_names(data) == ["anger", "fear", "joy"]
    assert [turn["label"] for turn in turns(data)] == [2, 2, 0, 1, None, None]
    with pytest.raises(ValueError, match=r"label_map is .*: give a class name, as text, for each label"):
        load(tmp_path / "t.csv", tmp_path, label_map={"0": 1})


def test_classes_of_a_table_map_to_shared_emotions_by_their_usual_names(tmp_path: Path) -> None:
    rows = [{"dialogue_id": "a", "text": "Hi.", "label": label} for label in ("Angry", "happy", "sad", "bored", "fear")]
    shared = Table(write(tmp_path / "t.csv", rows), tmp_path).label_set.shared
    assert shared == {"Angry": "anger", "happy": "joy", "sad": "sadness", "bored": None, "fear": "fear"}
