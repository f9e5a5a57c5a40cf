"""Disks that are full: a limit of the file size, and a small disk where one can be mounted."""

import resource
import shutil
import subprocess
from pathlib import Path

from modeling_erc.features.feature_store import FeatureStore

from . import Outcome, Plan, children, fault, small_run
from .kills import value

# What a training may say that has no room.
REPORTED = ("could not be written", "No space left on device", "File too large", "cannot be written")


@fault(
    "disk", "a training runs out of room: it ends with an error that says so, and the resumed one is equal to the bit"
)
def disk(plan: Plan) -> Outcome:
    """Trains where files may only have a random size, and on disks of a random size."""
    draw, log, home = plan.draw, plan.folder / "log", plan.folder / "home"
    words, whole = small_run.uninterrupted(plan)
    largest = max(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in next(whole.glob("checkpoint-*")).rglob("*") if path.is_file())

    def limited(run: Path, limit: int) -> None:
        small_run.own_caches(home)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        small_run.train_in(home, words, run)

    failures, stopped = [], 0
    disks = plan.count(4)
    trials = plan.count(12)
    for trial in range(trials):
        place = plan.folder / f"trial{trial}"
        place.mkdir()
        on_disk = trial < disks and mounted(place, int(draw.uniform(0.2, 5) * size))
        trial_log = plan.folder / f"log{trial}"
        limit = resource.RLIM_INFINITY if on_disk else int(draw.uniform(1, 1.1 * largest))
        code = children.run(limited, place / "run", limit, log=trial_log)
        stopped += code == 1
        if code not in (0, 1) or (code == 1 and not any(words in trial_log.read_text() for words in REPORTED)):
            failures.append(f"{trial}: exit code {code}: {children.last_line(trial_log)}")
        if on_disk:
            subprocess.run(["mount", "-o", "remount,size=256m", str(place)], check=True)
        error = small_run.finished(home, words, place / "run", log) or small_run.difference(place / "run", whole)
        if error:
            failures.append(f"{trial}: {error}")
        if on_disk:
            subprocess.run(["umount", str(place)], check=True)
        shutil.rmtree(place)
    return Outcome(trials, failures, f"{stopped} were stopped; the others had room enough")


def mounted(folder: Path, size: int) -> bool:
    """Mounts a disk of `size` bytes in memory; returns whether that is permitted."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@fault("cache_disk", "the feature cache runs out of room: an error, and every key that is listed has its values")
def cache_disk(plan: Plan) -> Outcome:
    """Writes shards where files may only have a random size."""
    draw, log = plan.draw, plan.folder / "log"

    def fill(folder: Path, limit: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        store = FeatureStore(folder)
        for number in range(4):
            store.write({f"key{number}": value(number)[: 50 * (number + 1)]})

    failures = []
    trials = plan.count(40)
    for trial in range(trials):
        folder = plan.folder / f"store{trial}"
        code = children.run(fill, folder, int(draw.uniform(100, 200_000)), log=log)
        store = FeatureStore(folder)
        wrong = [key for key in store if not store[key].equal(value(int(key[3:]))[: 50 * (int(key[3:]) + 1)])]
        left = list(folder.glob("*.writing"))
        if code not in (0, 1) or wrong or left or (code == 0) != (len(store) == 4):
            failures.append(f"{trial}: exit code {code}, {len(store)} keys, {len(wrong)} wrong, {len(left)} files left")
    return Outcome(trials, failures)
