import json
import os
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from datasets_scripts import CorpusError
from datasets_scripts.pickles.convert import FEATURES, UTTERANCES, convert

LENGTHS = {"a": 3, "b": 2, "c": 2, "d": 1}
WIDTHS = {"text": 4, "audio": 3, "vision": 2}
TRAIN, TEST = ["a", "b", "c"], ["d"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(datasets.config, "HF_CACHE_HOME", tmp_path / "home")
    return tmp_path / "home" / "erc-pickles"


def table(make: Callable[[str, int], Any]) -> dict[Any, list[Any]]:
    return {dialogue: [make(dialogue, row) for row in range(length)] for dialogue, length in LENGTHS.items()}


def vectors(width: int, seed: int = 0) -> dict[Any, list[Any]]:
    noise = np.random.default_rng([seed, width])
    return table(lambda dialogue, row: noise.normal(size=width).astype(np.float32))


def one_hot(dialogue: str, row: int) -> list[int]:
    return [int(row % 2 == place) for place in range(3)]


# What members of the several layouts look like.
IDS = table(lambda dialogue, row: f"{dialogue}_{row}")
NUMBERED = table(lambda dialogue, row: row)
SPEAKERS = table(lambda dialogue, row: "MF"[row % 2])
ONE_HOT = table(one_hot)
LABELS = table(lambda dialogue, row: (ord(dialogue) + row) % 5)
SENTIMENTS = table(lambda dialogue, row: row % 3)
SENTENCES = table(lambda dialogue, row: f"{dialogue} says {row}")
TEXT, AUDIO, VISION = (vectors(width) for width in WIDTHS.values())
TEXTS = [vectors(4, seed) for seed in range(4)]
NINE: tuple[Any, ...] = (IDS, SPEAKERS, LABELS, TEXT, AUDIO, VISION, SENTENCES, TRAIN, TEST)


def write(folder: Path, members: Any, protocol: int = 2, name: str = "features.pkl") -> Path:
    path = folder / name
    path.write_bytes(pickle.dumps(members, protocol))
    return path


def replaced(position: int, member: Any) -> tuple[Any, ...]:
    return (*NINE[:position], member, *NINE[position + 1 :])


def changed(position: int, dialogue: str, rows: list[Any]) -> tuple[Any, ...]:
    return replaced(position, {**NINE[position], dialogue: rows})


def stack(rows: dict[Any, list[Any]]) -> np.ndarray:
    return np.stack([row for dialogue in rows.values() for row in dialogue])


LAYOUTS: dict[str, tuple[tuple[Any, ...], dict[str, int]]] = {
    "MMGCN": (NINE, {"text_0": 4, "audio": 3, "vision": 2}),
    "four text tables": (
        (IDS, SPEAKERS, LABELS, *TEXTS, AUDIO, VISION, SENTENCES, TRAIN, TEST),
        {"text_0": 4, "text_1": 4, "text_2": 4, "text_3": 4, "audio": 3, "vision": 2},
    ),
    "four text tables and audio": (
        (IDS, SPEAKERS, LABELS, *TEXTS, AUDIO, TRAIN, TEST),
        {"text_0": 4, "text_1": 4, "text_2": 4, "text_3": 4, "audio": 3},
    ),
    "COSMIC": (
        (ONE_HOT, LABELS, SENTIMENTS, *TEXTS, SENTENCES, ["a", "b"], TEST, ["c"]),
        {"text_0": 4, "text_1": 4, "text_2": 4, "text_3": 4},
    ),
    "MELD of MMGCN": (
        (NUMBERED, ONE_HOT, LABELS, TEXT, AUDIO, VISION, SENTENCES, TRAIN, TEST, SENTIMENTS),
        {"text_0": 4, "audio": 3, "vision": 2},
    ),
    "MELD of DialogueRNN": (
        (NUMBERED, ONE_HOT, LABELS, SENTIMENTS, TEXT, AUDIO, SENTENCES, set(TRAIN), set(TEST), ["joy"], None),
        {"text_0": 4, "audio": 3},
    ),
    "no visual, no sentences": ((IDS, SPEAKERS, LABELS, TEXT, AUDIO, {}, {}, TRAIN, TEST), {"text_0": 4, "audio": 3}),
    "no audio": ((IDS, SPEAKERS, LABELS, TEXT, {}, VISION, SENTENCES, TRAIN, TEST), {"text_0": 4, "vision": 2}),
    "equal widths": (
        (IDS, SPEAKERS, LABELS, TEXT, TEXT, VISION, {}, TRAIN, TEST),
        {"text_0": 4, "audio": 4, "vision": 2},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_members_are_told_apart_in_every_layout_of_the_field(tmp_path: Path, layout: str) -> None:
    members, widths = LAYOUTS[layout]
    folder = convert(write(tmp_path, members))
    tensors = load_file(folder / FEATURES)
    assert {name: tensor.shape for name, tensor in tensors.items() if "." not in name} == {
        name: (8, width) for name, width in widths.items()
    }
    rows = pq.read_table(folder / UTTERANCES).to_pylist()
    assert [row["label"] for row in rows] == [label for labels in LABELS.values() for label in labels]
    assert {row["dialogue_id"] for row in rows if row["split"] == "test"} == {"d"}
    assert {row["split"] for row in rows if row["dialogue_id"] == "c"} == {"dev" if layout == "COSMIC" else "train"}


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_rows_and_tensors_are_those_of_the_pickle_in_order(tmp_path: Path, protocol: int) -> None:
    folder = convert(write(tmp_path, NINE, protocol))
    rows = pq.read_table(folder / UTTERANCES).to_pylist()
    assert [row["utterance_id"] for row in rows] == ["a_0", "a_1", "a_2", "b_0", "b_1", "c_0", "c_1", "d_0"]
    assert rows[1] == {
        "dialogue_id": "a",
        "utterance_id": "a_1",
        "speaker": "F",
        "text": "a says 1",
        "split": "train",
        "label": LABELS["a"][1],
        "strength": None,
        "emotions": None,
    }
    tensors = load_file(folder / FEATURES)
    for name, member in {"text_0": TEXT, "audio": AUDIO, "vision": VISION}.items():
        np.testing.assert_array_equal(tensors[name], stack(member))
        assert not tensors[f"{name}.missing"].any()


def test_dialogues_and_utterances_may_be_numbered_and_rows_be_lists_or_matrices(tmp_path: Path) -> None:
    members: list[dict[int, Any]] = [
        dict(enumerate(member.values())) for member in (NUMBERED, ONE_HOT, LABELS, TEXT, AUDIO, SENTENCES)
    ]
    members[2] = {dialogue: np.array(labels) for dialogue, labels in members[2].items()}
    members[3] = {dialogue: np.stack(rows) for dialogue, rows in members[3].items()}
    members[4] = {dialogue: [row.tolist() for row in rows] for dialogue, rows in members[4].items()}
    folder = convert(write(tmp_path, (*members, np.arange(3), [3])))
    rows = pq.read_table(folder / UTTERANCES).to_pylist()
    assert [(row["dialogue_id"], row["utterance_id"], row["speaker"]) for row in rows[:4]] == [
        ("0", "0", "0"),
        ("0", "1", "1"),
        ("0", "2", "0"),
        ("1", "0", "0"),
    ]
    np.testing.assert_array_equal(load_file(folder / FEATURES)["text_0"], stack(TEXT))
    np.testing.assert_array_equal(load_file(folder / FEATURES)["audio"], stack(AUDIO))


def test_missing_utterance_ids_are_positions(tmp_path: Path) -> None:
    folder = convert(write(tmp_path, NINE[1:]))
    assert pq.read_table(folder / UTTERANCES)["utterance_id"].to_pylist() == ["0", "1", "2", "0", "1", "0", "1", "0"]


def test_features_that_are_not_finite_are_masked_and_counted(tmp_path: Path) -> None:
    audio = [np.array([1, np.nan, 0]), np.array([np.inf, 0, 0]), np.array([1.0, 2.0, 1e300])]
    folder = convert(write(tmp_path, changed(4, "a", audio)))
    tensors = load_file(folder / FEATURES)
    assert tensors["audio.missing"].tolist() == [True] * 3 + [False] * 5
    assert not tensors["text_0.missing"].any()
    assert np.isfinite(tensors["audio"]).all()
    with safe_open(folder / FEATURES, "np") as features:
        (warning,) = json.loads(features.metadata()["warnings"])
    assert warning.startswith("3 of 8 utterances have NaN, infinite or no audio features (a/a_0, a/a_1, a/a_2)")


def test_dialogues_of_no_split_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = convert(write(tmp_path, replaced(7, ["b"])))
    assert set(pq.read_table(folder / UTTERANCES)["dialogue_id"].to_pylist()) == {"b", "d"}
    np.testing.assert_array_equal(load_file(folder / FEATURES)["text_0"], stack({k: TEXT[k] for k in "bd"}))
    with safe_open(folder / FEATURES, "np") as features:
        assert "2 dialogues are in no split and are left out (a, c)" in features.metadata()["warnings"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            changed(3, "b", [np.ones(4), np.ones(5)]),
            r"dialogue b, row 1: text_0 features \(member 3\) have 5 .* have 4",
        ),
        (changed(0, "b", ["b_0", "b_0"]), "dialogue b, row 1: utterance id b_0 is also in row 0"),
        (changed(4, "b", [np.ones(3)]), r"dialogue b: audio features \(member 4\) have 1 utterances, labels have 2"),
        (changed(6, "b", []), r"dialogue b: sentences \(member 6\) have 0 utterances, labels have 2"),
        (
            replaced(1, {k: v for k, v in SPEAKERS.items() if k != "c"}),
            r"dialogue c: speakers \(member 1\) are missing",
        ),
        (replaced(1, {**ONE_HOT, "b": [[1, 0, 0], [1, 1, 0]]}), r"dialogue b, row 1: the speaker .* \[1, 1, 0\]"),
        (
            [{**member, "e": []} if isinstance(member, dict) else member for member in NINE[:7]]
            + [[*TRAIN, "e"], TEST],
            "e has no",
        ),
        (replaced(8, ["c", "d"]), r"1 dialogues are in both train and test \(c\)"),
        (replaced(8, ["d", "x"]), "test has ids of dialogues without labels: x"),
        (replaced(8, []), "test has no ids"),
        (NINE[:8], "it has 1 collections of dialogue ids"),
        (
            NINE[2:],
            r"no table of labels .* after one of speakers.* The pickle has 0: integers of 4 dialogues; 1: vectors",
        ),
        ((IDS, LABELS, *NINE[3:]), "the members before the labels at 1 are not utterance ids and speakers"),
        (replaced(1, table(lambda dialogue, row: 0.5)), "before the labels at 2 .* 1: decimals of 4 dialogues"),
        ((VISION, *NINE[1:]), "before the labels at 2 .* 0: vectors of 4 dialogues"),
        (replaced(6, AUDIO), "unclear which of 4 tables of features"),
        ((*NINE[:7], SENTENCES, TRAIN, TEST), "the role of member 6, 7 is unclear"),
        ((*NINE, AUDIO), "the role of member 9 is unclear.* 9: vectors of 4 dialogues"),
        (
            replaced(5, table(lambda dialogue, row: "x" if row else [1.0])),
            "the role of member 5 .* 5: strings and vectors of 4",
        ),
        (replaced(5, table(lambda dialogue, row: [[1.0]])), "the role of member 5 is unclear.* 5: list of 4"),
        ((IDS, SPEAKERS, SENTIMENTS, LABELS, *NINE[3:]), "labels at 2 have fewer classes"),
        ((*NINE[:7], ["a"], ["d"], ["b", "c"]), "third collection of ids is larger than the second"),
        ((*NINE[:2], {**LABELS, 1: [0], "1": [0]}, *NINE[3:]), "has a dialogue twice"),
        ({"train": [1]}, "it holds a dict, not a tuple of utterance ids, speakers, labels"),
    ],
)
def test_members_that_disagree_are_refused_with_file_and_place(tmp_path: Path, members: Any, message: str) -> None:
    with pytest.raises(CorpusError, match=rf"features\.pkl: .*{message}"):
        convert(write(tmp_path, members))


def test_pickle_of_one_row_repeated_is_refused_before_it_grows(tmp_path: Path) -> None:
    # A few kilobytes that stand for 10^12 values.
    row = [0.5] * 1000
    rows = [row] * 1000
    text = {str(number): rows for number in range(1000)}
    with pytest.raises(CorpusError, match="table at 3 repeats the same"):
        convert(write(tmp_path, replaced(3, text)))
    count = 20000
    members = ({"a": ["M"] * count, "b": ["F"]}, {"a": [0] * count, "b": [1]})
    sparse = {"a": [[0.5] * count, *[None] * (count - 1)], "b": [[0.5] * count]}
    with pytest.raises(CorpusError, match=r"text_0 features \(member 2\) repeat the same values"):
        convert(write(tmp_path, (*members, sparse, ["a"], ["b"])))


def test_broken_pickle_leaves_no_conversion_behind(tmp_path: Path, cache: Path) -> None:
    for content in (b"(S'touch'\nios\nsystem\n.", pickle.dumps(replaced(8, TRAIN))):
        (tmp_path / "features.pkl").write_bytes(content)
        with pytest.raises(CorpusError):
            convert(tmp_path / "features.pkl")
    assert not cache.exists()


def test_same_contents_are_converted_once_and_changed_ones_again(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path, NINE)
    folder = convert(path)
    written = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert folder.parent == cache
    assert set(written) == {FEATURES, UTTERANCES}
    path.touch()
    assert convert(path) == folder
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == written
    assert convert(write(tmp_path, changed(2, "d", [3]))) != folder


def test_conversions_at_once_leave_one_whole_result(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path, NINE)
    with ThreadPoolExecutor(8) as pool:
        (folder,) = set(pool.map(convert, [path] * 8))
    assert list(cache.iterdir()) == [folder]
    assert pq.read_table(folder / UTTERANCES).num_rows == 8


def test_conversion_cut_short_is_done_again(tmp_path: Path, cache: Path) -> None:
    # What a process leaves that was killed in the middle of writing.
    (cache / ".half" / "new").mkdir(parents=True)
    (cache / ".half" / "new" / FEATURES).write_bytes(b"")
    assert load_file(convert(write(tmp_path, NINE)) / FEATURES)["audio"].shape == (8, 3)


def test_folder_of_a_conversion_that_was_killed_is_deleted_after_an_hour(tmp_path: Path, cache: Path) -> None:
    old, new = (cache / f".converting-{name}" for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "part").touch()
    os.utime(old, (0, 0))
    convert(write(tmp_path, NINE))
    assert not old.exists() and new.exists()


def test_text_that_utf_8_cannot_hold_is_kept_as_far_as_it_can(tmp_path: Path) -> None:
    folder = convert(write(tmp_path, changed(6, "d", ["well \ud800 yes"])))
    assert pq.read_table(folder / UTTERANCES)["text"].to_pylist()[-1] == "well ? yes"
