"""Time and memory, measured in a process of their own, so that one measurement does not weigh on the next."""

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

_STATUS = Path("/proc/self/status")


def in_fresh_process(function: Callable[..., Any], *args: Any) -> Any:
    """What a module's function returns when a new process calls it; its errors are raised here."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def peak_mb() -> float:
    """Most memory that this process has had in RAM at a time so far (MB)."""
    if _STATUS.exists():
        # Not `ru_maxrss`, which starts with what the parent had.
        peak = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / 2**20 if sys.platform == "darwin" else size / 1024


def free_mb() -> float:
    """Memory that may still be taken (MB); infinite where the system does not say."""
    info = Path("/proc/meminfo")
    if not info.exists():
        return float("inf")
    return next(int(line.split()[1]) / 1024 for line in info.read_text().splitlines() if "MemAvailable" in line)


class Taken(NamedTuple):
    """Seconds on the wall clock, and seconds of CPU, which other work on the machine lengthens less."""

    wall: float
    cpu: float


class Clock:
    """Notes laps; the fastest counts, since other work can only slow one down."""

    def __init__(self) -> None:
        self.laps: list[Taken] = []
        self._began = Taken(0.0, 0.0)

    def start(self) -> None:
        """Begins a lap."""
        self._began = Taken(time.perf_counter(), time.process_time())

    def stop(self) -> None:
        """Ends it."""
        self.laps.append(Taken(time.perf_counter() - self._began.wall, time.process_time() - self._began.cpu))

    def fastest(self) -> Taken:
        """Of all laps but the first."""
        return Taken(min(lap.wall for lap in self.laps[1:]), min(lap.cpu for lap in self.laps[1:]))


def fastest(call: Callable[[], Any], repeats: int) -> Taken:
    """The fastest of some calls, after one that is not counted."""
    clock = Clock()
    for _ in range(repeats + 1):
        clock.start()
        call()
        clock.stop()
    return clock.fastest()
