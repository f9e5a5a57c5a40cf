import collections
import logging
import pickle
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from datasets_scripts import CorpusError, ErcBuilder, label_names
from datasets_scripts.builder import hold_out
from datasets_scripts.feature_corpora import (
    DailyDialogFeatures,
    EmoryNlpFeatures,
    FeaturePickleBuilder,
    IemocapFeatures,
    MeldFeatures,
    MosiFeatures,
)

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
DIALOGUES = [f"video{number}" for number in range(8)]
TRAIN, TEST = DIALOGUES[:6], DIALOGUES[6:]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_CACHE_HOME", tmp_path / "home")


def members(texts: int = 1, classes: int = 2) -> list[Any]:
    """A pickle's members: 8 dialogues of 3 utterances, text features 4 wide, audio 3 and no visual ones."""

    def vectors(width: int, start: float) -> dict[str, Any]:
        return {d: [np.full(width, start + n + row / 10) for row in range(3)] for n, d in enumerate(DIALOGUES)}

    return [
        {d: [f"{d}_{row}" for row in range(3)] for d in DIALOGUES},
        {d: ["M", "F", "M"] for d in DIALOGUES},
        {d: [(n + row) % classes for row in range(3)] for n, d in enumerate(DIALOGUES)},
        *(vectors(4, 100 * table) for table in range(texts)),
        vectors(3, 0.5),
        {},
        {d: ["It\u2019s", "", "fine"] for d in DIALOGUES},
        TRAIN,
        TEST,
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path, members())


def write(folder: Path, content: Any) -> Path:
    root = folder / "corpus"
    root.mkdir(exist_ok=True)
    (root / "features.pkl").write_bytes(pickle.dumps(content, 2))
    return root


def make(root: Path, kind: type[FeaturePickleBuilder] = MosiFeatures, **options: Any) -> ErcBuilder:
    return kind(data_dir=root, cache_dir=root.parent / "cache", **{"dev_dialogues": 2, **options})


def load(root: Path, kind: type[FeaturePickleBuilder] = MosiFeatures, **options: Any) -> Any:
    builder = make(root, kind, **options)
    builder.download_and_prepare()
    return builder.as_dataset()


def test_dialogues_carry_features_and_no_media(root: Path) -> None:
    splits = load(root)
    assert label_names(splits) == ["negative", "positive"]
    assert splits["test"]["dialogue_id"][:] == TEST
    first, second, _ = splits["test"][0]["utterances"]
    assert {key: value for key, value in first.items() if "features" not in key} == {
        "utterance_id": "video6_0",
        "speaker": "M",
        "text": "It's",
        "audio_path": None,
        "video_path": None,
        "start": None,
        "end": None,
        "label": 0,
    }
    assert second["text"] is None
    assert [turn["text_features"] for turn in (first, second)] == [[6.0] * 4, [np.float32(6.1)] * 4]
    assert first["audio_features"] == [6.5] * 3
    assert "visual_features" not in first


def test_stream_yields_the_rows_of_the_prepared_dataset(root: Path) -> None:
    prepared, stream = load(root), make(root).as_streaming_dataset()
    for split in ("train", "dev", "test"):
        assert list(stream[split]) == list(prepared[split])


def test_file_and_folder_are_the_same_corpus(root: Path) -> None:
    (root / "._features.pkl").write_bytes(b"macOS")
    assert load(root / "features.pkl")["train"][:] == load(root)["train"][:]


def test_dev_is_drawn_from_train_by_seed(root: Path) -> None:
    for seed in (0, 1):
        splits = load(root, dev_dialogues=3, dev_seed=seed)
        assert set(splits["dev"]["dialogue_id"]) == hold_out(TRAIN, 3, seed)
        assert sorted([*splits["dev"]["dialogue_id"], *splits["train"]["dialogue_id"]]) == TRAIN


def test_dev_of_the_pickle_takes_precedence_over_a_draw(tmp_path: Path) -> None:
    splits = load(write(tmp_path, [*members()[:-2], TRAIN[:4], TEST, TRAIN[4:]]), dev_dialogues=1)
    assert splits["dev"]["dialogue_id"][:] == TRAIN[4:]
    assert splits["train"]["dialogue_id"][:] == TRAIN[:4]


