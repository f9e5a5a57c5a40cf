"""Time and memory, measured in a process of their own, so that one measurement does not weigh on the next."""

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

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


def seconds(call: Callable[[], Any], repeats: int) -> float:
    """Median time of a call after one that is not counted, on the device's clock where there is one."""
    taken = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])
