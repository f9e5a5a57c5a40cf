import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modeling_erc.training import ErcArgumentParser

EPOCHS = 2


def run_of(make_trainer: Any, splits: Any, **settings: Any) -> tuple[Any, int]:
    """Trains for two epochs with an evaluation each; returns the trainer and the number of forward passes."""
    trainer = make_trainer(splits, num_train_epochs=EPOCHS, **settings)
    calls = []
    trainer.model.register_forward_hook(lambda *_: calls.append(1))
    trainer.train()
    return trainer, len(calls)


def test_tensorboard_receives_figure_and_samples_of_each_evaluation(
    splits: Any, make_trainer: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    trainer, calls = run_of(make_trainer, splits, report_to=["tensorboard"])
    (folder,) = {path.parent for path in Path(trainer.args.output_dir).rglob("events.out.tfevents.*")}
    events = accumulator.EventAccumulator(str(folder), size_guidance={"images": 0, "tensors": 0}).Reload()
    pictures = events.Images("eval/confusion_matrix")
    samples = events.Tensors("eval/samples/text_summary")
    assert [entry.step for entry in pictures] == [entry.step for entry in samples] == [2, 4]
    assert all(min(entry.width, entry.height) > 300 for entry in pictures)
    # All of dev is shown.
    text = samples[-1].tensor_proto.string_val[0].decode()
    head, _, *rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines()]
    assert head == ["dialogue", "utterance", "speaker", "text", "label", "prediction"]
    assert len(rows) == 12  # all of dev
    spoken = [(d["dialogue_id"], u) for d in splits["dev"] for u in d["utterances"]]
    names = splits["dev"].features["utterances"].feature["label"].names
    for row, (dialogue, utterance) in zip(rows, spoken, strict=True):
        assert row[:5] == [
            dialogue,
            utterance["utterance_id"],
            utterance["speaker"],
            utterance["text"],
            names[utterance["label"]],
        ]
    # The log needs no forward pass.
    _, without = run_of(make_trainer, splits, output_dir=str(Path(trainer.args.output_dir) / "other"))
    assert calls == without


@pytest.fixture(scope="module")
def trackio_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Trackio's folder, which it takes from the environment when it is imported."""
    pytest.importorskip("tensorboard")
    if "trackio" in sys.modules:
        pytest.skip("trackio was imported before its folder could be chosen")
    folder = tmp_path_factory.mktemp("trackio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKIO_DIR", str(folder))
        pytest.importorskip("trackio")
        yield folder


def test_trackio_keeps_figure_and_samples_on_this_machine(
    trackio_store: Path, splits: Any, make_trainer: Any, tmp_path: Path
) -> None:
    trainer, _ = run_of(make_trainer, splits, report_to=["trackio"], project="erc-test")
    assert trainer.args.run_name == "run"
    with sqlite3.connect(trackio_store / "erc-test.db") as store:
        rows = store.execute("SELECT run_name, metrics FROM metrics ORDER BY step").fetchall()
    logged = [json.loads(metrics) for name, metrics in rows if name == "run"]
    shown = [metrics for metrics in logged if "eval/samples" in metrics]
    assert [metrics["train/global_step"] for metrics in shown] == [2, 4]
    assert any("eval/weighted_f1" in metrics for metrics in logged)
    table = shown[-1]["eval/samples"]["_value"]
    assert len(table) == 12
    assert table[0]["text"] == splits["dev"][0]["utterances"][0]["text"]
    assert {row["prediction"] for row in table} <= set(trainer.metric.label_names)
    pictures = sorted((trackio_store / "media").rglob("*.png"))
    assert len(pictures) == EPOCHS
    with Image.open(pictures[-1]) as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 10


def test_a_logger_that_is_not_installed_is_reported_before_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("modeling_erc.training.arguments.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="--report_to trackio needs the extra 'logging'"):
        ErcArgumentParser().parse_dict({"report_to": ["trackio"], "output_dir": str(tmp_path)})
