"""One large batch, several processes, several accumulated parts: the same loss, gradient and weights."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from modeling_erc.configs import RECIPES
from tests import exact_runs

ROOT = Path(exact_runs.__file__).parents[1]
Settings = dict[str, Any]
Results = dict[str, dict[str, Tensor]]
# How the batch of eight is divided in each case, and the objectives.
WHOLE: Settings = {"per_device_train_batch_size": 8}
PARTS: Settings = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
HALVES: Settings = {"per_device_train_batch_size": 4, "per_device_eval_batch_size": 2}
OBJECTIVES: dict[str, Settings] = {
    "inter_class": {"contrastive_memory": 40},
    "supcon": {"contrastive": "supcon"},
    "none": {"contrastive": "none", "label_smoothing": 0.1},
    "targets": {"corpus": "targets", "target_loss": "mae"},
    # Concordance is a statistic of the whole batch.
    "concordance": {"corpus": "targets", "target_loss": "ccc"},
    # Few dialogues have text, so that some batches do not use the text encoder.
    "words": {"text_encoder": "tiny", "corpus": "words"},
}
SINGLE: Settings = {"per_device_train_batch_size": 1, "max_steps": 10}
# Twenty dialogues make two batches of eight per epoch.
DROP_LAST: Settings = {"contrastive": "none", "dataloader_drop_last": True}
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def whole() -> Results:
    """One process, one large batch."""
    pairs = {**SINGLE, "per_device_train_batch_size": 2}
    return {name: exact_runs.train({**WHOLE, **own}) for name, own in OBJECTIVES.items()} | {
        "single": exact_runs.train(pairs),
        "drop_last": exact_runs.train({**WHOLE, **DROP_LAST}),
    }


def launched(processes: int, jobs: dict[str, Settings], folder: Path) -> Results:
    """Runs all jobs of several processes in one launch; the results are named `<name>-<rank>`."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    launch = [
        "accelerate.commands.launch",
        "--config_file",
        str(RECIPES / "accelerate" / "cpu_2.yaml"),
        "--num_processes",
        str(processes),
    ]
    done = subprocess.run(
        [sys.executable, "-m", *launch, str(Path(exact_runs.__file__)), str(folder / "jobs.json"), str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    results = exact_runs.jobs_done(folder)
    assert len(results) == processes * len(jobs), f"{processes} processes took part"
    return results


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Results:
    jobs = {name: {**HALVES, **own} for name, own in OBJECTIVES.items()}
    # In some steps a process has no labelled utterance.
    jobs["single"] = SINGLE
    jobs["drop_last"] = {**HALVES, **DROP_LAST}
    quarters: Settings = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "gradient_cache": True}
    jobs["accumulated"] = {**quarters, **OBJECTIVES["supcon"]}
    return launched(2, jobs, tmp_path_factory.mktemp("two_processes"))


def difference(first: dict[str, Tensor], second: dict[str, Tensor], kind: str) -> float:
    """The largest difference between all values of a kind."""
    names = {name for name in first if name.startswith(kind)}
    assert names
    assert names == {name for name in second if name.startswith(kind)}
    pairs = [(first[name].double(), second[name].double()) for name in names if first[name].numel()]
    return max(float((a - b).abs().max()) for a, b in pairs)


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor], what: str) -> None:
    found = {kind: difference(first, second, kind) for kind in ("losses", "gradient", "weight")}
    print(f"{what}: " + "  ".join(f"{kind} {value:.1e}" for kind, value in found.items()))
    assert max(found.values()) < TOLERANCE, found


@pytest.mark.parametrize("objective", [*OBJECTIVES, "single", "drop_last"])
@pytest.mark.parametrize("rank", [0, 1])
def test_two_processes_equal_one(whole: Results, two_processes: Results, objective: str, rank: int) -> None:
    assert_equal(whole[objective], two_processes[f"{objective}-{rank}"], f"two processes, {objective}, rank {rank}")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_two_processes_have_the_predictions_and_scores_of_one(
    whole: Results, two_processes: Results, objective: str
) -> None:
    one = whole[objective]
    labelled = one["labels"] >= 0
    for rank in (0, 1):
        two = two_processes[f"{objective}-{rank}"]
        assert torch.equal(one["labels"], two["labels"]), "seven dialogues fill no batch, and none is scored twice"
        torch.testing.assert_close(one["predictions"][labelled], two["predictions"][labelled], atol=1e-5, rtol=0)
        torch.testing.assert_close(one["scores"], two["scores"], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_four_processes_equal_one(whole: Results, tmp_path: Path) -> None:
    quarters: Settings = {"per_device_train_batch_size": 2, "per_device_eval_batch_size": 1}
    four = launched(4, {name: {**quarters, **own} for name, own in OBJECTIVES.items()}, tmp_path)
    for result, found in four.items():
        objective, rank = result.rsplit("-", 1)
        assert_equal(whole[objective], found, f"four processes, {objective}, rank {rank}")
        labelled = whole[objective]["labels"] >= 0
        torch.testing.assert_close(
            found["predictions"][labelled], whole[objective]["predictions"][labelled], atol=1e-5, rtol=0
        )
        torch.testing.assert_close(found["scores"], whole[objective]["scores"], atol=1e-5, rtol=0)


def test_two_processes_draw_different_random_numbers(two_processes: Results) -> None:
    first, second = (two_processes[f"single-{rank}"]["draws"] for rank in (0, 1))
    assert not torch.equal(first, second), "dropout and dropped modalities would be equal in both"


@pytest.mark.parametrize("objective", sorted({*OBJECTIVES} - {"concordance"}))
def test_accumulated_parts_equal_one_batch_with_the_gradient_cache(whole: Results, objective: str) -> None:
    parts = exact_runs.train({**PARTS, **OBJECTIVES[objective], "gradient_cache": True})
    assert_equal(whole[objective], parts, f"two accumulated parts with the cache, {objective}")


def test_accumulated_parts_without_the_cache_are_contrasted_one_by_one(whole: Results) -> None:
    parts = {name: exact_runs.train({**PARTS, **OBJECTIVES[name]}) for name in ("none", "supcon")}
    assert_equal(whole["none"], parts["none"], "two accumulated parts, none")
    # Fewer negatives give a smaller loss. The third step has only four dialogues, so it is not compared.
    less = whole["supcon"]["losses"] - parts["supcon"]["losses"]
    assert less[[0, 1, 3, 4]].min() > 0.1


def test_two_processes_with_accumulated_parts_equal_one_batch(whole: Results, two_processes: Results) -> None:
    assert_equal(whole["supcon"], two_processes["accumulated-0"], "two processes with two parts each")


def test_the_steps_change_the_loss(whole: Results) -> None:
    for name, result in whole.items():
        assert result["losses"].diff().abs().min() > 1e-3, name
        gradients = [value.abs().max() for key, value in result.items() if key.startswith("gradient")]
        assert len(gradients) > 20
        assert max(gradients) > 1e-2
