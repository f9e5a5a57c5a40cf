import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from modeling_erc.__main__ import main
from modeling_erc.features.feature_store import FeatureStore
from tests.small_run import write_meld

ROOT = Path(__file__).parents[3]
RECIPE = ["meld_text", "--text_encoder", "tiny"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """24 utterances, of which three have the same text."""

    def rows(split: str) -> list[tuple[object, ...]]:
        lines = [(f"Line {number} of {split}.", "Ann", "joy", number // 4, number % 4) for number in range(7)]
        return [*lines, ("Yes.", "Bob", "anger", 1, 3)]

    return write_meld(tmp_path / "meld", {split: rows(split) for split in ("train", "dev", "test")})


def run(tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.slow
def test_two_processes_share_the_work_of_one(corpus: Path, tmp_path: Path) -> None:
    options = [*RECIPE, "--data_dir", str(corpus), "--feature_cache"]
    alone = run(tmp_path, "modeling_erc", "extract", *options, str(tmp_path / "one"))
    assert "text: 22 utterances" in alone.stdout, alone.stderr
    launch = ["accelerate.commands.launch", "--config_file", "modeling_erc/configs/accelerate/cpu_2.yaml", "-m"]
    both = run(tmp_path, *launch, "modeling_erc", "extract", *options, str(tmp_path / "two"))
    assert "text: 22 utterances" in both.stdout, both.stderr

    (one,), (two,) = (list((tmp_path / name / "erc-features").iterdir()) for name in ("one", "two"))
    assert one.name == two.name
    shares = [set(FeatureStore(link(tmp_path, shard))) for shard in two.glob("*.safetensors")]
    assert len(shares) == 2
    assert not shares[0] & shares[1]
    expected = FeatureStore(one)
    for key, value in FeatureStore(two).items():
        torch.testing.assert_close(value, expected[key], atol=1e-5, rtol=0)


def link(tmp_path: Path, shard: Path) -> Path:
    """Makes a folder that holds this shard alone."""
    folder = tmp_path / shard.stem
    folder.mkdir()
    (folder / shard.name).hardlink_to(shard)
    return folder


@pytest.mark.usefixtures("home")
def test_a_recipe_without_a_frozen_backbone_is_refused(corpus: Path) -> None:
    with pytest.raises(SystemExit, match="no frozen backbone"):
        main(["extract", *RECIPE, "--data_dir", str(corpus), "--frozen_modalities", "audio"])