@pytest.mark.parametrize("count", [0, 6])
def test_impossible_dev_is_refused_with_what_is_possible(root: Path, count: int) -> None:
    with pytest.raises(CorpusError, match=rf"features\.pkl has 6 training dialogues .* 1 to 5, not {count}"):
        load(root, dev_dialogues=count)


def test_one_of_several_text_tables_is_chosen(tmp_path: Path) -> None:
    root = write(tmp_path, members(texts=4))
    for number in (0, 3):
        splits = load(root, text_table=number)
        assert splits["test"][0]["utterances"][0]["text_features"] == [100.0 * number + 6] * 4
        assert splits["test"][0]["utterances"][0]["audio_features"] == [6.5] * 3
    with pytest.raises(CorpusError, match=r"text tables text_0, .* text_3: text_table cannot be 4"):
        load(root, text_table=4)


def test_text_normalization_is_a_setting(root: Path) -> None:
    assert load(root, normalize_text=False)["test"][0]["utterances"][0]["text"] == "It\u2019s"


def test_features_that_are_not_finite_are_null_and_counted_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = members()
    content[4]["video7"][1] = np.array([0, np.nan, 0])
    root = write(tmp_path, content)
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        turns = load(root)["test"][1]["utterances"]
        assert list(make(root).as_streaming_dataset()["test"])[1]["utterances"] == turns
    assert [turn["audio_features"] is None for turn in turns] == [False, True, False]
    assert turns[1]["text_features"] is not None
    messages = [record.getMessage() for record in caplog.records if "NaN" in record.getMessage()]
    assert len(messages) == 1
    assert "features.pkl: 1 of 24 utterances have NaN, infinite or no audio features (video7/video7_1)" in messages[0]


@pytest.mark.parametrize("streaming", [False, True])
def test_label_outside_the_set_is_refused_with_its_place(tmp_path: Path, streaming: bool) -> None:
    content = members()
    content[2]["video6"][1] = 2
    root = write(tmp_path, content)
    with pytest.raises(CorpusError, match=r"pkl, dialogue video6, utterance video6_1: label 2 is none of 0 to 1 \(neg"):
        list(make(root).as_streaming_dataset()["test"]) if streaming else load(root)


def test_negative_labels_of_unlabelled_utterances_are_context(tmp_path: Path) -> None:
    content = members()
    content[2]["video6"][1], content[2]["video7"][0] = -1, -100
    rows = load(write(tmp_path, content))["test"]
    assert [[turn["label"] for turn in row["utterances"]] for row in rows] == [[0, None, 0], [None, 0, 1]]


@pytest.mark.parametrize("kind", [MosiFeatures, IemocapFeatures, MeldFeatures])
def test_class_numbers_are_those_of_the_field(tmp_path: Path, kind: type[FeaturePickleBuilder]) -> None:
    names = {
        MosiFeatures: ["negative", "positive"],
        IemocapFeatures: ["happy", "sad", "neutral", "angry", "excited", "frustrated"],
        MeldFeatures: ["neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"],
    }[kind]
    splits = load(write(tmp_path, members(classes=len(names))), kind)
    assert label_names(splits) == names
    assert [turn["label"] for turn in splits["test"][0]["utterances"]] == [(6 + n) % len(names) for n in range(3)]


def test_changed_pickle_is_read_anew(root: Path) -> None:
    assert load(root)["test"][0]["utterances"][0]["speaker"] == "M"
    content = members()
    content[1]["video6"] = ["F", "F", "F"]
    write(root.parent, content)
    assert load(root)["test"][0]["utterances"][0]["speaker"] == "F"


def test_folder_without_or_with_several_pickles_is_refused(tmp_path: Path, root: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no \.pkl in .*nothing"):
        load(tmp_path / "nothing")
    (root / "other.pkl").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"holds features\.pkl, other\.pkl: pass"):
        load(root)


def count(splits: Any) -> dict[str, tuple[int, int]]:
    return {split: (len(rows), sum(len(row["utterances"]) for row in rows)) for split, rows in splits.items()}


def real(path: Path) -> Path:
    if not path.is_file():
        pytest.skip(f"{path.name} is not beside this checkout")
    return path


