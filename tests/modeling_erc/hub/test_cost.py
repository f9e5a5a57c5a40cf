import subprocess
import sys
import time

import pytest

from modeling_erc.hub.cost import Cost, CostMeter

BUSY = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass\n"


@pytest.mark.parametrize("ended", [True, False])
def test_cpu_time_of_a_child_process_is_counted_while_it_runs_and_after_it_ended(ended: bool) -> None:
    meter, own = CostMeter(), time.process_time()
    wait = "" if ended else "print(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", BUSY + wait], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()  # at the latest when the child ends
        if ended:
            child.wait()
        seconds = meter.read().cpu_seconds - (time.process_time() - own)
        child.kill()
    # Starting Python takes a little CPU time as well.
    assert 0.45 < seconds < 2


def test_cpu_time_is_that_of_all_processes_and_the_clock_runs_once() -> None:
    meter, started, own = CostMeter(processes=3, gpus=2), time.perf_counter(), time.process_time()
    exec(BUSY)
    cost = meter.read()
    assert cost.cpu_seconds == pytest.approx(3 * (time.process_time() - own), abs=0.15)
    assert cost.seconds == pytest.approx(time.perf_counter() - started, abs=0.1)
    assert cost.gpus == 2


def test_the_energy_is_described_as_an_estimate_with_its_assumptions() -> None:
    cost = Cost(seconds=3600, cpu_seconds=7200, gpus=2)
    assert cost.watt_hours == 7200 / 3600 * 10 + 2 * 400
    assert "estimated and not measured: 820 Wh, assuming 10 W per busy core and 400 W per GPU" in cost.describe()
