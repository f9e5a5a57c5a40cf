"""Time and memory of code under measurement."""

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
    """Returns the result of a module-level function called in a new process; its exceptions are raised here."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def peak_mb() -> float:
    """Returns the peak resident memory of this process in MB."""
    if _STATUS.exists():
        # `ru_maxrss` would start with the peak of the parent process.
        peak = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / 2**20 if sys.platform == "darwin" else size / 1024


def free_mb() -> float:
    """Returns the available memory in MB; infinite where the system does not report it."""
    info = Path("/proc/meminfo")
    if not info.exists():
        return float("inf")
    return next(int(line.split()[1]) / 1024 for line in info.read_text().splitlines() if "MemAvailable" in line)


class Taken(NamedTuple):
    """Time in seconds: wall clock, and CPU, which depends less on other work on the machine."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> "Taken":
        """Returns the current readings of both clocks."""
        return cls(time.perf_counter(), time.process_time())


class Clock:
    """Measures repeated laps; the fastest lap counts, because other work can only slow a lap down."""

    def __init__(self) -> None:
        self.laps: list[Taken] = []
        self._start = Taken.now()

    def start(self) -> None:
        """Starts a lap."""
        self._start = Taken.now()

    def stop(self) -> None:
        """Ends the lap."""
        end = Taken.now()
        self.laps.append(Taken(end.wall - self._start.wall, end.cpu - self._start.cpu))

    def fastest(self) -> Taken:
        """Returns the shortest times of all laps but the first, which warms up."""
        return Taken(*map(min, zip(*self.laps[1:], strict=True)))


def fastest(call: Callable[[], Any], repeats: int) -> Taken:
    """Returns the shortest time of `repeats` calls after one warm-up call."""
    clock = Clock()
    for _ in range(repeats + 1):
        clock.start()
        call()
        clock.stop()
    return clock.fastest()
