import pickle
from pathlib import Path

import numpy as np
import pytest

from benchmarks import faults
from benchmarks.fault_kinds import FAULTS, Outcome, Plan, children, pickles


def test_faults_are_counted_and_written_into_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n{faults.START}stale\n{faults.END}after\n")
    assert faults.main(["--only", "media,pickles,cache_disk", "--share", "0.01", "--page", str(page)]) == 0
    before, _, after = page.read_text().partition("| kind |")
    assert before == f"# Before\n{faults.START}" and after.endswith(f"{faults.END}after\n") and "stale" not in after
    assert "12 |" in next(line for line in after.splitlines() if "`media`" in line)
    monkeypatch.setitem(FAULTS, "media", lambda plan: Outcome(2, ["1: broken"]))
    assert faults.main(["--only", "media"]) == 1
    assert "media: 1 of 2 failed" in capsys.readouterr().out


def crash(item: int) -> str | None:
    if item == 1:
        raise SystemExit(3)
    return "bad" if item == 2 else None


def test_a_process_that_ends_is_a_failure_and_the_others_are_tried(tmp_path: Path) -> None:
    failures = children.each(crash, [0, 1, 2, 3], tmp_path / "log", limit=60)
    assert failures == ["1: the process died with exit code 3", "2: bad"]


def test_the_hostile_pickles_are_dangerous(tmp_path: Path) -> None:
    """Otherwise their refusal would show nothing."""
    canary = tmp_path / "canary"
    live = [data for name, data in pickles.gadgets(canary).items() if name.startswith("io.open by global")]
    assert len(live) == 1
    children.run(pickle.loads, live[0], log=tmp_path / "log")
    assert canary.exists()


def test_plans_draw_the_same_for_a_seed(tmp_path: Path) -> None:
    first, second = (Plan(tmp_path, 3, 0.5).draw.random(4) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (Plan(tmp_path, 3, 0.5).count(10), Plan(tmp_path, 3, 0.001).count(10)) == (5, 1)
