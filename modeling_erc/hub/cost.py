"""Cost of a run: time, CPU time, and an estimate of the energy."""

import time
from dataclasses import dataclass

import psutil

# Assumptions of the estimate: a busy core with its part of memory and power supply, and a data-centre GPU.
CORE_WATTS, GPU_WATTS = 10, 400


@dataclass(frozen=True)
class Cost:
    """Resources that a run used.

    Args:
        seconds: wall-clock time.
        cpu_seconds: CPU time, summed over all cores.
        gpus: number of GPUs that were held.
    """

    seconds: float
    cpu_seconds: float
    gpus: int = 0

    @property
    def watt_hours(self) -> float:
        """Energy under the assumptions above; it is not measured."""
        return (self.cpu_seconds * CORE_WATTS + self.seconds * self.gpus * GPU_WATTS) / 3600

    def describe(self) -> str:
        """Returns two sentences for a model card."""
        gpus = f"{self.gpus} GPU{'s' * (self.gpus > 1)}" if self.gpus else "no GPU"
        assumed = f"{CORE_WATTS} W per busy core" + (f" and {GPU_WATTS} W per GPU" if self.gpus else "")
        watt_hours = round(self.watt_hours, 2 if self.watt_hours < 10 else None)
        return (
            f"Measured from the start of the program to the end of training: {self.seconds:.0f} s, "
            f"{self.cpu_seconds:.0f} s of CPU time, {gpus}.\n"
            f"Energy, estimated and not measured: {watt_hours:g} Wh, assuming {assumed} throughout. "
            "Earlier trials and the pretraining of the backbones are not included."
        )


class CostMeter:
    """Measures the cost from its creation on.

    Args:
        processes: number of training processes; each is assumed to use as much CPU time as this one.
        gpus: number of GPUs that all processes hold together.
    """

    def __init__(self, *, processes: int = 1, gpus: int = 0) -> None:
        self.processes, self.gpus = processes, gpus
        self._started, self._cpu = time.perf_counter(), _cpu_seconds()

    def read(self) -> Cost:
        """Returns the cost so far."""
        cpu = (_cpu_seconds() - self._cpu) * self.processes
        return Cost(time.perf_counter() - self._started, cpu, self.gpus)


def _cpu_seconds() -> float:
    """Returns the CPU time of this process and of its child processes, running or ended."""
    own = psutil.Process()
    total = sum(own.cpu_times()[:4])  # user, system, and both of the children that have ended
    for child in own.children(recursive=True):
        try:
            total += sum(child.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return float(total)
