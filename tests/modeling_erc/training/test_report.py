import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image
from sklearn.metrics import accuracy_score, f1_score
from transformers import set_seed

from datasets_scripts import label_names
from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.hub.run_facts import METRIC_TITLES, RunFacts
from modeling_erc.training import ErcArgumentParser, ErcCollator, ErcTrainer, build
from modeling_erc.training.calibration import fit_temperature
from modeling_erc.training.intervals import bootstrap_weights
from modeling_erc.training.prediction_table import prediction_rows
from modeling_erc.training.report import write_report

LABELS = ["neutral", "joy", "anger"]
# The model has the labels in another order, and one more.
MODEL_LABELS = ["anger", "neutral", "sadness", "joy"]
SETTINGS = {"seed": 3, "modalities": ["text"], "learning_rate": 0.0005, "text_encoder": "tiny"}
FACTS = RunFacts(
    title="erc-test",
    dataset="meld",
    sizes={"train": 8, "dev": 5, "test": 6},
    modalities=["text"],
    fusion="concat",
    contrastive="none",
    command="accelerate launch train_hf.py --seed 3",
    parameters=1234567,
    trainable=765,
    seconds=12.3,
    device="CPU",
    seed=3,
)


class Report(NamedTuple):
    folder: Path
    metrics: dict[str, Any]
    splits: datasets.DatasetDict
    trainer: ErcTrainer


