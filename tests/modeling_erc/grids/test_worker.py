import time
from pathlib import Path
from typing import Any

import pytest

from modeling_erc.grids.worker import Worker, train_run
from modeling_erc.hub.run_facts import RunFacts
from modeling_erc.training import train

SCORES = {"accuracy": 0.5, "weighted_f1": 0.4, "macro_f1": 0.3, "per_class": {"joy": {"f1": 0.2, "recall": 0.1}}}


@pytest.mark.parametrize("asked", [False, True], ids=["at rest", "at work"])
def test_a_process_that_dies_is_reported(tmp_path: Path, asked: bool) -> None:
    process = Worker(1)
    if asked:
        process.start(["none.yaml"], tmp_path / "run", tmp_path / "log", keep_model=False)
    process.process.kill()
    assert process.result() == {"error": "its process died with exit code -9"}


@pytest.mark.parametrize("keep_model", [False, True])
def test_a_row_has_the_recorded_training_time_and_the_elapsed_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep_model: bool
) -> None:
    folder = tmp_path / "run"

    def main(argv: list[str]) -> dict[str, Any]:
        assert argv == ["small.yaml", "--output_dir", str(folder), "--disable_tqdm", "true"]
        assert not folder.exists()
        (folder / "checkpoint-3").mkdir(parents=True)
        for name in ("metrics.json", "predictions.csv", "run_config.yaml", "model.safetensors"):
            (folder / name).write_text("")
        sizes: dict[str, int] = {}
        RunFacts("small", "meld", sizes, ["text"], "concat", "none", "train", 1234, 34, 0.125, "cpu", 0).save(folder)
        time.sleep(0.4)
        return {"dev": SCORES, "test": SCORES}

    monkeypatch.setattr(train, "main", main)
    folder.mkdir()
    start = time.perf_counter()
    row = train_run(["small.yaml"], folder, keep_model)
    assert row["train_seconds"] == 0.12
    assert 0.39 < row["seconds"] <= time.perf_counter() - start + 0.01
    assert row["parameters"] == 1234
    assert row["test"] == {"accuracy": 0.5, "weighted_f1": 0.4, "macro_f1": 0.3, "per_class_f1": {"joy": 0.2}}
    kept = {"metrics.json", "predictions.csv", "run_config.yaml"}
    assert {path.name for path in folder.iterdir()} == kept | (
        {"model.safetensors", "run.json"} if keep_model else set()
    )
