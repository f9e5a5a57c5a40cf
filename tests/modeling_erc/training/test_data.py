import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import soundfile
import torch

from datasets_scripts import DialogueRows
from modeling_erc.configuration_erc import ErcConfig
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.training import ErcCollator
from modeling_erc.training.arguments import DataArguments
from modeling_erc.training.data import SAMPLED_CLIPS, check_media, check_splits, corpus_fingerprint, load_corpus
from modeling_erc.training.tiny_backbones import FRESH
from tests.small_run import write_meld

CORPUS = Path(__file__).parents[3].parent / "shared" / "data" / "cmu_mosi"
LABELS = ["neutral", "joy", "anger"]
RATE = 16000


@pytest.mark.skipif(not CORPUS.is_dir(), reason="CMU-MOSI's features are not at hand")
def test_a_drawn_dev_split_follows_the_seed_unless_it_is_fixed() -> None:
    def dev(seed: int, **options: int) -> set[str]:
        args = DataArguments(dataset="mosi_features", data_dir=str(CORPUS), dataset_options=options)
        return {row["dialogue_id"] for row in load_corpus(args, seed)["dev"]}

    assert dev(0) == dev(0)
    assert dev(0) != dev(1)
    assert dev(0, dev_seed=4) == dev(1, dev_seed=4) == dev(4)


def test_the_seed_draws_the_training_dialogues_and_dev_and_test_stay_whole(tmp_path: Path) -> None:
    def names(seed: int, count: int | None, **fold: Any) -> dict[str, list[str]]:
        args = DataArguments(dataset="meld", data_dir=str(tmp_path), max_train_samples=count, **fold)
        return {split: [row["dialogue_id"] for row in rows] for split, rows in load_corpus(args, seed).items()}

    sizes = {"train": 12, "dev": 3, "test": 3}
    write_meld(tmp_path, {s: [["Hi", "A", "joy", n, 0] for n in range(size)] for s, size in sizes.items()})
    whole, drawn = names(0, None), names(0, 5)
    assert len(set(drawn["train"])) == 5 and set(drawn["train"]) < set(whole["train"])
    assert (drawn["dev"], drawn["test"]) == (whole["dev"], whole["test"])
    assert names(0, 5) == drawn and names(1, 5) != drawn
    with pytest.raises(ValueError, match="--max_train_samples 13: there are 12 training dialogues"):
        names(0, 13)
    assert len(names(0, 5, folds="3", fold=0)["train"]) == 5


def test_a_training_without_dialogues_is_refused() -> None:
    with pytest.raises(ValueError, match="--max_train_samples 0: choose 1 or more"):
        DataArguments(max_train_samples=0)


