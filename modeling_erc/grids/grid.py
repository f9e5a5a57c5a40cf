"""A grid of runs: every combination of the varied fields with every seed, each trained once and written down."""

import contextlib
import difflib
import fcntl
import functools
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from datasets_scripts import CORPORA, known_options

from ..training.arguments import ErcArgumentParser, changed_settings
from .comparison import Cell, cell_name
from .worker import KEPT, Worker

# What the grid itself sets.
_OWN = {
    "seed": "--seeds sets it",
    "output_dir": "--out sets it",
    "resume": "a grid goes on by itself",
    "overwrite": "name another --out",
}


@dataclass(frozen=True)
class Run:
    """One training of a grid.

    Args:
        cell: the values of the varied fields.
        seed: of the run.
        words: the command line of `train_hf.py`, without the recipe and where the run goes.
        key: hash of all settings and of the corpus' files; equal keys are equal runs.
        caches: whether it computes features of frozen backbones, which other runs may want too.
    """

    cell: Cell
    seed: int
    words: tuple[str, ...]
    key: str
    caches: bool

    @property
    def name(self) -> str:
        """Of its folder."""
        told = re.sub(r"[^\w.=+-]+", "_", f"{cell_name(self.cell)} seed={self.seed}".strip())
        return f"{told[:120]}-{self.key[:8]}"


def plan(config: Path, varied: Mapping[str, Sequence[str]], seeds: Sequence[int], extra: Sequence[str]) -> list[Run]:
    """All runs of a grid, cell after cell.

    Args:
        config: YAML file of the recipe.
        varied: values of each varied field as the command line takes them; those of a list are joined by `+`.
        seeds: of each cell.
        extra: further words of `train_hf.py`'s command line.

    Raises:
        ValueError: a field is unknown, or it is one that the grid sets.
        SystemExit: the recipe or a value does not fit.

    Example:
        >>> runs = plan(Path("configs/mosi.yaml"), {"fusion": ["joint_vector", "concat"]}, [0, 1], [])
        >>> [(run.cell, run.seed) for run in runs]  # doctest: +SKIP
    """
    known = {action.dest: action.nargs for action in reversed(ErcArgumentParser()._actions)}
    for field in varied:
        if field not in known:
            near = difflib.get_close_matches(field, known, n=1)
            raise ValueError(f"--vary {field}: unknown field" + (f" (did you mean {near[0]!r}?)" if near else ""))
    for field in [*varied, *(word[2:].partition("=")[0] for word in extra if word.startswith("--"))]:
        if field in _OWN:
            raise ValueError(f"{field} is not for a grid's recipe: {_OWN[field]}")
    runs = []
    for values in itertools.product(*varied.values()):
        cell = tuple(zip(varied, values, strict=True))
        words = [*extra]
        for field, value in cell:
            words += [f"--{field}", *value.split("+")] if known[field] == "+" else [f"--{field}={value}"]
        model, data, training, _ = ErcArgumentParser().parse([str(config), *words], default_config=config)
        settings = changed_settings(model, data, training)
        settings.pop("data_dir", None)
        files = _files(data.dataset, data.data_dir, json.dumps(data.corpus_options, sort_keys=True))
        for seed in seeds:
            what = json.dumps([{**settings, "seed": seed}, files], sort_keys=True, default=str)
            key = hashlib.sha256(what.encode()).hexdigest()[:16]
            caches = bool(model.frozen_modalities)
            runs.append(Run(cell, seed, (*words, "--seed", str(seed)), key, caches))
    return runs


@functools.cache
def _files(dataset: str, data_dir: str | None, options: str) -> str:
    """Hash of the names, sizes and times of the corpus' files: where they lie is no matter."""
    known_options(dataset)
    builder = CORPORA[dataset](data_dir=data_dir, **json.loads(options))
    stats = sorted((str(path.name), path.stat().st_size, path.stat().st_mtime_ns) for path in builder.files_behind())
    return hashlib.sha256(repr(stats).encode(errors="surrogateescape")).hexdigest()


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Holds a grid's folder for this process.

    Raises:
        FileExistsError: another process holds it.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FileExistsError(f"another grid is at work in {out}: wait for it, or name another --out") from error
        yield


def finished(out: Path, *, with_models: bool = False) -> dict[str, dict[str, Any]]:
    """The rows of `results.jsonl` by key, of runs whose predictions (and models) are still there."""
    file = out / "results.jsonl"
    rows: dict[str, dict[str, Any]] = {}
    for line in file.read_bytes().splitlines() if file.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):  # a line that a crash of the machine cut short
            row = json.loads(line)
            rows[row["key"]] = row
    needed = [*KEPT, *(["config.json"] if with_models else [])]
    return {
        key: row
        for key, row in rows.items()
        if "error" not in row and all((out / "runs" / row["name"] / name).exists() for name in needed)
    }


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_grid(
    runs: Sequence[Run],
    config: Path,
    out: Path,
    *,
    jobs: int,
    keep_models: bool = False,
    told: Callable[[Run, dict[str, Any]], None] = lambda run, row: None,
) -> None:
    """Trains in `jobs` long-lived processes, and appends a row to `results.jsonl` for each run.

    Where frozen backbones are cached no two cells begin at once: the second finds the features of the first.

    Args:
        runs: that have no row yet.
        config: the recipe that they were planned with.
        out: the grid's folder, held by this process.
        jobs: how many at a time, each with its share of the cores.
        keep_models: whether models stay on disk.
        told: is called with each row; that of a run that failed has an `error`.
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
            ready = wait(list(busy))
            for pipe in [pipe for pipe in busy if pipe in ready]:
                worker, run = busy.pop(pipe)
                result = worker.result()
                if "error" not in result:
                    result["predictions"] = f"runs/{run.name}/predictions.csv"
                started.add(run.cell)
                # What a failure leaves behind in its process must not touch the next run.
                worker.end() if "error" in result else idle.append(worker)
                row = {"key": run.key, "name": run.name, "overrides": dict(run.cell), "seed": run.seed, **result}
                _append(out / "results.jsonl", json.dumps(row))
                told(run, row)
    finally:
        for worker in idle:
            worker.end()
        for worker, _ in busy.values():
            worker.process.kill()


def _append(file: Path, line: str) -> None:
    """Adds a line in one piece, below one that a crash may have cut short."""
    cut = file.exists() and not file.read_bytes().endswith(b"\n")
    with file.open("ab", buffering=0) as rows:
        rows.write(b"\n" * cut + line.encode() + b"\n")
        os.fsync(rows.fileno())


def next_run(pending: Sequence[Run], running: Sequence[Run], started: set[Cell]) -> Run | None:
    """The first run that may start: while one that caches fills its cell's features, no other new cell does."""
    filling = any(run.caches and run.cell not in started for run in running)
    return next((run for run in pending if not (filling and run.caches and run.cell not in started)), None)
