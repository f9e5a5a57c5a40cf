"""A run that was killed, or whose disk was full, continues as if it had not been interrupted."""

import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import train_hf
from benchmarks.fault_kinds import small_run
from modeling_erc.training.checkpoints import CheckpointError, checkpoints_of, complete_checkpoints, fault_of
from modeling_erc.training.train import main as train_main

pytestmark = pytest.mark.usefixtures("home")
SCRIPT = Path(train_hf.__file__)
STEPS = 10


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command line of the run without its folder."""
    return small_run.write_corpus(tmp_path_factory.mktemp("corpus"), np.random.default_rng(0))


@pytest.fixture(scope="module")
def uninterrupted(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    train_main([*words, "--output_dir", str(folder)])
    assert small_run.state_of(folder)["global_step"] == STEPS
    return folder


@pytest.fixture(scope="module")
def killed_once(words: list[str], uninterrupted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a process that was killed at a random time after its third of five evaluations."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    moment = random.Random()
    evaluations, delay = moment.randrange(3, STEPS // 2), moment.uniform(0, 0.1)
    command = [sys.executable, "-u", str(SCRIPT), *words, "--output_dir", str(folder)]
    with (
        (folder.parent / "err").open("w+") as err,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True) as process,
    ):
        assert process.stdout is not None
        lines = (line for line in process.stdout if "eval_loss" in line)
        for _ in range(evaluations):
            assert next(lines, None), (folder.parent / "err").read_text()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (folder / "metrics.json").exists()
    faults = {path.name: fault for path, fault in checkpoints_of(folder).items()}
    print(f"killed {delay:.2f} s after evaluation {evaluations}: {faults}")
    return folder


@pytest.fixture
def killed(killed_once: Path, tmp_path: Path) -> Iterator[Path]:
    """The folder, restored after each test in the same place, since checkpoints contain each other's paths."""
    shutil.copytree(killed_once, tmp_path / "kept")
    yield killed_once
    shutil.rmtree(killed_once)
    shutil.copytree(tmp_path / "kept", killed_once)


def assert_same(run: Path, other: Path) -> None:
    """Compares bit for bit: weights, optimizer, every logged loss and score, and every probability."""
    logged = small_run.state_of(run)["log_history"]
    assert sum("loss" in entry for entry in logged) == STEPS // 3
    assert sum("eval_loss" in entry for entry in logged) == STEPS // 2
    assert small_run.difference(run, other) is None


def test_a_killed_run_continues_bit_for_bit(killed: Path, uninterrupted: Path, words: list[str]) -> None:
    assert complete_checkpoints(killed)
    train_main([*words, "--output_dir", str(killed), "--resume"])
    assert_same(killed, uninterrupted)


def test_an_incomplete_checkpoint_is_skipped(
    killed: Path, uninterrupted: Path, words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    last, before = complete_checkpoints(killed)[:2]
    content = (last / "optimizer.pt").read_bytes()
    (last / "optimizer.pt").write_bytes(content[: len(content) // 2])
    train_main([*words, "--output_dir", str(killed), "--resume"])
    assert f"{last.name}, optimizer.pt has {len(content) // 2:,} bytes in place of {len(content):,}" in caplog.text
    assert f"Resuming from {before.name}" in caplog.text
    assert_same(killed, uninterrupted)


def test_a_run_without_a_complete_checkpoint_is_refused(killed: Path, words: list[str]) -> None:
    for checkpoint in complete_checkpoints(killed):
        (checkpoint / "whole.json").unlink()
    with pytest.raises(ValueError, match=r"holds no complete checkpoint .*start again with --overwrite"):
        train_main([*words, "--output_dir", str(killed), "--resume"])


@pytest.fixture
def small_disk(uninterrupted: Path, tmp_path: Path) -> Iterator[Path]:
    """A disk with room for one and a half checkpoints."""
    (tmp_path / "disk").mkdir()
    sizes = [path.stat().st_size for path in complete_checkpoints(uninterrupted)[0].rglob("*")]
    size = int(1.5 * sum(-(-size // 4096) * 4096 for size in sizes))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(tmp_path / "disk")]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    yield tmp_path / "disk"
    subprocess.run(["umount", str(tmp_path / "disk")], check=True)


def test_a_full_disk_is_reported_and_keeps_the_last_checkpoint(
    small_disk: Path, uninterrupted: Path, words: list[str]
) -> None:
    run = [*words, "--output_dir", str(small_disk / "run")]
    with pytest.raises(CheckpointError) as error:
        train_main(run)
    print(error.value)
    assert "checkpoint-4 could not be written" in str(error.value)
    assert "checkpoint-2 is complete: make room" in str(error.value)
    assert "--resume" in str(error.value)
    assert {path.name for path in (small_disk / "run").iterdir()} == {"checkpoint-2", "run_identity.json"}
    assert fault_of(small_disk / "run" / "checkpoint-2") is None
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    train_main([*run, "--resume"])
    assert_same(small_disk / "run", uninterrupted)


def test_a_failure_to_write_leaves_the_earlier_checkpoints_unchanged(killed: Path, words: list[str]) -> None:
    before = complete_checkpoints(killed)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(CheckpointError, match=f"{before[0].name} is complete: make room.*--resume"):
            train_main([*words, "--output_dir", str(killed), "--resume"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert complete_checkpoints(killed) == before