def tone(hertz: float = 440.0, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


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


def test_labels_of_unlabelled_and_padded_slots_are_ignored(rows: datasets.DatasetDict, make_parts: Any) -> None:
    parts = make_parts(rows)
    batch = ErcCollator(parts.processor, LABELS, parts.model.config.label2id)(list(rows["train"]))
    assert batch["labels"].dtype == torch.long
    assert batch["labels"].tolist() == [[0, 1, 2, -100], [2, -100, -100, -100]]
    # An utterance without a label is still context; without text the modality is missing.
    assert batch["utterance_mask"].tolist() == [[True] * 4, [True, False, False, False]]
    assert batch["modality_mask"][..., 0].tolist() == [[True, True, False, True], [True, False, False, False]]
    assert batch["media_problems"] == []


def test_several_labels_are_columns_in_the_order_of_the_model(rows: datasets.DatasetDict, make_parts: Any) -> None:
    parts = make_parts(rows)
    label2id = {"anger": 0, "neutral": 1, "joy": 2}
    config = ErcConfig(feature_sizes={"text": 4}, num_labels=3, problem_type="multi_label_classification")
    labels = [[0, 2], None, [], [1]]
    utterances = [
        {**utterance, "labels": own} for utterance, own in zip(rows["train"][0]["utterances"], labels, strict=True)
    ]
    batch = ErcCollator(parts.processor, LABELS, label2id, config=config)(
        [{**rows["train"][0], "utterances": utterances}]
    )
    # LABELS has joy as 1 and anger as 2; an utterance without labels is not scored, one with none of them is.
    assert batch["labels"][0].tolist() == [[1, 1, 0], [-100] * 3, [0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("problem_type", "columns"),
    [
        ("regression", [[2.5, -99.9999], [-100, 0.0], [-100, -100], [-100, -100]]),
        (None, [[1, 2.5, -99.9999], [2, -100, 0.0], [0, -100, -100], [-100, -100, -100]]),
    ],
)
def test_targets_are_columns_behind_those_of_the_label(
    problem_type: str | None, columns: list[list[float]], rows: datasets.DatasetDict, make_parts: Any
) -> None:
    config = ErcConfig(
        feature_sizes={"text": 4},
        target_names=["valence", "arousal"],
        problem_type=problem_type,
    )
    label2id = {} if problem_type == "regression" else {"anger": 0, "neutral": 1, "joy": 2}
    # A target of -100, the mark of a missing one, is the next number; NaN is a missing one.
    targets = [{"valence": 2.5, "arousal": -100.0}, {"valence": float("nan"), "arousal": 0.0}, {}, None]
    spoken = [
        {**utterance, "targets": own} for utterance, own in zip(rows["train"][0]["utterances"], targets, strict=True)
    ]
    collator = ErcCollator(make_parts(rows).processor, LABELS, label2id, config=config)
    batch = collator([{**rows["train"][0], "utterances": spoken}])
    torch.testing.assert_close(batch["labels"][0].tolist(), [[float(cell) for cell in row] for row in columns])


def test_the_fingerprint_of_a_corpus_is_that_of_its_content() -> None:
    def dialogue(**changed: Any) -> dict[str, Any]:
        utterance = {"utterance_id": "0", "speaker": "A", "text": "hi", "label": 0, "audio_path": "old/clip.wav"}
        return {"dialogue_id": "d", "utterances": [{**utterance, **changed}]}

    def fingerprint(split: str = "train", **changed: Any) -> str:
        return corpus_fingerprint({split: [dialogue(**changed)]})

    assert fingerprint() == fingerprint(audio_path="new/clip.wav")
    others = [
        fingerprint("dev"),
        fingerprint(text="ho"),
        fingerprint(label=1),
        fingerprint(speaker="B"),
        fingerprint(audio_path="old/other.wav"),
        fingerprint(audio_path=None),
        fingerprint(labels=[0]),
        fingerprint(targets={"valence": 1.0}),
        fingerprint(targets={"valence": 2.0}),
    ]
    assert len({fingerprint(), *others}) == 1 + len(others)


def test_a_corpus_without_a_needed_split_is_refused(rows: datasets.DatasetDict) -> None:
    splits = {name: DialogueRows(split) for name, split in rows.items()}
    check_splits(splits, required=["train"])
    with pytest.raises(ValueError, match=r"no dialogue in dev, test \(dialogues: train 2"):
        check_splits(splits)


def test_an_unknown_class_is_refused_with_both_label_sets(rows: datasets.DatasetDict, make_parts: Any) -> None:
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


def test_it_can_be_pickled_for_a_worker(rows: datasets.DatasetDict, make_parts: Any) -> None:
    parts = make_parts(rows)
    collator = ErcCollator(parts.processor, LABELS, parts.model.config.label2id)
    there = pickle.loads(pickle.dumps(collator))
    batch, copy = collator(list(rows["train"])), there(list(rows["train"]))
    assert all(torch.equal(batch[name], copy[name]) for name in batch if isinstance(batch[name], torch.Tensor))


def spoken(tmp_path: Path, usable: int, broken: int) -> list[dict[str, Any]]:
    """Writes clips, the broken ones first, and returns a dialogue for each."""
    rows = []
    for i in range(usable + broken):
        path = tmp_path / f"{i}.wav"
        if i < broken:
            path.write_bytes(b"<html>not found</html>")
        else:
            soundfile.write(path, tone(), RATE)
        rows.append({"utterances": [{"speaker": "A", "text": "Hi.", "audio_path": str(path), "video_path": "no.mp4"}]})
    return rows


@pytest.fixture(scope="module")
def listener() -> ErcProcessor:
    return ErcProcessor(feature_extractor=FRESH["audio"]([])[1], modalities=["audio"])


def test_a_modality_that_is_mostly_broken_stops_the_run(tmp_path: Path, listener: ErcProcessor) -> None:
    with pytest.raises(
        ValueError, match=r"4 of 6 sampled audio clips .*0\.wav.*1\.wav.*2\.wav.*--modalities"
    ) as caught:
        check_media(spoken(tmp_path, usable=2, broken=4), listener)
    assert "3.wav" not in str(caught.value)


@pytest.mark.parametrize(("usable", "broken"), [(2, 2), (0, 0), (3, 1)])
def test_some_broken_clips_and_other_modalities_stop_nothing(
    tmp_path: Path, listener: ErcProcessor, usable: int, broken: int
) -> None:
    check_media(spoken(tmp_path, usable, broken), listener)


def test_the_sample_is_spread_over_the_split(tmp_path: Path, listener: ErcProcessor) -> None:
    # The first 40 of 100 clips are broken: the first 32 alone would stop the run.
    assert SAMPLED_CLIPS == 32
    check_media(spoken(tmp_path, usable=60, broken=40), listener)


def test_pictures_are_checked_too(tmp_path: Path) -> None:
    watcher = ErcProcessor(image_processor=FRESH["vision"]([])[1], modalities=["vision"])
    clip = tmp_path / "face.mp4"
    clip.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match=r"1 of 1 sampled vision clips .*face\.mp4"):
        check_media([{"utterances": [{"speaker": "A", "video_path": str(clip)}]}], watcher)
