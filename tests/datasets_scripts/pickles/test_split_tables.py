import json
import pickle
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


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_CACHE_HOME", tmp_path / "home")


def table(names: list[str], strengths: list[float], **columns: Any) -> dict[str, Any]:
    """Segments of 3 tokens; the last token of each is padding."""
    tokens = np.arange(len(names) * 6, dtype=float).reshape(len(names), 3, 2) + 1
    tokens[:, 2] = 0
    return {
        "raw_text": np.array([f"words {name}" for name in names]),
        "text": tokens.astype(np.float32),
        "audio": tokens,
        "vision": tokens[:, 0],
        "id": names,
        "text_bert": np.ones((len(names), 3, 3)),
        "regression_labels": np.array(strengths),
        "classification_labels": np.sign(strengths) + 1,
        **columns,
    }


def tables(**columns: Any) -> dict[str, Any]:
    return {
        "train": table(["b$_$10", "b$_$9", "a_b$_$1"], [1.2, 0.0, -2.4], **columns),
        "valid": table(["c$_$0"], [0.2]),
        "test": table(["d$_$0"], [-0.2]),
    }


def written(folder: Path, content: Any) -> Path:
    path = folder / "aligned_50.pkl"
    path.write_bytes(pickle.dumps(content, 4))
    return convert(path)


def rows(folder: Path) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = pq.read_table(folder / UTTERANCES).to_pylist()
    return read


def test_videos_become_dialogues_in_the_order_of_their_segments(tmp_path: Path) -> None:
    folder = written(tmp_path, tables())
    assert [(r["dialogue_id"], r["utterance_id"], r["speaker"], r["split"]) for r in rows(folder)] == [
        ("b", "b$_$9", "b", "train"),
        ("b", "b$_$10", "b", "train"),
        ("a_b", "a_b$_$1", "a_b", "train"),
        ("c", "c$_$0", "c", "dev"),
        ("d", "d$_$0", "d", "test"),
    ]
    assert [row["strength"] for row in rows(folder)] == [0.0, 1.2, -2.4, 0.2, -0.2]
    assert {row["label"] for row in rows(folder)} == {None}
    assert rows(folder)[0]["text"] == "words b$_$9"


def test_tokens_are_averaged_without_padding_and_broken_ones(tmp_path: Path) -> None:
    content = tables()
    content["train"]["audio"][0, 1] = -np.inf
    content["train"]["audio"][2] = 0
    features = load_file(written(tmp_path, content) / FEATURES)
    assert features["text_0"][:2].tolist() == [[8, 9], [2, 3]]
    assert features["audio"][:2].tolist() == [[8, 9], [1, 2]]
    assert features["audio.missing"].tolist() == [False, False, True, False, False]
    assert features["vision"][0].tolist() == [7, 8]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"annotations": ["Positive", "neutral", "Negative"]}, [1, 2, 0]),
        ({"classification_labels": np.array([2.0, 1.0, np.nan])}, [1, 2, None]),
        ({"labels": np.array([[[2.0]], [[0.0]], [[1.0]]])}, [0, 2, 1]),
    ],
)
def test_classes_are_read_where_there_are_no_strengths(tmp_path: Path, labels: Any, expected: list[Any]) -> None:
    content = {name: {**part, **labels} for name, part in tables().items() if name == "train"}
    content |= {name: {**tables()[name], **{k: v[:1] for k, v in labels.items()}} for name in ("valid", "test")}
    for part in content.values():
        for column in ("regression_labels", "classification_labels"):
            if column not in labels:
                del part[column]
    assert [row["label"] for row in rows(written(tmp_path, content))][:3] == expected


def test_names_of_mult_are_read(tmp_path: Path) -> None:
    content = tables(id=np.array([["v", "9.5", "11"], ["v", "10.25", "12"], ["w", "1", "2"]], dtype="S8"))
    assert [row["utterance_id"] for row in rows(written(tmp_path, content))][:3] == ["v 9.5 11", "v 10.25 12", "w 1 2"]


def test_video_of_several_splits_is_several_dialogues_with_a_warning(tmp_path: Path) -> None:
    content = tables()
    content["test"]["id"] = ["b$_$11"]
    folder = written(tmp_path, content)
    assert [row["dialogue_id"] for row in rows(folder)] == ["b (train)", "b (train)", "a_b", "c", "b (test)"]
    with safe_open(folder / FEATURES, "np") as features:
        (warning,) = json.loads(features.metadata()["warnings"])
    assert warning == "1 videos have segments in several splits (b)"


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("audio", np.ones((2, 3, 2)), "table train: audio has 2 segments, id has 3"),
        ("audio", np.ones((3, 1, 3, 2)), r"segment 0: audio is neither a vector nor a matrix \(tokens, width\)"),
        ("audio", 7, "table train: audio is a int, not an array or a list"),
        (
            "audio",
            [np.ones((9, 2)), np.ones((9, 3)), np.ones((9, 2))],
            "audio features .* have 2 values where those before have 3",
        ),
        ("regression_labels", [[1, 2], [1], [1]], "segment 0: 2 labels in place of one"),
        ("id", ["b$_$9", "b$_$9", "c$_$9"], r"utterance id b\$_\$9 is also in row 0"),
    ],
)
def test_inconsistent_tables_are_refused_with_their_place(
    tmp_path: Path, column: str, value: Any, message: str
) -> None:
    with pytest.raises(CorpusError, match=rf"aligned_50\.pkl: .*{message}"):
        written(tmp_path, tables(**{column: value}))


def test_one_array_for_many_segments_is_refused(tmp_path: Path) -> None:
    names = [f"b$_${number}" for number in range(3000)]
    content = {**tables(), "train": {"id": names, "labels": [0.5] * 3000, "audio": [np.ones((1000, 10))] * 3000}}
    with pytest.raises(CorpusError, match="table train repeats the same values"):
        written(tmp_path, content)


def test_table_without_ids_or_labels_is_refused(tmp_path: Path) -> None:
    for column in ("id", "regression_labels"):
        content = tables()
        del content["test"][column], content["test"]["classification_labels"]
        with pytest.raises(CorpusError, match=r"table test has no (id|labels): its columns are "):
            written(tmp_path, content)