@pytest.fixture(scope="module")
def report(make_splits: Callable[..., datasets.DatasetDict], tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of an untrained model."""
    folder = tmp_path_factory.mktemp("report")
    turns: list[dict[str, Any]] = [
        {"text": "hello, \u201cyou\u201d", "speaker": "Ann", "label": 0},
        {"text": "hooray\nagain", "speaker": "Bo", "label": 1},
        {"text": None, "speaker": "Ann", "label": 2},
        {"text": "no", "speaker": "Cy; D", "label": None},
        {"text": "=well", "speaker": "Ann", "label": 2},
    ]
    splits = make_splits({"train": [turns], "dev": [turns[:1], turns], "test": [turns[1:], turns[3:], turns]})
    small = {"hidden_size": 16, "num_attention_heads": 2, "use_cpu": True, "per_device_eval_batch_size": 2}
    model_args, data_args, args = ErcArgumentParser().parse_dict({**SETTINGS, **small, "output_dir": str(folder)})
    set_seed(0)
    model, processor = build(model_args, data_args, splits, MODEL_LABELS)
    trainer = ErcTrainer(
        model=model,
        args=args,
        eval_dataset=splits["dev"],
        data_collator=ErcCollator(processor, label_names(splits), model.config.label2id),
        processing_class=processor,
    )
    metrics = write_report(trainer, {s: splits[s] for s in ("dev", "test")}, SETTINGS, FACTS, MODEL_LABELS.index("joy"))
    return Report(folder, metrics, splits, trainer)


def predictions(report: Report) -> list[dict[str, str]]:
    with (report.folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_everything_is_in_the_folder(report: Report) -> None:
    names = {path.name for path in report.folder.iterdir()}
    results = {"metrics.json", "predictions.csv", "confusion_matrix.png", "README.md", "run_config.yaml"}
    model = {"model.safetensors", "config.json", "modeling_erc.py", "configuration_erc.py"}
    processor = {"processor_config.json", "processing_erc.py", "tokenizer.json", "tokenizer_config.json"}
    assert results | model | processor <= names


def test_the_model_in_the_folder_is_the_one_that_was_scored(report: Report) -> None:
    saved = ErcForSequenceClassification.from_pretrained(report.folder).state_dict()
    scored = report.trainer.model.state_dict()
    assert set(saved) == set(scored)
    assert all(torch.equal(saved[name], value) for name, value in scored.items())


def test_predictions_have_a_row_for_every_utterance_in_order(report: Report) -> None:
    expected = [
        (split, row["dialogue_id"], u["utterance_id"], u["speaker"], u["text"] or "", u["label"])
        for split in ("dev", "test")
        for row in report.splits[split]
        for u in row["utterances"]
    ]
    rows = predictions(report)
    assert len(rows) == 17
    found = [tuple(row[name] for name in ("split", "dialogue_id", "utterance_id", "speaker", "text")) for row in rows]
    # No text runs as a formula in a spreadsheet.
    assert found == [(*entry[:4], "'=well" if entry[4] == "=well" else entry[4]) for entry in expected]
    # Labels of the corpus, not indices of the model; empty for an utterance without label.
    assert [row["label"] for row in rows] == ["" if label is None else LABELS[label] for *_, label in expected]


def test_probabilities_sum_to_one_and_name_the_prediction(report: Report) -> None:
    for row in predictions(report):
        scores = {name: float(row[name]) for name in MODEL_LABELS}
        assert sum(scores.values()) == pytest.approx(1, abs=1e-5)
        assert min(scores.values()) >= 0
        assert scores[row["prediction"]] == max(scores.values())


def test_probabilities_are_those_of_the_model(report: Report) -> None:
    rows = [row for row in predictions(report) if row["split"] == "test"]
    model, processor = report.trainer.model.eval(), report.trainer.processor
    assert processor is not None
    with torch.no_grad():
        logits = [model(**processor(row)).logits[0] for row in report.splits["test"]]
    expected = torch.cat(logits).softmax(dim=-1)
    found = torch.tensor([[float(row[name]) for name in MODEL_LABELS] for row in rows])
    assert len({tuple(row) for row in found.tolist()}) > 3
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_intervals_draw_dialogues_and_the_floor_is_one_class(report: Report) -> None:
    rows = [row for row in predictions(report) if row["split"] == "test" and row["label"]]
    names = [row["dialogue_id"] for row in rows]
    hits = np.array([row["label"] == row["prediction"] for row in rows])
    members = np.array([[name == dialogue for name in names] for dialogue in sorted(set(names))])
    drawn = bootstrap_weights(3) @ members
    accuracies = drawn @ hits / drawn.sum(axis=1)
    test = report.metrics["test"]
    assert test["intervals"]["accuracy"] == pytest.approx(np.percentile(accuracies, [2.5, 97.5]).tolist())
    # Two of the eight labelled utterances are joy: precision 1/4, recall 1.
    assert len(rows) == 8
    assert test["floor"]["accuracy"] == pytest.approx(1 / 4)
    assert test["floor"]["weighted_f1"] == pytest.approx(1 / 4 * 0.4)
    card = (report.folder / "README.md").read_text(encoding="utf-8")
    low, high = test["intervals"]["weighted_f1"]
    assert f"{test['weighted_f1']:.4f} [{low:.3f}, {high:.3f}]" in card
    assert "| test, most frequent class | 0.2500 | 0.1000 |" in card
    assert "Brackets hold 95 % intervals" in card


@pytest.mark.parametrize("split", ["dev", "test"])
def test_metrics_are_those_of_the_rows(report: Report, split: str) -> None:
    metrics = json.loads((report.folder / "metrics.json").read_text())
    assert metrics == report.metrics
    rows = [row for row in predictions(report) if row["split"] == split and row["label"]]
    true, predicted = [row["label"] for row in rows], [row["prediction"] for row in rows]
    scores = metrics[split]
    assert scores["accuracy"] == pytest.approx(accuracy_score(true, predicted))
    for average in ("weighted", "macro"):
        expected = f1_score(true, predicted, labels=MODEL_LABELS, average=average, zero_division=0)
        assert scores[f"{average}_f1"] == pytest.approx(expected)
    assert {name: row["support"] for name, row in scores["per_class"].items()} == {
        name: true.count(name) for name in MODEL_LABELS
    }
    matrix = np.array(scores["confusion_matrix"])
    assert matrix.sum() == len(rows)
    assert matrix[1, MODEL_LABELS.index(predicted[true.index("neutral")])] > 0


def test_the_temperature_fitted_on_dev_is_saved_and_its_effect_is_in_the_card(report: Report) -> None:
    temperature = json.loads((report.folder / "config.json").read_text())["calibration_temperature"]
    assert temperature != 1.0
    rows = [row for row in predictions(report) if row["split"] == "dev" and row["label"]]
    calibrated = np.log(np.array([[float(row[name]) for name in MODEL_LABELS] for row in rows]))
    labels = np.array([MODEL_LABELS.index(row["label"]) for row in rows])
    # Fitted a second time, nothing is left to change.
    assert fit_temperature(temperature * calibrated, labels) == pytest.approx(temperature, rel=0.01)
    test = report.metrics["test"]
    assert (
        f"test: {test['calibration_error']:.3f} with the temperature that was fitted on dev, "
        f"{test['calibration_error_without_temperature']:.3f} without"
    ) in (report.folder / "README.md").read_text()


def test_the_facts_of_the_run_are_saved(report: Report) -> None:
    assert RunFacts.load(report.folder) == FACTS


def test_the_settings_of_the_run_are_saved(report: Report) -> None:
    assert yaml.safe_load((report.folder / "run_config.yaml").read_text()) == SETTINGS


def test_the_card_agrees_with_metrics_json(report: Report) -> None:
    metrics = json.loads((report.folder / "metrics.json").read_text())
    data: Any = ModelCard.load(report.folder / "README.md").data
    reported = {(result.dataset_split, result.metric_name.lower()): result.metric_value for result in data.eval_results}
    titles = METRIC_TITLES.items()
    assert reported == {
        (split, f"{title} ({split})".lower()): scores[name]
        for split, scores in metrics.items()
        for name, title in titles
    }


def test_the_confusion_matrix_is_an_image(report: Report) -> None:
    with Image.open(report.folder / "confusion_matrix.png") as picture:
        picture.load()
        assert picture.format == "PNG"
        assert min(picture.size) > 300
        assert len(set(picture.convert("RGB").get_flattened_data())) > 10


def test_large_logits_do_not_overflow(make_splits: Callable[..., datasets.DatasetDict]) -> None:
    rows = make_splits({"test": [[{"text": "a", "label": 0}]]})["test"]
    logits = np.array([[[1000.0, -1000.0, 999.0]]], dtype=np.float32)
    config = ErcConfig(id2label=dict(enumerate(LABELS)))
    (row,) = prediction_rows(config, rows, logits, np.array([[0]]))
    assert [float(score) for score in row[-3:]] == pytest.approx([0.731059, 0, 0.268941], abs=1e-6)
