import pickle
from collections.abc import Callable
from typing import Any

import datasets
import pytest
import torch

from modeling_erc.training import ErcCollator

LABELS = ["neutral", "joy", "anger"]


@pytest.fixture
def rows(make_splits: Callable[..., datasets.DatasetDict]) -> datasets.DatasetDict:
    return make_splits(
        {
            "train": [
                [
                    {"text": "hello", "label": 0},
                    {"text": "hooray", "label": 1},
                    {"text": None, "label": 2},
                    {"text": "hm", "label": None},
                ],
                [{"text": "no", "label": 2}],
            ]
        }
    )


def test_labels_are_matched_by_name_never_by_position(rows: datasets.DatasetDict, make_parts: Any) -> None:
    processor = make_parts(rows).processor
    label2id = {"anger": 0, "sadness": 1, "neutral": 2, "joy": 3}
    batch = ErcCollator(processor, LABELS, label2id)(list(rows["train"]))
    assert batch["labels"].tolist() == [[2, 3, 0, -100], [0, -100, -100, -100]]


def test_unlabelled_and_padded_slots_are_ignored_and_stay_utterances_or_not(
    rows: datasets.DatasetDict, make_parts: Any
) -> None:
    parts = make_parts(rows)
    batch = ErcCollator(parts.processor, LABELS, parts.model.config.label2id)(list(rows["train"]))
    assert batch["labels"].dtype == torch.long
    assert batch["labels"].tolist() == [[0, 1, 2, -100], [2, -100, -100, -100]]
    # An utterance without a label is context all the same; one without words lacks its modality.
    assert batch["utterance_mask"].tolist() == [[True] * 4, [True, False, False, False]]
    assert batch["modality_mask"][..., 0].tolist() == [[True, True, False, True], [True, False, False, False]]
    assert batch["media_problems"] == []


def test_a_class_that_the_model_does_not_know_names_both_sets(rows: datasets.DatasetDict, make_parts: Any) -> None:
    processor = make_parts(rows).processor
    with pytest.raises(ValueError, match=r"joy, anger.*neutral, happy.*checkpoint of this label set"):
        ErcCollator(processor, LABELS, {"neutral": 0, "happy": 1})


def test_transforms_are_applied_in_turn(rows: datasets.DatasetDict, make_parts: Any) -> None:
    parts = make_parts(rows)

    def say(word: str) -> Any:
        return lambda utterances: [{**u, "text": f"{u['text']} {word}"} for u in utterances]

    changed = ErcCollator(parts.processor, LABELS, parts.model.config.label2id, [say("one"), say("two")])
    plain = ErcCollator(parts.processor, LABELS, parts.model.config.label2id)
    row = rows["train"][1]
    expected = plain([{**row, "utterances": [{**row["utterances"][0], "text": "no one two"}]}])
    assert torch.equal(changed([row])["input_ids"], expected["input_ids"])
    assert rows["train"][1]["utterances"][0]["text"] == "no"


def test_it_survives_the_way_to_a_worker(rows: datasets.DatasetDict, make_parts: Any) -> None:
    parts = make_parts(rows)
    collator = ErcCollator(parts.processor, LABELS, parts.model.config.label2id)
    there = pickle.loads(pickle.dumps(collator))
    batch, copy = collator(list(rows["train"])), there(list(rows["train"]))
    assert all(torch.equal(batch[name], copy[name]) for name in batch if isinstance(batch[name], torch.Tensor))
