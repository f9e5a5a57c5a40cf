import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from PIL import Image

from modeling_erc.commands import ablate

pytestmark = pytest.mark.usefixtures("home")
ROOT = Path(__file__).parents[3]
VARY = ["--vary", "fusion=joint_vector,concat", "--vary", "contrastive=none"]


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < until, "nothing happened for five minutes"
        time.sleep(0.02)


def rows_of(out: Path) -> list[str]:
    file = out / "results.jsonl"
    return file.read_text().splitlines() if file.exists() else []


def running() -> Iterator[tuple[Path, str, int]]:
    """Processes of this machine that are no zombies, with state and parent; none where there is no /proc."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            yield stat, state, int(parent)


@pytest.fixture(scope="module")
def interrupted(config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], list[str]]:
    """A grid whose process is killed in the middle and started again: folder, command and rows before the kill."""
    out = tmp_path_factory.mktemp("grid") / "out"
    command = [str(config), *VARY, "--seeds", "2", "--jobs", "2", "--out", str(out), "--classes", "joy,fear"]
    words = [sys.executable, "-m", "modeling_erc", "ablate", *command]
    children: list[int] = []
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: len(rows_of(out)) >= 2)
            with pytest.raises(FileExistsError, match="another grid is at work"):
                ablate.main(command)
            children = [int(stat.parent.name) for stat, _, parent in running() if parent == process.pid]
        finally:
            process.send_signal(signal.SIGKILL)
    before = rows_of(out)
    assert 2 <= len(before) < 4
    # Those that train must not go on writing where the second command does.
    wait_for(lambda: not any(stat.parent.name == str(pid) for stat, _, _ in running() for pid in children))
    ablate.main([*command, "--jobs", "1"])
    return out, command, before


def test_a_killed_grid_resumes_and_runs_nothing_twice(interrupted: tuple[Path, list[str], list[str]]) -> None:
    out, _, before = interrupted
    rows = rows_of(out)
    assert rows[: len(before)] == before
    assert len({json.loads(row)["key"] for row in rows}) == len(rows) == 4
    assert len(list((out / "runs").iterdir())) == 4
    assert "runs are missing" not in (out / "table.md").read_text()


def test_a_finished_grid_is_only_compared(
    interrupted: tuple[Path, list[str], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    out, command, _ = interrupted
    before = rows_of(out)
    (out / "table.md").unlink()
    ablate.main([*command, "--metric", "classes_f1", "--baseline", "fusion=concat"])
    assert rows_of(out) == before
    assert "4 runs, 0 of them still to do" in capsys.readouterr().out
    text = (out / "table.md").read_text()
    assert "difference in F1 of joy, fear" in text
    (baseline,) = [line for line in text.splitlines() if "| baseline |" in line]
    assert baseline.startswith("| concat | none | 2 |")
    ablate.main(command)


def test_the_tables_hold_every_cell(interrupted: tuple[Path, list[str], list[str]]) -> None:
    out, command, _ = interrupted
    with (out / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    cells = [(row["fusion"], row["contrastive"]) for row in rows]
    assert cells == [("joint_vector", "none"), ("concat", "none")]
    results = [json.loads(line) for line in rows_of(out)]
    for row in rows:
        own = [r for r in results if r["overrides"] == {"fusion": row["fusion"], "contrastive": row["contrastive"]}]
        assert {r["seed"] for r in own} == {0, 1}
        for metric in ("accuracy", "weighted_f1", "macro_f1"):
            assert float(row[f"{metric}_mean"]) == pytest.approx(sum(r["test"][metric] for r in own) / 2, abs=1e-5)
        rare = sum(r["test"]["per_class_f1"][name] for r in own for name in ("joy", "fear")) / 4
        assert float(row["classes_f1_mean"]) == pytest.approx(rare, abs=1e-5)
        assert int(row["parameters"]) == own[0]["parameters"]
    text = (out / "table.md").read_text()
    assert all(f"| {' | '.join(cell)} | 2 |" in text for cell in cells)
    assert "12 labelled utterances in 3 dialogues" in text
    assert f"--out {out}" in text
    assert command[0] in text
    with Image.open(out / "picture.png") as picture:
        assert abs(picture.width - 1280) <= 2


def test_an_edited_recipe_is_run_again_and_the_old_rows_stay(
    config: Path, interrupted: tuple[Path, list[str], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _, _ = interrupted
    before = rows_of(out)
    edited = tmp_path / config.name
    edited.write_text(config.read_text() + "hidden_dropout_prob: 0.5\n")
    with pytest.raises(SystemExit) as stopped:
        ablate.main([str(edited), "--vary", "fusion=concat,bogus", "--seeds", "1", "--jobs", "1", "--out", str(out)])
    rows = rows_of(out)
    assert rows[:-2] == before
    assert "runs that failed: 1;" in str(stopped.value.code)
    assert "fusion=bogus seed=0: ValueError: unknown fusion 'bogus'" in str(stopped.value.code)
    kept = yaml.safe_load((out / "runs" / json.loads(rows[-2])["name"] / "run_config.yaml").read_text())
    assert kept["hidden_dropout_prob"] == 0.5
    printed = capsys.readouterr().out
    assert "[1/2] fusion=concat seed=0: dev accuracy" in printed
    assert "1 of 2 runs are missing" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to vary"),
        (["--vary", "fusion"], "--vary fusion: expected FIELD=VALUE"),
        (["--vary", "fusoin=concat"], "fusoin: unknown field .did you mean 'fusion'"),
        (["--vary", "fusion=concat", "--seed", "3"], "seed .*--seeds"),
        (["--vary", "fusion=concat", "--seeds", "three"], "--seeds three"),
        (["--vary", "fusion=concat", "--seeds", "0"], "--seeds 1"),
        (["--vary", "fusion=concat", "--baseline", "fusion=gated"], "fusion=gated: no cell .*fusion=concat"),
        (["--vary", "fusion=concat", "--metric", "classes_f1"], "--classes"),
        (["--vary", "fusion=concat", "--fusoin", "x"], "--fusoin"),
        (["--grid", "papre"], "papre: no such file"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_stops_before_anything_is_written(
    config: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        ablate.main([str(config), *words, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_the_recipe_comes_first(config: Path) -> None:
    with pytest.raises(ValueError, match="ablate CONFIG --vary"):
        ablate.main(["--vary", "fusion=concat", str(config)])
