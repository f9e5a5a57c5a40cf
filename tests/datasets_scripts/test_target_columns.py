"""Targets and several labels in the corpora: tables, feature pickles, MELD."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets_scripts import CorpusError, label_names, load_erc_dataset
from datasets_scripts.pickles.restricted import load_pickle
from datasets_scripts.schema import has_several_labels, target_names
from tests.small_mosei import EMOTIONS, write_mosei

TALK = """dialogue_id,speaker,text,label,valence,arousal,joy,anger,split
a,Ann,Hello.,glad,4.5,2,1,0,train
a,Bo,No!,cross,1.5,,0,2.5,train
b,Ann,Yes.,glad,-100,3,1,0.3,dev
c,Bo,Hm.,,,,,,test
c,Ann,Fine.,cross,2,1,0,0,test
"""


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.csv"
    path.write_text(TALK)
    return path


def load(path: Path, name: str = "table", **options: Any) -> Any:
    return load_erc_dataset(name, path, cache_dir=path.parent / "cache", **options)


def test_columns_of_numbers_become_targets_beside_the_label(talk: Path) -> None:
    splits = load(talk, targets=["valence", "arousal"])
    assert target_names(splits) == ["valence", "arousal"]
    assert label_names(splits) == ["cross", "glad"]
    turns = [turn for split in ("train", "dev", "test") for row in splits[split] for turn in row["utterances"]]
    assert [turn["targets"] for turn in turns] == [
        {"valence": 4.5, "arousal": 2.0},
        {"valence": 1.5, "arousal": None},
        {"valence": -100.0, "arousal": 3.0},
        {"valence": None, "arousal": None},
        {"valence": 2.0, "arousal": 1.0},
    ]


def test_label_columns_give_several_labels(talk: Path) -> None:
    splits = load(talk, label_columns=["joy", "anger"])
    assert has_several_labels(splits)
    assert label_names(splits) == ["joy", "anger"]
    turns = [turn for split in ("train", "dev", "test") for row in splits[split] for turn in row["utterances"]]
    assert [turn["labels"] for turn in turns] == [[0], [1], [0, 1], None, []]
    assert all(turn["label"] is None for turn in turns)


def test_a_table_of_numbers_needs_no_label(talk: Path) -> None:
    rows = [line.split(",") for line in TALK.splitlines()]
    talk.write_text("\n".join(",".join(row[:3] + row[4:5] + row[-1:]) for row in rows))
    splits = load(talk, targets=["valence"])
    assert label_names(splits) == []
    assert splits["train"][0]["utterances"][0]["targets"] == {"valence": 4.5}


def test_a_label_column_of_numbers_suggests_targets_and_is_read_with_them(talk: Path) -> None:
    talk.write_text(TALK.replace("glad", "0.7").replace("cross", "-1.2"))
    with pytest.raises(CorpusError, match=r"to predict it as a number pass targets=\['label'\]"):
        load(talk)
    assert load(talk, targets=["label"])["train"][0]["utterances"][1]["targets"] == {"label": -1.2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": ["valance"]}, "valance"),
        ({"targets": []}, "give a list of different names"),
        ({"targets": ["text"]}, "text 'Hello.' is no number"),
        ({"label_columns": ["joy"], "labels": ["a", "b"]}, "label_columns replaces the label column"),
    ],
)
def test_options_that_do_not_fit_the_table_are_refused(talk: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(talk, **options)


def test_the_published_form_of_mosei_gives_emotions_and_a_strength(tmp_path: Path) -> None:
    path = write_mosei(tmp_path / "mosei.pkl", videos=6)
    splits = load(path, "mosi_features", emotions=True, targets=["strength"])
    assert label_names(splits) == list(EMOTIONS)
    train = load_pickle(path)["train"]
    turns = [turn for row in splits["train"] for turn in row["utterances"]]
    by_id = {turn["utterance_id"]: turn for turn in turns}
    for name, numbers in zip(train["id"], train["labels"][:, 0], strict=True):
        assert by_id[name]["targets"] == {"strength": pytest.approx(numbers[0])}
        assert by_id[name]["labels"] == np.flatnonzero(numbers[1:] > 0).tolist()
    # Without the option the label is the sign of the strength.
    assert label_names(load(path, "mosi_features")) == ["negative", "neutral", "positive"]


def test_targets_beside_a_pickle_are_found_by_their_columns(tmp_path: Path) -> None:
    path = write_mosei(tmp_path / "mosei.pkl", videos=6)
    with pytest.raises(CorpusError, match=r"targets valence: no table has them .*put a CSV there"):
        load(path, "mosi_features", targets=["valence"])
    turn = load(path, "mosi_features")["train"][0]["utterances"][0]["utterance_id"]
    (tmp_path / "others.csv").write_text("utterance_id,arousal\nx,1\n")
    table = tmp_path / "dimensions.csv"
    table.write_text("utterance_id,valence\nnobody,1\n")
    with pytest.raises(CorpusError, match=r"none of its rows \(the first is nobody\) belongs"):
        load(path, "mosi_features", targets=["valence"])
    table.write_text(f"utterance_id,valence\n{turn},2.5\n")
    splits = load(path, "mosi_features", targets=["valence"])
    values = [u["targets"]["valence"] for row in splits["train"] for u in row["utterances"]]
    assert values[0] == 2.5
    assert set(values[1:]) == {None}
