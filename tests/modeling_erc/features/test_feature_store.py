import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from modeling_erc.features.feature_store import FeatureStore

ROOT = Path(__file__).parents[3]


def test_a_store_returns_what_was_written(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "new" / "folder")
    assert len(store) == 0
    flat = {"a": torch.randn(3, 8), "b": torch.randn(1, 8)}
    layered = {"c": torch.randn(4, 5, 8), "d": torch.randn(4, 2, 8)}
    store.write(flat)
    store.write(layered)
    for found in (store, FeatureStore(tmp_path / "new" / "folder")):
        assert set(found) == {"a", "b", "c", "d"}
        assert all(torch.equal(found[key], value) for key, value in {**flat, **layered}.items())
        assert "e" not in found
        assert found.get("e") is None
    with pytest.raises(KeyError):
        store["e"]


KILLED_WRITER = """
import sys, torch
from pathlib import Path
from modeling_erc.features.feature_store import FeatureStore
store = FeatureStore(Path(sys.argv[1]))
store.write({"whole": torch.arange(6.0).view(3, 2)})
store.write({"half": torch.zeros(30_000_000, 1)})
print("not killed in time")
"""


def test_a_writer_killed_in_the_middle_leaves_a_store_that_loads(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", KILLED_WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (list(tmp_path.glob("*.safetensors")) and list(tmp_path.glob("*.writing"))):
        assert writer.poll() is None and time.monotonic() < deadline, "the writer never began its second shard"
    writer.send_signal(signal.SIGKILL)
    assert writer.communicate()[0] == b""
    (half,) = tmp_path.glob("*.writing")
    store = FeatureStore(tmp_path)
    assert list(store) == ["whole"]
    assert store["whole"].tolist() == [[0, 1], [2, 3], [4, 5]]
    half.unlink()
    store.write({"half": torch.ones(2, 2)})
    assert set(FeatureStore(tmp_path)) == {"whole", "half"}


def test_files_of_killed_writers_are_deleted_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    old, new = tmp_path / "old.writing", tmp_path / "new.writing"
    for path in (old, new):
        path.write_bytes(b"half")
    yesterday = time.time() - 24 * 3600
    os.utime(old, (yesterday, yesterday))
    FeatureStore(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


def test_a_shard_without_keys_is_skipped(tmp_path: Path) -> None:
    save_file({"tokens": torch.ones(2, 2), "ends": torch.tensor([2])}, tmp_path / "foreign.safetensors")
    assert len(FeatureStore(tmp_path)) == 0


@pytest.mark.parametrize("left", [0, 100])
def test_a_damaged_shard_is_skipped_and_written_again(tmp_path: Path, left: int) -> None:
    FeatureStore(tmp_path).write({"a": torch.ones(2, 8)})
    (shard,) = tmp_path.glob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:left])
    store = FeatureStore(tmp_path)
    assert "a" not in store
    store.write({"a": torch.ones(2, 8)})
    assert FeatureStore(tmp_path)["a"].shape == store["a"].shape == (2, 8)


def test_a_shard_has_the_mode_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    FeatureStore(tmp_path).write({"a": torch.ones(2, 8)})
    (shard,) = tmp_path.glob("*.safetensors")
    assert shard.stat().st_mode == (tmp_path / "other").stat().st_mode
