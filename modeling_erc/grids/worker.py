"""The worker processes of a grid: each trains one run after another with `train_hf.py`."""

import contextlib
import gc
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from ..hub.run_facts import RunFacts, titles_of
from ..training import train

# Files of a run that stay when its model is deleted.
KEPT = {"metrics.json", "predictions.csv", "run_config.yaml"}


class Worker:
    """A process that trains one run after another: starting a process takes longer than a small run.

    Args:
        threads: maximum number of torch threads.
    """

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, threads))
        self.process.start()
        theirs.close()

    def start(self, words: list[str], folder: Path, log: Path, keep_model: bool) -> None:
        """Starts a run."""
        self.pipe.send((words, folder, log, keep_model))

    def result(self) -> dict[str, Any]:
        """Waits for the run and returns its results, or its `error`."""
        try:
            result: dict[str, Any] = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            return {"error": f"its process died with exit code {self.process.exitcode}"}
        return result

    def end(self) -> None:
        """Ends the process after a run."""
        self.pipe.close()
        self.process.join()


def _work(pipe: Connection, threads: int) -> None:
    """Trains what the parent sends until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # An orphan would go on writing into a folder that the next grid uses.
    threading.Thread(target=_die_with_parent, daemon=True).start()
    # OMP_NUM_THREADS may ask for fewer.
    torch.set_num_threads(min(threads, torch.get_num_threads()))
    while True:
        try:
            words, folder, log, keep_model = pipe.recv()
        except EOFError:
            return
        with _output_into(log):
            try:
                result = train_run(words, folder, keep_model)
            except (Exception, SystemExit) as error:
                traceback.print_exc()
                result = {"error": f"{type(error).__name__}: {error}"}
        pipe.send(result)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def train_run(words: list[str], folder: Path, keep_model: bool) -> dict[str, Any]:
    """Trains a run and deletes what is not kept.

    Args:
        words: command line for `train_hf.py`, without the output folder.
        folder: folder of the run.
        keep_model: whether the model stays on disk.

    Returns:
        for each split the scores, then `parameters`, `train_seconds` of the training loop and `seconds` of everything.
    """
    if folder.exists():
        shutil.rmtree(folder)
    start = time.perf_counter()
    metrics: dict[str, Any] = train.main([*words, "--output_dir", str(folder), "--disable_tqdm", "true"])
    gc.collect()
    seconds = time.perf_counter() - start
    facts = RunFacts.load(folder)
    result: dict[str, Any] = {
        split: {
            **{name: scores[name] for name in titles_of(scores)},
            "per_class_f1": {name: row["f1"] for name, row in scores.get("per_class", {}).items()},
        }
        for split, scores in metrics.items()
    }
    result |= {
        "parameters": facts.parameters,
        "train_seconds": round(facts.seconds, 2),
        "seconds": round(seconds, 2),
    }
    for path in folder.iterdir():
        if path.name.startswith("checkpoint-") or not (keep_model or path.name in KEPT):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return result


@contextlib.contextmanager
def _output_into(log: Path) -> Iterator[None]:
    """Redirects everything that this process and its children print into a file."""
    with log.open("wb") as file:
        sys.stdout.flush(), sys.stderr.flush()
        kept = [os.dup(1), os.dup(2)]
        os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            for number, copy in enumerate(kept, start=1):
                os.dup2(copy, number)
                os.close(copy)
