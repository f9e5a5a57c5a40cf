import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import train_hf
from modeling_erc.grids.grid import finished, locked, next_run, run_grid
from modeling_erc.grids.spec import Run, plan

pytestmark = pytest.mark.usefixtures("home")


def test_cells_that_store_features_start_one_after_the_other() -> None:
    runs = [Run((("text_layer", layer),), seed, (), f"{layer}{seed}", True) for layer in "12" for seed in (0, 1)]
    first, again, second, last = runs
    # The features of the first cell are being computed: its other seed would compute them too.
    assert next_run([again, second, last], [first], set()) is None
    assert next_run([again, second, last], [], {first.cell}) is again
    assert next_run([second, last], [again], {first.cell}) is second
    assert next_run([last], [second], {first.cell}) is None
    without = Run(second.cell, 0, (), "x", False)
    assert next_run([without], [first], set()) is without


@pytest.fixture(scope="module")
def grid(config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Run], list[dict[str, Any]]]:
    """A cell that fails, and two that run one after the other in one process."""
    out = tmp_path_factory.mktemp("grid")
    # A line that a crash cut short, and the leftovers of a kill.
    (out / "results.jsonl").write_text('{"key": "abc", "na')
    runs = plan(config, {"fusion": ["bogus", "joint_vector", "concat"]}, [3], [])
    (out / "runs" / runs[1].name / "checkpoint-1").mkdir(parents=True)
    start = time.perf_counter()
    rows = [row for _, row in run_grid(runs, config, out, jobs=1)]
    (out / "wall_seconds").write_text(str(time.perf_counter() - start))
    return out, runs, rows


def test_a_failing_run_is_recorded_and_the_others_go_on(grid: tuple[Path, list[Run], list[dict[str, Any]]]) -> None:
    out, runs, rows = grid
    failed, *others = rows
    assert "ValueError: unknown fusion 'bogus': choose one of concat" in failed["error"]
    assert "Traceback" in (out / "logs" / f"{runs[0].name}.log").read_text()
    assert all("error" not in row for row in others)
    assert set(finished(out)) == {run.key for run in runs[1:]}


def test_a_row_holds_what_the_run_measured(grid: tuple[Path, list[Run], list[dict[str, Any]]]) -> None:
    out, runs, rows = grid
    row = rows[2]
    assert finished(out)[runs[2].key] == row
    assert (row["overrides"], row["seed"]) == ({"fusion": "concat"}, 3)
    metrics = json.loads((out / "runs" / runs[2].name / "metrics.json").read_text())
    for split in ("dev", "test"):
        assert row[split]["macro_f1"] == metrics[split]["macro_f1"]
        assert row[split]["per_class_f1"]["joy"] == metrics[split]["per_class"]["joy"]["f1"]
    assert row["parameters"] != rows[1]["parameters"]
    assert (out / row["predictions"]).is_file()


def test_the_seconds_of_a_run_include_its_training_and_add_up(
    grid: tuple[Path, list[Run], list[dict[str, Any]]],
) -> None:
    out, _, rows = grid
    assert all(0 < row["train_seconds"] < row["seconds"] for row in rows[1:])
    # One after the other in one process.
    assert sum(row["seconds"] for row in rows[1:]) < float((out / "wall_seconds").read_text())


def test_only_results_and_the_log_are_kept(grid: tuple[Path, list[Run], list[dict[str, Any]]]) -> None:
    out, runs, _ = grid
    for run in runs[1:]:
        kept = {path.name for path in (out / "runs" / run.name).iterdir()}
        assert kept == {"metrics.json", "predictions.csv", "run_config.yaml"}
        log = (out / "logs" / f"{run.name}.log").read_text()
        assert "eval_weighted_f1" in log
        assert "everything is in" in log


@pytest.mark.slow
def test_a_run_in_a_used_process_equals_that_of_a_new_one(
    grid: tuple[Path, list[Run], list[dict[str, Any]]], config: Path, tmp_path: Path
) -> None:
    out, runs, _ = grid
    command = [sys.executable, train_hf.__file__, str(config), *runs[2].words, "--output_dir", str(tmp_path / "run")]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    for name in ("metrics.json", "predictions.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (out / "runs" / runs[2].name / name).read_bytes()


def test_a_run_without_its_predictions_is_not_finished(
    grid: tuple[Path, list[Run], list[dict[str, Any]]], tmp_path: Path
) -> None:
    out, _, rows = grid
    (tmp_path / "results.jsonl").write_bytes((out / "results.jsonl").read_bytes())
    folder = tmp_path / "runs" / rows[1]["name"]
    folder.mkdir(parents=True)
    for kept in (out / "runs" / rows[1]["name"]).iterdir():
        (folder / kept.name).write_bytes(kept.read_bytes())
    assert set(finished(tmp_path)) == {rows[1]["key"]}
    assert not finished(tmp_path, with_models=True)
    (folder / "predictions.csv").unlink()
    assert not finished(tmp_path)


def test_a_folder_is_reserved_by_one_grid(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "out"),
        pytest.raises(FileExistsError, match="another grid is at work"),
        locked(tmp_path / "out"),
    ):
        pass
    with locked(tmp_path / "out"):
        pass
