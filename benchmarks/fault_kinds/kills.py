"""Processes killed (SIGKILL) at random moments: what they left is used, and the result is that without a kill."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.numpy import load_file

from datasets_scripts.pickles.convert import FEATURES, UTTERANCES, convert
from modeling_erc.features.feature_store import FeatureStore

from . import Outcome, Plan, children, fault, small_run


def seconds_of(call: Callable[[], Any]) -> float:
    """Returns how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@fault(
    "kills", "a training is killed, once or several times, and resumed: weights, optimizer, logs and scores to the bit"
)
def kills(plan: Plan) -> Outcome:
    """Kills trainings at random moments and resumes them."""
    draw, log, home = plan.draw, plan.folder / "log", plan.folder / "home"
    start = time.perf_counter()
    words, whole = small_run.uninterrupted(plan)
    lasting = time.perf_counter() - start
    failures, early, killed = [], 0, 0
    trials = plan.count(30)
    for trial in range(trials):
        run = plan.folder / f"killed{trial}" / "run"
        for _ in range(int(draw.integers(1, 4))):
            code = children.run(small_run.train_in, home, words, run, log=log, kill_after=draw.uniform(0, lasting))
            killed += code == -9
            if code not in (0, -9):
                failures.append(f"{trial}: exit code {code} after a kill: {children.last_line(log)}")
            if code == 0:
                early += 1
                break
        else:
            if error := small_run.finished(home, words, run, log):
                failures.append(f"{trial}: {error}")
                continue
        if error := small_run.difference(run, whole):
            failures.append(f"{trial}: {error}")
        shutil.rmtree(run.parent)
    return Outcome(trials, failures, f"{killed} kills; {early} runs ended before theirs")


def value(number: int) -> torch.Tensor:
    """Returns the features of a key, which differ from those of all others."""
    return torch.arange(40_000.0).view(200, 200) + number


@fault(
    "cache",
    "a writer of the feature cache is killed: each key that is listed has its values, the next run adds the rest",
)
def cache(plan: Plan) -> Outcome:
    """Kills processes that write shards of features."""
    draw, log, keys = plan.draw, plan.folder / "log", [f"key{number}" for number in range(40)]

    def fill(folder: Path) -> None:
        store = FeatureStore(folder)
        for number, key in enumerate(keys):
            if key not in store:
                store.write({key: value(number)})

    lasting = seconds_of(lambda: children.run(fill, plan.folder / "whole", log=log))
    failures, left = [], 0
    trials = plan.count(60)
    for trial in range(trials):
        folder = plan.folder / f"killed{trial}"
        children.run(fill, folder, log=log, kill_after=draw.uniform(0, lasting))
        for code in (-9, children.run(fill, folder, log=log)):
            store = FeatureStore(folder)
            left += sum(1 for _ in folder.glob("*.writing")) if code == -9 else 0
            wrong = [
                key for number, key in enumerate(keys) if key in store and not torch.equal(store[key], value(number))
            ]
            if wrong or (code != -9 and (code != 0 or set(store) != set(keys))):
                failures.append(f"{trial}: exit code {code}, {len(store)} keys, {len(wrong)} of them wrong")
        shutil.rmtree(folder)
    return Outcome(
        trials, failures, f"{left} files of killed writers were left for the hour after which they are deleted"
    )


@fault(
    "conversion",
    "the conversion of a feature pickle is killed: there is no half folder, and the next run gives the same tables",
)
def conversion(plan: Plan) -> Outcome:
    """Kills conversions of a feature pickle."""
    draw, log = plan.draw, plan.folder / "log"
    small_run.write_corpus(plan.folder / "corpus", draw)
    file = plan.folder / "corpus" / "features.pkl"

    def converted(home: Path) -> None:
        small_run.own_caches(home)
        convert(file)

    def converted_folders(home: Path) -> list[Path]:
        # That of a killed conversion is hidden.
        return [path for path in home.glob("erc-pickles/*") if not path.name.startswith(".")]

    def tables(home: Path) -> list[Any]:
        (folder,) = converted_folders(home)
        return [pq.read_table(folder / UTTERANCES).to_pylist(), load_file(folder / FEATURES)]

    def compare(home: Path) -> None:
        (rows, values), (others, other_values) = tables(home), tables(plan.folder / "whole")
        assert rows == others and values.keys() == other_values.keys()
        assert all(np.array_equal(values[name], other_values[name], equal_nan=True) for name in values)

    lasting = seconds_of(lambda: children.run(converted, plan.folder / "whole", log=log))
    failures = []
    trials = plan.count(40)
    for trial in range(trials):
        home = plan.folder / f"killed{trial}"
        children.run(converted, home, log=log, kill_after=draw.uniform(0, lasting))
        codes = [children.run(compare, home, log=log)] if converted_folders(home) else []
        codes += [children.run(converted, home, log=log), children.run(lambda home: compare(home), home, log=log)]
        if any(codes):
            failures.append(f"{trial}: exit codes {codes}: {children.last_line(log)}")
        shutil.rmtree(home, ignore_errors=True)
    return Outcome(trials, failures)
