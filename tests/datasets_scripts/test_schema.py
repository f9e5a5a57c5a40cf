from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from datasets_scripts import dialogue_features, label_names

NAMES = ["neutral", "joy"]


def turn(number: int, **fields: Any) -> dict[str, Any]:
    empty = {"text": None, "audio_path": None, "video_path": None, "start": None, "end": None, "label": None}
    return {"utterance_id": str(number), "speaker": "Ann"} | empty | fields


def round_trip(folder: Path, row: dict[str, Any], **sizes: int) -> dict[str, Any]:
    dataset = Dataset.from_list([row], features=dialogue_features(NAMES, sizes))
    dataset.save_to_disk(folder)
    loaded: dict[str, Any] = Dataset.load_from_disk(folder)[0]
    return loaded


def test_utterances_come_back_as_a_list_of_dicts_with_their_nulls(tmp_path: Path) -> None:
    turns = [turn(0, text="Hi.", label=1, start=0.25, end=1.5), turn(3)]
    assert round_trip(tmp_path, {"dialogue_id": "train_0", "utterances": turns})["utterances"] == turns


def test_precomputed_features_are_float32_of_fixed_width_and_may_be_null(tmp_path: Path) -> None:
    turns = [turn(0, audio_features=[0.5, -1.0], visual_features=None)]
    row = round_trip(tmp_path, {"dialogue_id": "d", "utterances": turns}, audio=2, vision=3)
    assert row["utterances"] == turns
    assert "text_features" not in row["utterances"][0]
    wide = {"dialogue_id": "d", "utterances": [turn(0, audio_features=[0.5] * 5)]}
    with pytest.raises(Exception, match=r"(?i)length|size"):
        Dataset.from_list([wide], features=dialogue_features(NAMES, {"audio": 2}))


def test_unknown_modality_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"\['visual'\].*text, audio, vision"):
        dialogue_features(NAMES, {"visual": 342})


def test_label_names_from_features_dataset_and_splits() -> None:
    features = dialogue_features(NAMES)
    dataset = Dataset.from_list([{"dialogue_id": "d", "utterances": [turn(0)]}], features=features)
    for data in (features, dataset, dataset.to_iterable_dataset(), DatasetDict(dev=dataset)):
        assert label_names(data) == NAMES
