"""Splits of IEMOCAP: sessions, seeded dev dialogues, and the published counts."""

from pathlib import Path
from typing import Any

import pytest

from datasets_scripts import CorpusError
from datasets_scripts.iemocap import CLASSES, EXPECTED_COUNTS, Iemocap, IemocapConfig
from tests.datasets_scripts.small_iemocap import (
    label_file,
    load,
    stream,
    wav_of,
    write_dialogue,
    write_empty,
    write_release,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_release(tmp_path / "IEMOCAP_full_release")


@pytest.fixture(scope="module")
def full_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """151 dialogues of one turn: 120 in sessions 1 to 4, 31 in session 5."""
    folder = tmp_path_factory.mktemp("full")
    for session, count in {1: 28, 2: 30, 3: 32, 4: 30, 5: 31}.items():
        for number in range(count):
            write_dialogue(folder, f"Ses0{session}F_impro{number:02d}", [("F000", 0.0, 1.0, "neu", "Hm.")])
    return folder


def test_published_counts_agree_with_each_other() -> None:
    labels = {name: count for name, count in EXPECTED_COUNTS.items() if len(name) == 3}
    assert sum(labels.values()) == EXPECTED_COUNTS["labelled turns"]
    for setting, classes in CLASSES.items():
        assert sum(labels[label] for label in classes) == EXPECTED_COUNTS[f"{setting} turns"]


@pytest.mark.parametrize(("dev_dialogues", "train"), [(12, 108), (20, 100)])
def test_seeded_dev_split_is_taken_out_of_sessions_one_to_four(
    full_tree: Path, tmp_path: Path, dev_dialogues: int, train: int
) -> None:
    def ids(**options: Any) -> dict[str, set[str]]:
        splits = stream(full_tree, dev_dialogues=dev_dialogues, **options)
        return {split: {row["dialogue_id"] for row in rows} for split, rows in splits.items()}

    first = ids()
    assert {split: len(names) for split, names in first.items()} == {"train": train, "dev": dev_dialogues, "test": 31}
    assert len(set.union(*first.values())) == 151
    assert {name[:5] for name in first["test"]} == {"Ses05"}
    assert ids(setting="4way") == first
    other = ids(dev_seed=1)
    assert other["dev"] != first["dev"]
    assert other["test"] == first["test"]


@pytest.mark.parametrize("session", [1, 2, 3, 4, 5])
def test_any_session_can_be_left_out_for_testing(root: Path, session: int) -> None:
    # A scored turn in session 3 too.
    write_dialogue(root, "Ses03F_impro02", [("F000", 0.5, 1.5, "sad", "Hm.")])
    splits = {
        split: {row["dialogue_id"][:5] for row in rows} for split, rows in stream(root, test_session=session).items()
    }
    assert splits["test"] == {f"Ses0{session}"}
    assert splits["train"] | splits["dev"] == {f"Ses0{number}" for number in range(1, 6)} - splits["test"]
    assert len(splits["dev"]) == 1
    assert not splits["train"] & splits["dev"]


def test_split_with_nothing_to_score_is_refused(root: Path) -> None:
    write_dialogue(root, "Ses05M_script01_1b", [("F000", 0.5, 1.5, "xxx", "Out!")])
    with pytest.raises(
        CorpusError, match=r"test would be empty: none of its 1 dialogues \(Ses05M_script01_1b, .* 6way"
    ):
        load(root)


def test_official_split_is_the_default() -> None:
    config = IemocapConfig()
    assert (config.test_session, config.dev_dialogues, config.setting, config.other_labels) == (5, 12, "6way", "drop")


def test_release_without_labels_is_refused_with_what_it_holds(tmp_path: Path) -> None:
    write_empty(wav_of(tmp_path, "Ses01F_impro01_F000"))
    with pytest.raises(FileNotFoundError, match=r"EmoEvaluation/Ses\*\.txt.* it holds Session1"):
        Iemocap(data_dir=tmp_path)


def test_missing_test_session_is_named_with_those_found(root: Path) -> None:
    label_file(root, "Ses05M_script01_1b").unlink()
    with pytest.raises(FileNotFoundError, match=r"test_session is 5 .* of session 1, 2, 3, 4 only"):
        load(root)


@pytest.mark.parametrize(
    ("count", "message"), [(4, "4 of 4 training dialogues for dev"), (0, "dev_dialogues is 0: at least 1")]
)
def test_split_without_training_or_dev_dialogues_is_refused(root: Path, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(root, dev_dialogues=count)
