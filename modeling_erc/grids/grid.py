"""Runs a grid: trains the missing runs in worker processes, records them, and compares the cells."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..hub.run_facts import titles_of
from ..plain_json import json_text
from .report import report
from .spec import Cell, Run, cell_name, plan
from .worker import KEPT, Worker


def run_ablation(
    config: Path,
    varied: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
    out: Path,
    *,
    baseline: Cell,
    jobs: int,
    command: str,
    metric: str | None = None,
    classes: Sequence[str] = (),
    extra: Sequence[str] = (),
    keep_models: bool = False,
) -> tuple[str, list[str]]:
    """Trains the runs of a grid that are missing, and writes `table.md`, `table.csv` and `picture.png`.

    Args:
        config: YAML file of the recipe.
        varied: values of each varied field.
        command: the command of the grid, for the report.
        extra: further options for `train_hf.py`; all other arguments are the options of `ablate`.

    Returns:
        the text of `table.md` (empty if no run is finished) and a line for each run that failed.

    Raises:
        ValueError: a field is unknown, or the grid controls it.
        FileExistsError: another grid is running in the same folder.
    """
    runs = plan(config, varied, seeds, extra)
    with locked(out):
        done, failed = train_missing(runs, config, out, jobs=jobs, keep_models=keep_models)
        rows = {(run.cell, run.seed): done[run.key] for run in runs if run.key in done}
        cells = list(dict.fromkeys(run.cell for run in runs))
        text = report(rows, out, cells, baseline, seeds, metric, classes, command) if rows else ""
    return text, failed


def train_missing(
    runs: Sequence[Run], config: Path, out: Path, *, jobs: int, keep_models: bool = False
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Trains the runs that have no row yet, with a progress bar.

    Args:
        runs: all runs of the grid.
        config: YAML file of the recipe.
        out: the grid's folder, reserved by this process.
        jobs: runs at a time.
        keep_models: whether models stay on disk.

    Returns:
        the rows of all finished runs by key, and a line for each run that failed.
    """
    # The recipe may be edited while the grid runs, so all runs read a copy.
    recipe = out / config.name
    if not recipe.exists() or not recipe.samefile(config):
        shutil.copyfile(config, recipe)
    done = finished(out, with_models=keep_models)
    # Two cells may have the same settings.
    missing = list({run.key: run for run in runs if run.key not in done}.values())
    print(f"{len(runs)} runs, {len(missing)} of them still to do; all goes to {out}", flush=True)
    failed = []
    results = run_grid(missing, recipe, out, jobs=jobs, keep_models=keep_models)
    for number, (run, row) in enumerate(bar := tqdm(results, total=len(missing), unit="run"), start=1):
        name = f"{cell_name(run.cell)} seed={run.seed}".strip()
        if "error" in row:
            failed.append(f"{name}: {row['error']}")
            text = f"failed: {row['error']}"
        else:
            text = "  ".join(
                " ".join([split, *(f"{title} {row[split][key]:.4f}" for key, title in titles_of(row[split]).items())])
                for split in ("dev", "test")
                if split in row
            )
        bar.write(f"[{number}/{len(missing)}] {name}: {text}")
    return finished(out), failed


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Reserves a grid's folder for this process."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FileExistsError(f"another grid is at work in {out}: wait for it, or name another --out") from error
        yield


def finished(out: Path, *, with_models: bool = False) -> dict[str, dict[str, Any]]:
    """Returns the rows of `results.jsonl`, by key, of runs whose predictions (and models) are still there."""
    file = out / "results.jsonl"
    rows: dict[str, dict[str, Any]] = {}
    for line in file.read_bytes().splitlines() if file.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):  # a crash may have cut the line short
            row = json.loads(line)
            rows[row["key"]] = row
    needed = [*KEPT, *(["config.json"] if with_models else [])]
    return {
        key: row
        for key, row in rows.items()
        if "error" not in row and all((out / "runs" / row["name"] / name).exists() for name in needed)
    }


def cores() -> int:
    """Returns the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_grid(
    runs: Sequence[Run],
    config: Path,
    out: Path,
    *,
    jobs: int,
    keep_models: bool = False,
) -> Iterator[tuple[Run, dict[str, Any]]]:
    """Trains runs in long-lived worker processes, appends a row to `results.jsonl` for each, and yields it.

    Args:
        runs: runs without a row.
        config: the recipe that they were planned with.
        out: the grid's folder, reserved by this process.
        jobs: number of workers, among which the cores are divided.
        keep_models: whether models stay on disk.

    Yields:
        each run that has ended, and its row; that of a failed run has an `error`.
    """
    for folder in ("runs", "logs"):
        (out / folder).mkdir(exist_ok=True)
    threads = max(1, cores() // jobs)
    pending, started = list(runs), set[Cell]()
    idle: list[Worker] = []
    busy: dict[Connection, tuple[Worker, Run]] = {}
    try:
        while pending or busy:
            while len(busy) < jobs and (run := next_run(pending, [run for _, run in busy.values()], started)):
                worker = idle.pop() if idle else Worker(threads)
                words = [str(config), *run.words]
                worker.start(words, out / "runs" / run.name, out / "logs" / f"{run.name}.log", keep_models)
                pending.remove(run)
                busy[worker.pipe] = (worker, run)
            for pipe in wait(list(busy)):
                worker, run = busy.pop(pipe)  # type: ignore[call-overload]
                result = worker.result()
                if "error" not in result:
                    result["predictions"] = f"runs/{run.name}/predictions.csv"
                started.add(run.cell)
                # The state that a failure leaves in its process must not affect the next run.
                worker.end() if "error" in result else idle.append(worker)
                row = {"key": run.key, "name": run.name, "overrides": dict(run.cell), "seed": run.seed, **result}
                _append(out / "results.jsonl", json_text(row))
                yield run, row
    finally:
        for worker in idle:
            worker.end()
        for worker, _ in busy.values():
            worker.process.kill()


def next_run(pending: Sequence[Run], running: Sequence[Run], started: set[Cell]) -> Run | None:
    """Returns the first run that may start.

    While the first run of a cell stores features of frozen backbones, no other run starts that would store some: the
    next one finds the features of the first.
    """
    filling = any(run.caches and run.cell not in started for run in running)
    return next((run for run in pending if not (filling and run.caches and run.cell not in started)), None)


def _append(file: Path, line: str) -> None:
    """Appends a line with one write call, on a new line even if a crash has cut the last one short."""
    cut = file.exists() and not file.read_bytes().endswith(b"\n")
    with file.open("ab", buffering=0) as rows:
        rows.write(b"\n" * cut + line.encode() + b"\n")
        os.fsync(rows.fileno())
