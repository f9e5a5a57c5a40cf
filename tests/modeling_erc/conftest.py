"""What several folders of tests share: a checkpoint to push, a recipe for grids."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.processing_erc import ErcProcessor
from tests.small_grid import write_recipe


@pytest.fixture
def checkpoint(raw_config: Callable[..., ErcConfig], processor: ErcProcessor, tmp_path: Path) -> Path:
    """A run's folder with all that may lie there, a checkpoint of its training among it."""
    run = tmp_path / "runs" / "erc-001"
    torch.manual_seed(0)
    model = ErcForSequenceClassification(raw_config())
    for folder in (run, run / "checkpoint-6"):
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        (folder / "training_args.bin").write_bytes(b"a pickle")
    scores = {"eval_accuracy": 0.5, "eval_weighted_f1": 0.4, "eval_macro_f1": 0.3}
    state = {"global_step": 6, "epoch": 2.0, "log_history": [{"step": 3, "loss": 1.0}, {"step": 6, **scores}]}
    (run / "checkpoint-6" / "trainer_state.json").write_text(json.dumps(state))
    (run / "checkpoint-6" / "optimizer.pt").write_bytes(b"a pickle")
    (run / "README.md").write_text("---\nlicense: apache-2.0\n---\n\nA card.\n")
    (run / "metrics.json").write_text("{}\n")
    (run / "run_config.yaml").write_text(
        yaml.safe_dump({"data_dir": "/home/ann/corpus", "start_from": "/home/ann/runs/a", "seed": 3})
    )
    (run / "confusion_matrix.png").write_bytes(b"a picture")
    (run / "predictions.csv").write_text("words of a corpus\n")
    (run / "robustness").mkdir()
    (run / "robustness" / "curves.png").write_bytes(b"another picture")
    (run / "runs" / "Nov25").mkdir(parents=True)
    (run / "runs" / "Nov25" / "events.out.tfevents.1").write_bytes(b"logs")
    return run


@pytest.fixture(scope="module")
def config(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe beside its corpus: 12 test utterances, one epoch."""
    return write_recipe(tmp_path_factory.mktemp("recipe"))
