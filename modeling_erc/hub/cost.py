"""What a run took: time, and an estimate of energy."""

import time
from dataclasses import dataclass

import psutil

# Assumptions for the estimate: a busy core with its share of memory and power supply, and a data-centre GPU.
CORE_WATTS, GPU_WATTS = 10, 400


@dataclass(frozen=True)
class Cost:
    """What was spent.

    Args:
        seconds: on the clock.
        cpu_seconds: of all cores together.
        gpus: that were held meanwhile.
    """

    seconds: float
    cpu_seconds: float
    gpus: int = 0

    @property
    def watt_hours(self) -> float:
        """Energy by the assumptions above; nothing was measured."""
        return (self.cpu_seconds * CORE_WATTS + self.seconds * self.gpus * GPU_WATTS) / 3600

    def told(self) -> str:
        """Two sentences for a card."""
        gpus = f", {self.gpus} GPU{'s' * (self.gpus > 1)} held" if self.gpus else ", no GPU"
        assumed = f"{CORE_WATTS} W a busy core" + (f" and {GPU_WATTS} W a GPU" if self.gpus else "")
        watt_hours = round(self.watt_hours, 2 if self.watt_hours < 10 else None)
        return (
            f"Measured from the start of the program to the end of training: {self.seconds:.0f} s, "
            f"{self.cpu_seconds:.0f} s of CPU time{gpus}.\n"
            f"Energy, an estimate and no measurement: {watt_hours:g} Wh, assuming {assumed} all the while. "
            "Trials before this run, and what its backbones took elsewhere, are not in it."
        )


class CostMeter:
    """Runs from when it is made.

    Args:
        processes: alike this one that work at the same time; their CPU time is taken to be the same.
        gpus: that all of them hold.
    """

    def __init__(self, *, processes: int = 1, gpus: int = 0) -> None:
        self.processes, self.gpus = processes, gpus
        self._started, self._cpu = time.perf_counter(), _cpu_seconds()

    def read(self) -> Cost:
        """What was spent so far."""
        cpu = (_cpu_seconds() - self._cpu) * self.processes
        return Cost(time.perf_counter() - self._started, cpu, self.gpus)


def _cpu_seconds() -> float:
    """CPU time of this process, of those that it has started and of those that it has started and that have ended."""
    own = psutil.Process()
    times = own.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in own.children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return float(total)
