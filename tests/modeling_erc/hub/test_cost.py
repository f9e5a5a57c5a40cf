import subprocess
import sys
import time

import pytest

from modeling_erc.hub.cost import Cost, CostMeter

BUSY = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass"


def test_time_of_this_process_and_of_those_it_started_is_measured() -> None:
    meter, started = CostMeter(processes=2, gpus=1), time.perf_counter()
    ended = subprocess.run([sys.executable, "-c", BUSY.format(0.3)], check=True)
    running = subprocess.Popen([sys.executable, "-c", BUSY.format(0.3) + "\ntime.sleep(60)"])
    try:
        exec(BUSY.format(0.3))
        while meter.read().cpu_seconds < 2 * 0.85 and time.perf_counter() - started < 30:
            time.sleep(0.05)
        cost = meter.read()
    finally:
        running.kill()
        running.wait()
    assert ended.returncode == 0
    # Two processes are said to be alike this one.
    assert cost.cpu_seconds >= 2 * 0.85
    assert cost.cpu_seconds < 2 * 5
    assert cost.seconds == pytest.approx(time.perf_counter() - started, abs=2)
    assert cost.gpus == 1


def test_the_estimate_is_named_as_one_with_its_assumptions() -> None:
    cost = Cost(seconds=3600, cpu_seconds=7200, gpus=2)
    assert cost.watt_hours == 7200 / 3600 * 10 + 2 * 400
    assert "estimate" in cost.told()
    assert "8.2e+02" not in cost.told()
    assert "820 Wh, assuming 10 W a busy core and 400 W a GPU" in cost.told()
