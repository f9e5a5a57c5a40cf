import csv
import dataclasses
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from modeling_erc.analysis.finished_run import Run, frozen_features, load_run, predict
from modeling_erc.training.train import main as train_main
from tests.small_run import own_caches

SETTINGS = {
    "dataset": "meld",
    "modalities": ["text"],
    "text_encoder": "tiny",
    "frozen_modalities": ["text"],
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_train_epochs": 1,
    "per_device_train_batch_size": 4,
    "per_device_eval_batch_size": 2,
    "use_cpu": True,
    "disable_tqdm": True,
    "seed": 5,
}


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        own_caches(patch, home)
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dialogues of different lengths in MELD's layout."""
    folder = tmp_path_factory.mktemp("meld")
    draw = random.Random(0)
    for split, dialogues in {"train": 6, "dev": 3, "test": 5}.items():
        with (folder / f"{split}_sent_emo.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID"])
            for dialogue in range(dialogues):
                for number in range(2 + dialogue):
                    emotion = draw.choice(["joy", "anger", "neutral"])
                    said = f"{emotion} {draw.randrange(99)}"
                    writer.writerow([said, draw.choice(["Ann", "Bo"]), emotion, dialogue, number])
    return folder


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "small.yaml").write_text(yaml.safe_dump(SETTINGS))
    train_main([str(folder / "small.yaml"), "--data_dir", str(corpus), "--output_dir", str(folder / "run")])
    return folder / "run"


@pytest.fixture(scope="module")
def run(finished: Path) -> Run:
    return load_run(finished)


def recorded(finished: Path, split: str) -> list[dict[str, str]]:
    with (finished / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["split"] == split]


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_reopened_run_gives_the_predictions_of_the_end_of_training(finished: Path, run: Run, split: str) -> None:
    rows = recorded(finished, split)
    found = predict(run, run.splits[split])
    assert not run.model.training
    scores = np.exp(found.logits) / np.exp(found.logits).sum(axis=1, keepdims=True)
    expected = [[float(row[name]) for name in run.model_labels] for row in rows]
    np.testing.assert_allclose(scores, expected, atol=2e-5)
    assert [run.model_labels[label] for label in found.labels] == [row["label"] for row in rows]
    ids = [
        (run.splits[split][int(d)]["dialogue_id"], str(p)) for d, p in zip(found.dialogue, found.position, strict=True)
    ]
    assert ids == [(row["dialogue_id"], row["utterance_id"]) for row in rows]


def test_every_array_has_a_row_for_each_utterance(run: Run) -> None:
    found = predict(run, run.splits["test"])
    count = sum(range(2, 7))
    shapes = {name: value.shape for name, value in dataclasses.asdict(found).items() if name != "problems"}
    assert shapes == {
        "logits": (count, 7),
        "labels": (count,),
        "dialogue": (count,),
        "position": (count,),
        "hidden": (count, 16),
        "embeddings": (count, 64),
        "modality_logits": (count, 1, 7),
        "modality_mask": (count, 1),
        "targets": (count, 0),
        "predicted_targets": (count, 0),
    }
    assert found.embeddings is not None
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-5)
    assert found.modality_mask.all()
    # The mean of the joint head's logits and the one modality's.
    joint = found.hidden @ run.model.classifier.weight.detach().numpy().T + run.model.classifier.bias.detach().numpy()
    logits = found.logits * run.model.config.calibration_temperature
    np.testing.assert_allclose((joint + found.modality_logits[:, 0]) / 2, logits, atol=1e-4)


def test_rows_may_be_a_changed_list(run: Run) -> None:
    rows: list[dict[str, Any]] = [dict(row) for row in run.splits["test"]][:2]
    rows[0]["utterances"] = [{**u, "text": None, "label": None} for u in rows[0]["utterances"]]
    found = predict(run, rows)
    assert found.labels[:2].tolist() == [-100, -100]
    assert found.modality_mask[:, 0].tolist() == [False] * 2 + [True] * 3
    np.testing.assert_allclose(found.logits[2:], predict(run, run.splits["test"]).logits[2:5], atol=1e-5)


def test_features_of_frozen_backbones_come_from_the_cache(run: Run) -> None:
    transforms, problems = frozen_features(run, run.splits["test"])
    assert len(transforms) == 1
    assert problems == []
    assert "text" not in transforms[0](run.splits["test"][0]["utterances"])[0]
    by_hand = predict(run, run.splits["test"], transforms=transforms)
    raw = predict(run, run.splits["test"], transforms=[])
    np.testing.assert_allclose(by_hand.logits, predict(run, run.splits["test"]).logits, atol=0)
    np.testing.assert_allclose(raw.logits, by_hand.logits, atol=1e-4)


def test_settings_of_the_run_are_kept(run: Run, corpus: Path) -> None:
    assert run.args.seed == 5
    assert run.data_args.data_dir == str(corpus)
    assert run.label_names == run.model_labels
    assert {split: len(rows) for split, rows in run.splits.items()} == {"train": 6, "dev": 3, "test": 5}


def test_a_corpus_that_has_moved_is_found_in_the_given_folder(
    finished: Path, corpus: Path, run: Run, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint-*"))
    settings = yaml.safe_load((folder / "run_config.yaml").read_text())
    (folder / "run_config.yaml").write_text(yaml.safe_dump({**settings, "data_dir": str(tmp_path / "gone")}))
    with pytest.raises(FileNotFoundError, match="give its folder with --data_dir"):
        load_run(folder)
    moved = load_run(folder, data_dir=corpus)
    np.testing.assert_array_equal(
        predict(moved, moved.splits["dev"]).logits, predict(run, run.splits["dev"]).logits
    )  # fmt: skip


def test_a_folder_without_a_finished_run_is_refused(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_run(tmp_path / "nowhere")
    (tmp_path / "run_config.yaml").write_text("dataset: meld\n")
    with pytest.raises(FileNotFoundError, match=r"no config\.json, model\*\.safetensors; let the run finish"):
        load_run(tmp_path)
    (checkpoint,) = finished.glob("checkpoint-*")
    with pytest.raises(FileNotFoundError, match=f"no run_config.yaml; did you mean {finished}"):
        load_run(checkpoint)


def test_an_empty_split_is_refused(run: Run) -> None:
    with pytest.raises(ValueError, match="no dialogue"):
        predict(run, [])
