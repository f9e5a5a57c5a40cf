"""A small CMU-MOSEI, several emotions and a strength: trained, predicted, drawn, exported, streamed by the commands."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeling_erc.__main__ import main as command
from modeling_erc.hub.run_facts import titles_of
from modeling_erc.loading import load_pipeline
from modeling_erc.timelines import timeline, write_timeline
from tests.small_mosei import EMOTIONS, WIDTHS, write_mosei

pytestmark = pytest.mark.usefixtures("home")
OPTIONS = {"emotions": True, "targets": ["strength"]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Path:
    root = tmp_path_factory.mktemp("mosei")
    corpus = write_mosei(root / "mosei.pkl", videos=16)
    recipe = {
        "dataset": "mosi_features",
        "data_dir": str(corpus),
        "dataset_options": OPTIONS,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_fusion_layers": 1,
        "context_position": "after",
        "context_causal": True,
        "num_train_epochs": 6,
        "learning_rate": 0.01,
        "per_device_train_batch_size": 4,
        "use_cpu": True,
        "disable_tqdm": True,
        "output_dir": str(root / "run"),
    }
    (root / "recipe.yaml").write_text(json.dumps(recipe))
    command(["train", str(root / "recipe.yaml")])
    return root / "run"


@pytest.fixture(scope="module")
def dialogue() -> list[dict[str, Any]]:
    draw = np.random.default_rng(3)
    columns = {"text": "text_features", "audio": "audio_features", "vision": "visual_features"}
    return [
        {"speaker": "Ann", **{columns[m]: draw.standard_normal(width).tolist() for m, width in WIDTHS.items()}}
        for _ in range(5)
    ]


def test_training_learns_labels_and_strength_and_reports_their_scores(trained: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())["test"]
    names = {"macro_f1", "micro_f1", "weighted_accuracy", "mae", "pearson", "ccc", "accuracy_2", "accuracy_7"}
    assert names < set(titles_of(metrics))
    assert metrics["macro_f1"] > 0.6
    assert metrics["ccc"] > 0.1
    assert list(metrics["per_class"]) == list(EMOTIONS)
    config = json.loads((trained / "config.json").read_text())
    assert len(config["label_thresholds"]) == 6
    with (trained / "predictions.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    assert {"strength (true)", "strength (predicted)", "labels", "predictions", *EMOTIONS} < set(row)
    card = (trained / "README.md").read_text()
    assert "all emotions and strength of every utterance" in card
    assert "| strength |" in card
    assert "confusion" not in card


def test_the_pipeline_returns_labels_scores_and_targets_and_a_stream_the_same(
    trained: Path, dialogue: list[dict[str, Any]]
) -> None:
    pipe = load_pipeline(str(trained), "cpu")
    results = pipe(dialogue, modality_scores=True)
    limits = dict(zip(EMOTIONS, pipe.model.config.label_thresholds, strict=True))
    for result in results:
        assert result["labels"] == [name for name in EMOTIONS if result["scores"][name] >= limits[name]]
        assert set(result["targets"]) == {"strength"}
        assert set(result["modality_scores"]["text"]) == {*EMOTIONS, "strength"}
        assert "label" not in result
    for whole, step in zip(results, pipe.stream(dialogue), strict=True):
        assert step["targets"]["strength"] == pytest.approx(whole["targets"]["strength"], abs=1e-4)
        assert step["scores"] == pytest.approx(whole["scores"], abs=1e-4)


@pytest.mark.parametrize("kind", ["csv", "json", "vtt", "png"])
def test_a_timeline_has_labels_and_targets(
    trained: Path, dialogue: list[dict[str, Any]], kind: str, tmp_path: Path
) -> None:
    utterances = [{**turn, "start": i, "end": i + 1.0} for i, turn in enumerate(dialogue)]
    turns = timeline(utterances, load_pipeline(str(trained), "cpu")(dialogue))
    out = tmp_path / f"out.{kind}"
    write_timeline(turns, out)
    if kind == "csv":
        with out.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == ["start", "end", "speaker", "text", "labels", "modalities", "strength", *EMOTIONS]
        assert [float(row["strength"]) for row in rows] == pytest.approx(
            [t.targets["strength"] for t in turns], abs=1e-5
        )
    elif kind == "json":
        kept = json.loads(out.read_text())[0]
        assert kept["targets"] == turns[0].targets
        assert "label" not in kept
    elif kind == "vtt":
        assert f"strength {turns[0].targets['strength']:.1f}]" in out.read_text()
    else:
        assert out.stat().st_size > 10_000


def test_the_exported_graph_gives_the_same_numbers(trained: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    command(["export", str(trained), "--onnx", "--out", str(tmp_path / "onnx")])
    model = json.loads((tmp_path / "onnx" / "model.json").read_text())
    assert model["labels"] == list(EMOTIONS)
    assert model["targets"] == ["strength"]
    assert model["outputs"]["logits"]["shape"] == ["utterances", 7]


def test_analyse_reports_the_scores_and_other_commands_say_why_not(trained: Path, tmp_path: Path) -> None:
    command(["analyse", str(trained), "--out", str(tmp_path / "analysis")])
    report = (tmp_path / "analysis" / "report.md").read_text()
    assert "## Several labels" in report
    assert "## Targets" in report
    with pytest.raises((ValueError, SystemExit), match="robustness compares single labels"):
        command(["robustness", str(trained), "--out", str(tmp_path / "robustness")])


def test_a_table_of_words_with_dimensions_trains_and_predicts_by_the_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"awful": (1.5, 4.0), "fine": (3.0, 2.0), "great": (4.5, 4.5)}
    lines = ["dialogue_id,speaker,text,valence,arousal,split"]
    for number, split in enumerate(["train"] * 4 + ["dev", "test"]):
        for place, (word, (valence, arousal)) in enumerate(words.items()):
            lines.append(f"{number},{'AB'[place % 2]},That is {word}.,{valence},{arousal},{split}")
    (tmp_path / "talk.csv").write_text("\n".join(lines))
    options = ["--dataset_options", '{"targets": ["valence", "arousal"]}', "--data_dir", str(tmp_path / "talk.csv")]
    small = ["--hidden_size", "16", "--text_encoder", "tiny", "--modalities", "text", "--max_steps", "2", "--use_cpu"]
    (tmp_path / "recipe.yaml").write_text("dataset: table\n")
    run = tmp_path / "run"
    command(["train", str(tmp_path / "recipe.yaml"), *options, *small, "--output_dir", str(run)])
    assert json.loads((run / "config.json").read_text())["problem_type"] == "regression"
    (tmp_path / "new.txt").write_text("Ann: That is great.\nBo: That is awful.\n")
    command(["predict", str(run), str(tmp_path / "new.txt"), "--out", str(tmp_path / "new.csv")])
    assert re.search(r"2 utterances in .* s: valence \d\.\d\d \(.*\), arousal", capsys.readouterr().out)
    with (tmp_path / "new.csv").open(newline="") as file:
        assert list(next(csv.DictReader(file)))[4:] == ["modalities", "valence", "arousal"]