def test_mosi_has_the_published_counts(tmp_path: Path) -> None:
    builder = MosiFeatures(data_dir=real(SHARED / "cmu_mosi" / "MOSI_features.pkl"), cache_dir=tmp_path)
    builder.download_and_prepare()
    counts = count(builder.as_dataset())
    assert builder.feature_sizes == {"text": 100, "audio": 73, "vision": 100}
    assert counts["dev"][0] == 10
    assert tuple(np.add(counts["train"], counts["dev"])) == (62, 1447)
    assert counts["test"] == (31, 752)


def test_iemocap_has_the_published_counts(tmp_path: Path) -> None:
    path = real(SHARED / "iemocap_features" / "IEMOCAP_features.pkl")
    builder = IemocapFeatures(data_dir=path.parent, cache_dir=tmp_path)
    builder.download_and_prepare()
    splits = builder.as_dataset()
    counts = count(splits)
    assert builder.feature_sizes == {"text": 768, "audio": 47}
    assert (counts["train"][0], counts["dev"][0], counts["test"][0]) == (108, 12, 31)
    assert sum(turns for _, turns in counts.values()) == 7380
    labels = collections.Counter(
        turn["label"] for rows in splits.values() for row in rows for turn in row["utterances"]
    )
    # happy, sad, neutral, angry, excited, frustrated
    assert [labels[number] for number in range(6)] == [595, 1084, 1708, 1103, 1041, 1849]


def test_marks_of_unlabelled_are_context(tmp_path: Path) -> None:
    content = members()
    content[2]["video6"] = [-1, None, 1]
    content[2]["video7"] = [np.float32("nan"), -100, "N/A"]
    rows = load(write(tmp_path, content))["test"]
    assert [[turn["label"] for turn in row["utterances"]] for row in rows] == [[None, None, 1], [None, None, None]]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, ["negative", "neutral", "positive"]),
        (["no", "yes"], ["no", None, "yes"]),
        (["bad", "so-so", "good"], ["bad", "so-so", "good"]),
    ],
)
def test_strengths_become_two_or_three_classes_by_their_sign(
    tmp_path: Path, labels: list[str] | None, expected: list[str | None]
) -> None:
    content = members()
    content[2] = {d: [-0.4, 0.0, 1.0 + n] for n, d in enumerate(DIALOGUES)}
    content[1] = {}  # speakers, as in the pickle of CMU-MOSEI
    splits = load(write(tmp_path, content), labels=labels)
    names = label_names(splits)
    turns = splits["test"][0]["utterances"]
    assert [None if turn["label"] is None else names[turn["label"]] for turn in turns] == expected
    assert {turn["speaker"] for turn in turns} == {"video6"}
    with pytest.raises(CorpusError, match=r"strengths of a sentiment, not classes: pass labels, two names"):
        load(tmp_path / "corpus", IemocapFeatures)


def test_labels_name_the_classes_of_another_pickle(tmp_path: Path) -> None:
    root = write(tmp_path, members(classes=3))
    splits = load(root, MeldFeatures, labels=["calm", "joy", "awe"])
    assert label_names(splits) == ["calm", "joy", "awe"]
    assert make(root, MeldFeatures, labels=["calm", "joy", "awe"]).label_set.shared == {
        "calm": None,
        "joy": "joy",
        "awe": None,
    }
    for wrong in ([], ["one"], ["a", "a"], "ab", [1, 2]):
        with pytest.raises(ValueError, match="give a list of at least two different class names"):
            load(root, MeldFeatures, labels=wrong)
    with pytest.raises(CorpusError, match=r"label 2 is none of 0 to 1 .* If not, pass labels"):
        load(root, MeldFeatures, labels=["calm", "joy"])


@pytest.mark.parametrize(
    ("kind", "first", "shared"),
    [(EmoryNlpFeatures, "joyful", "joy"), (DailyDialogFeatures, "happiness", "joy")],
)
def test_pickles_of_the_cosmic_form_are_read(tmp_path: Path, kind: Any, first: str, shared: str) -> None:
    whole = members(texts=4, classes=7)
    # No ids, audio or video; train, test and a dev that is a little larger than test.
    content = [*whole[1:7], whole[9], DIALOGUES[:3], DIALOGUES[3:5], DIALOGUES[5:]]
    splits = load(write(tmp_path, content), kind)
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 3, "dev": 3, "test": 2}
    builder = make(tmp_path / "corpus", kind)
    assert len(builder.label_set.names) == 7 and builder.label_set.names[0] == first
    assert builder.label_set.shared[first] == shared
    assert builder.feature_sizes == {"text": 4}
