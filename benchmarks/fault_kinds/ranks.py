"""Several processes: one of two is killed, and dialogues that divide unevenly."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import train_hf
from modeling_erc.configs import RECIPES
from modeling_erc.training.checkpoints import complete_checkpoints
from tests import exact_runs

from . import Outcome, Plan, children, fault, small_run

ROOT = Path(train_hf.__file__).parent
TOLERANCE = 1e-5


def launch(processes: int, words: list[str], home: Path, log: Path) -> "subprocess.Popen[bytes]":
    """Starts a script with `accelerate launch` on several processes with gloo."""
    config = str(RECIPES / "accelerate" / "cpu_2.yaml")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", config]
    command += ["--num_processes", str(processes), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HOME": str(home)}
    with log.open("ab") as file:
        return subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)


def workers(launcher: int) -> list[int]:
    """Returns the processes that a launcher has started."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == launcher:
                found.append(int(entry.name))
        except (OSError, ValueError):  # it has ended
            continue
    return sorted(found)


@fault(
    "rank_killed",
    "one of two ranks is killed: the other ends too, with an error, and the resumed run is equal to the bit",
)
def rank_killed(plan: Plan) -> Outcome:
    """Kills one of two processes of a training."""
    draw, log, home = plan.draw, plan.folder / "log", plan.folder / "home"
    words = [str(ROOT / "train_hf.py"), *small_run.write_corpus(plan.folder / "corpus", draw)]
    whole = plan.folder / "whole"
    code = launch(2, [*words, "--output_dir", str(whole)], home, log).wait(600)
    if code != 0:
        return Outcome(0, [f"the run without a kill: exit code {code}: {children.last_line(log)}"])
    failures = []
    trials = plan.count(3)
    for trial in range(trials):
        run = plan.folder / f"killed{trial}"
        launcher = launch(2, [*words, "--output_dir", str(run)], home, log)
        started = time.monotonic()
        while not complete_checkpoints(run) and launcher.poll() is None and time.monotonic() < started + 300:
            time.sleep(0.05)
        time.sleep(draw.uniform(0, 0.5))
        if ranks := workers(launcher.pid):
            os.kill(int(draw.choice(ranks)), signal.SIGKILL)
        try:
            code = launcher.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(launcher.pid, signal.SIGKILL)
            failures.append(f"{trial}: the other rank went on for 120 s")
            continue
        if ranks and code == 0:
            failures.append(f"{trial}: exit code 0 after a kill")
        code = launch(2, [*words, "--output_dir", str(run), "--resume"], home, log).wait(600)
        if code != 0:
            failures.append(f"{trial}: exit code {code} of the resumed run: {children.last_line(log)}")
        elif error := small_run.difference(run, whole):
            failures.append(f"{trial}: {error}")
    return Outcome(trials, failures)


@fault(
    "uneven",
    "2 and 4 ranks with dialogues of uneven lengths, some without text: losses, gradients, weights, scores to 1e-5",
)
def uneven(plan: Plan) -> Outcome:
    """Compares trainings on one process with the same ones on two and four."""
    seeds = plan.draw.integers(1_000_000, size=plan.count(3)).tolist()
    kinds: dict[str, dict[str, Any]] = {"features": {"contrastive_memory": 40}, "words": {"text_encoder": "tiny"}}
    jobs = {
        f"{kind}{seed}": {**own, "corpus": kind, "corpus_seed": seed} for kind, own in kinds.items() for seed in seeds
    }
    failures = []
    results: dict[int, dict[str, dict[str, torch.Tensor]]] = {}
    for processes in (1, 2, 4):
        folder, log = plan.folder / f"{processes}", plan.folder / f"log{processes}"
        folder.mkdir(parents=True)
        sizes = {"per_device_train_batch_size": 8 // processes, "per_device_eval_batch_size": 2}
        (folder / "jobs.json").write_text(json.dumps({name: {**job, **sizes} for name, job in jobs.items()}))
        script = [exact_runs.__file__, str(folder / "jobs.json"), str(folder)]
        if processes == 1:
            code = children.run(exact_runs.main, *script[1:], log=log, limit=900)
        else:
            code = launch(processes, script, plan.folder / "home", log).wait(900)
        if code != 0:
            failures.append(f"{processes} processes: exit code {code}: {children.last_line(log)}")
        results[processes] = exact_runs.jobs_done(folder)
    tried, largest = 0, 0.0
    for processes in (2, 4):
        for name, result in results[processes].items():
            gap = distance(result, results[1][f"{name.rpartition('-')[0]}-0"])
            tried, largest = tried + 1, max(largest, gap)
            if not gap < TOLERANCE:
                failures.append(f"{name} of {processes} processes: {gap:.1e}")
    return Outcome(tried, failures, f"largest difference {largest:.0e}")


def distance(result: dict[str, torch.Tensor], whole: dict[str, torch.Tensor]) -> float:
    """Returns the largest difference of two results, but for predictions of padding and random draws."""
    labelled = whole["labels"] >= 0
    if not torch.equal(result["labels"], whole["labels"]):
        return np.inf
    gaps = [(result["predictions"][labelled] - whole["predictions"][labelled]).abs().max().item()]
    for name in whole.keys() - {"predictions", "labels", "draws"}:
        if whole[name].numel():
            gaps.append((result[name].double() - whole[name].double()).abs().max().item())
    return float(max(gaps))
