import csv
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import train_hf
from modeling_erc.grids.grid import Run, finished, locked, next_run, plan, run_grid
from modeling_erc.grids.worker import Worker
from tests.small_run import own_caches

CONFIG = """
dataset: meld
modalities: [text]
text_encoder: tiny
hidden_size: 16
num_attention_heads: 2
num_train_epochs: 2
per_device_train_batch_size: 2
learning_rate: 3.0e-3
hidden_dropout_prob: 0.3
use_cpu: true
"""


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Hugging Face cache of its own, for this process and those that it starts."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        own_caches(patch, home)
        for name, value in {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}.items():
            patch.setenv(name, value)
        yield home


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe whose corpus, in MELD's layout, lies beside it."""
    folder = tmp_path_factory.mktemp("recipe")
    for split, dialogues in {"train": 6, "dev": 3, "test": 3}.items():
        rows = [["Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID"]]
        for dialogue, utterance in itertools.product(range(dialogues), range(4)):
            emotion = ("joy", "anger", "neutral")[(dialogue + utterance) % 3]
            rows.append(
                [f"It is {emotion[:3]} {utterance}", "AB"[utterance % 2], emotion, str(dialogue), str(utterance)]
            )
        with (folder / f"{split}_sent_emo.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    (folder / "small.yaml").write_text(CONFIG + f"data_dir: {folder}\n")
    return folder / "small.yaml"


# ---- planning ----


def test_a_plan_is_every_combination_with_every_seed(config: Path) -> None:
    runs = plan(
        config,
        {"fusion": ["joint_vector", "concat"], "modalities": ["text", "text+audio"]},
        [0, 7],
        ["--lora_rank", "4"],
    )
    assert [(dict(run.cell), run.seed) for run in runs] == [
        ({"fusion": fusion, "modalities": modalities}, seed)
        for fusion in ("joint_vector", "concat")
        for modalities in ("text", "text+audio")
        for seed in (0, 7)
    ]
    assert len({run.key for run in runs}) == len({run.name for run in runs}) == 8
    last = ["--lora_rank", "4", "--fusion=concat", "--modalities", "text", "audio", "--seed", "7"]
    assert list(runs[-1].words) == last
    assert runs[-1].name.startswith("fusion=concat_modalities=text+audio_seed=7-")


def keys(config: Path, *extra: str) -> list[str]:
    return [run.key for run in plan(config, {"fusion": ["joint_vector", "concat"]}, [0], extra)]


def test_a_key_is_of_the_settings_and_not_of_how_they_are_said(config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("# The same.\n" + config.read_text() + "fusion: concat\n")
    assert keys(other) == keys(config)
    assert keys(config, "--learning_rate", "0.003") == keys(config)
    assert keys(config, "--data_dir", os.path.relpath(config.parent)) == keys(config)


def test_a_changed_setting_gives_new_keys(config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(config.read_text().replace("hidden_size: 16", "hidden_size: 32"))
    assert not set(keys(other)) & set(keys(config))
    assert not set(keys(config, "--dataset_options", '{"normalize_text": false}')) & set(keys(config))


def test_a_changed_corpus_gives_new_keys(config: Path, tmp_path: Path) -> None:
    before = keys(config)
    for table in config.parent.glob("*.csv"):
        (tmp_path / table.name).write_bytes(table.read_bytes())
    with (tmp_path / "test_sent_emo.csv").open("a") as file:
        file.write("More.,A,joy,9,0\n")
    assert not set(keys(config, "--data_dir", str(tmp_path))) & set(before)


def test_an_unknown_field_and_one_that_the_grid_sets_are_refused(config: Path) -> None:
    with pytest.raises(ValueError, match=r"fusoin: unknown field .did you mean 'fusion'"):
        plan(config, {"fusoin": ["concat"]}, [0], [])
    with pytest.raises(ValueError, match=r"seed .*--seeds"):
        plan(config, {"seed": ["1"]}, [0], [])
    with pytest.raises(ValueError, match=r"output_dir .*--out"):
        plan(config, {"fusion": ["concat"]}, [0], ["--output_dir=here"])
    with pytest.raises(SystemExit, match=r"learning_rate.*'high'"):
        plan(config, {"learning_rate": ["high"]}, [0], [])


def test_cells_that_cache_features_begin_one_after_the_other() -> None:
    runs = [Run((("text_layer", layer),), seed, (), f"{layer}{seed}", True) for layer in "12" for seed in (0, 1)]
    first, again, second, last = runs
    # The features of the first cell are being computed: its other seed would compute them too.
    assert next_run([again, second, last], [first], set()) is None
    assert next_run([again, second, last], [], {first.cell}) is again
    assert next_run([second, last], [again], {first.cell}) is second
    assert next_run([last], [second], {first.cell}) is None
    without = Run(second.cell, 0, (), "x", False)
    assert next_run([without], [first], set()) is without


# ---- running ----


@pytest.fixture(scope="module")
def grid(config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Run], list[dict[str, Any]]]:
    """A cell that fails, and two that follow each other in one process."""
    out = tmp_path_factory.mktemp("grid")
    # Cut short by a crash, and what a kill has left.
    (out / "results.jsonl").write_text('{"key": "abc", "na')
    runs = plan(config, {"fusion": ["bogus", "joint_vector", "concat"]}, [3], [])
    (out / "runs" / runs[1].name / "checkpoint-1").mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    run_grid(runs, config, out, jobs=1, told=lambda run, row: rows.append(row))
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
    assert row["train_seconds"] <= row["seconds"] + 1
    assert (out / row["predictions"]).is_file()


def test_only_results_and_the_log_are_kept(grid: tuple[Path, list[Run], list[dict[str, Any]]]) -> None:
    out, runs, _ = grid
    for run in runs[1:]:
        kept = {path.name for path in (out / "runs" / run.name).iterdir()}
        assert kept == {"metrics.json", "predictions.csv", "run_config.yaml"}
        log = (out / "logs" / f"{run.name}.log").read_text()
        assert "eval_weighted_f1" in log
        assert "everything is in" in log


@pytest.mark.slow
def test_a_run_in_a_used_process_is_that_of_a_fresh_one(
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


@pytest.mark.parametrize("asked", [False, True], ids=["at rest", "at work"])
def test_a_process_that_dies_is_told_of(tmp_path: Path, asked: bool) -> None:
    worker = Worker(1)
    if asked:
        worker.start(["none.yaml"], tmp_path / "run", tmp_path / "log", keep_model=False)
    worker.process.kill()
    assert worker.result() == {"error": "its process died with exit code -9"}


def test_a_folder_is_held_by_one_grid(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "out"),
        pytest.raises(FileExistsError, match="another grid is at work"),
        locked(tmp_path / "out"),
    ):
        pass
    with locked(tmp_path / "out"):
        pass
