"""A run that was killed, or whose disk was full, goes on as if nothing had happened."""

import json
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

import train_hf
from modeling_erc.training import CheckpointError
from modeling_erc.training.checkpoints import checkpoints_of, fault_of
from modeling_erc.training.train import main as train_main
from tests.small_run import own_caches

SCRIPT = Path(train_hf.__file__)
# All that draws random numbers is on; of five steps an epoch every other one is saved, and logged losses lie across.
SETTINGS = {
    "dataset": "mosi_features",
    "dataset_options": {"dev_dialogues": 3},
    "modalities": ["text", "audio"],
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_fusion_layers": 1,
    "hidden_dropout_prob": 0.2,
    "modality_dropout": 0.2,
    "contrastive_memory": 30,
    "num_train_epochs": 2,
    "per_device_train_batch_size": 3,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "save_strategy": "steps",
    "save_steps": 2,
    "logging_strategy": "steps",
    "logging_steps": 3,
    "early_stopping_patience": 6,
    "save_total_limit": 3,
    "use_cpu": True,
    "disable_tqdm": True,
}
STEPS = 10


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Hugging Face cache of its own, for this process and those that it starts."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        own_caches(patch, home)
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        for name, value in {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command line of the run, but for its folder."""
    folder, draw = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    videos = [f"video{number}" for number in range(22)]
    lengths = {video: 1 + number % 5 for number, video in enumerate(videos)}
    labels = {video: draw.integers(0, 2, length).tolist() for video, length in lengths.items()}

    def features(width: int) -> dict[str, Any]:
        return {v: [draw.standard_normal(width) + label for label in labels[v]] for v in videos}

    ids = {v: [f"{v}_{place}" for place in range(n)] for v, n in lengths.items()}
    speakers = {v: ["M"] * n for v, n in lengths.items()}
    said = {v: ["fine"] * n for v, n in lengths.items()}
    members = [ids, speakers, labels, features(6), features(4), {}, said, videos[:18], videos[18:]]
    (folder / "features.pkl").write_bytes(pickle.dumps(members, 2))
    (folder / "small.yaml").write_text(yaml.safe_dump(SETTINGS))
    return [str(folder / "small.yaml"), "--data_dir", str(folder)]


@pytest.fixture(scope="module")
def uninterrupted(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    train_main([*words, "--output_dir", str(folder)])
    assert state_of(folder)["global_step"] == STEPS
    return folder


@pytest.fixture(scope="module")
def killed_once(words: list[str], uninterrupted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a process leaves that is killed anywhere after its third of five evaluations, before it is done."""
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
    found = {path.name: fault for path, fault in checkpoints_of(folder).items()}
    print(f"killed {delay:.2f} s after evaluation {evaluations}: {found}")
    return folder


@pytest.fixture
def killed(killed_once: Path, tmp_path: Path) -> Iterator[Path]:
    """Its folder in its own place, as it was found; checkpoints know each other by their paths."""
    shutil.copytree(killed_once, tmp_path / "kept")
    yield killed_once
    shutil.rmtree(killed_once)
    shutil.copytree(tmp_path / "kept", killed_once)


def whole_ones(run: Path) -> list[Path]:
    return [path for path, fault in checkpoints_of(run).items() if fault is None]


def state_of(run: Path) -> dict[str, Any]:
    """What the last checkpoint says of the run, but for what tells of the clock."""
    state: dict[str, Any] = json.loads((whole_ones(run)[0] / "trainer_state.json").read_text())
    clock = ("_runtime", "_per_second")
    state["log_history"] = [{k: v for k, v in entry.items() if not k.endswith(clock)} for entry in state["log_history"]]
    return state


def assert_same(run: Path, other: Path) -> None:
    """Bit for bit: weights, optimizer, every loss and score that was logged, and every probability."""
    first, second = state_of(run), state_of(other)
    assert first["log_history"] == second["log_history"]
    assert sum("loss" in entry for entry in first["log_history"]) == STEPS // 3
    assert sum("eval_loss" in entry for entry in first["log_history"]) == STEPS // 2
    for name in ("global_step", "best_global_step", "best_metric"):
        assert first[name] == second[name]
    for folder, its in ((whole_ones(run)[0], whole_ones(other)[0]), (run, other)):
        weights, others = (load_file(path / "model.safetensors") for path in (folder, its))
        assert weights.keys() == others.keys()
        assert all(torch.equal(value, others[name]) for name, value in weights.items())
    moments, others = (torch.load(whole_ones(f)[0] / "optimizer.pt", weights_only=True)["state"] for f in (run, other))
    assert all(torch.equal(value, others[n][k]) for n, kept in moments.items() for k, value in kept.items())
    for name in ("metrics.json", "predictions.csv"):
        assert (run / name).read_text() == (other / name).read_text()


def test_a_killed_run_goes_on_bit_for_bit(killed: Path, uninterrupted: Path, words: list[str]) -> None:
    assert whole_ones(killed)
    train_main([*words, "--output_dir", str(killed), "--resume"])
    assert_same(killed, uninterrupted)


def test_a_checkpoint_cut_short_is_passed_over(
    killed: Path, uninterrupted: Path, words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    last, before = whole_ones(killed)[:2]
    content = (last / "optimizer.pt").read_bytes()
    (last / "optimizer.pt").write_bytes(content[: len(content) // 2])
    train_main([*words, "--output_dir", str(killed), "--resume"])
    assert f"{last.name}, optimizer.pt has {len(content) // 2:,} bytes in place of {len(content):,}" in caplog.text
    assert f"Going on from {before.name}" in caplog.text
    assert_same(killed, uninterrupted)


def test_a_run_without_a_whole_checkpoint_is_refused(killed: Path, words: list[str]) -> None:
    for checkpoint in whole_ones(killed):
        (checkpoint / "whole.json").unlink()
    with pytest.raises(ValueError, match=r"holds no whole checkpoint .*start again with --overwrite"):
        train_main([*words, "--output_dir", str(killed), "--resume"])


@pytest.fixture
def small_disk(uninterrupted: Path, tmp_path: Path) -> Iterator[Path]:
    """A disk with room for one checkpoint and a half."""
    (tmp_path / "disk").mkdir()
    sizes = [path.stat().st_size for path in whole_ones(uninterrupted)[0].rglob("*")]
    size = int(1.5 * sum(-(-size // 4096) * 4096 for size in sizes))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(tmp_path / "disk")]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    yield tmp_path / "disk"
    subprocess.run(["umount", str(tmp_path / "disk")], check=True)


def test_a_full_disk_says_what_to_do_and_keeps_the_last_checkpoint(
    small_disk: Path, uninterrupted: Path, words: list[str]
) -> None:
    run = [*words, "--output_dir", str(small_disk / "run")]
    with pytest.raises(CheckpointError) as error:
        train_main(run)
    print(error.value)
    assert "checkpoint-4 could not be written" in str(error.value)
    assert "checkpoint-2 is whole: make room" in str(error.value)
    assert "--resume" in str(error.value)
    assert [path.name for path in (small_disk / "run").iterdir()] == ["checkpoint-2"]
    assert fault_of(small_disk / "run" / "checkpoint-2") is None
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    train_main([*run, "--resume"])
    assert_same(small_disk / "run", uninterrupted)


def test_what_cannot_be_written_leaves_the_checkpoints_as_they_are(killed: Path, words: list[str]) -> None:
    before = whole_ones(killed)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(CheckpointError, match=f"{before[0].name} is whole: make room.*--resume"):
            train_main([*words, "--output_dir", str(killed), "--resume"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert whole_ones(killed) == before
