"""What the command line tells of errors."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from modeling_erc.__main__ import main
from tests.small_run import SMALL_RECIPE, own_caches

HEADER = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\n"
CONFIG = f"""{SMALL_RECIPE}
num_train_epochs: 1
"""
# More than the corpus takes on the disk, less than a model does.
ROOM = 200_000


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Hugging Face cache of its own, with a small corpus and a recipe."""
    (tmp_path / "meld").mkdir()
    for split in ("train", "dev", "test"):
        rows = "".join(f"glad table,Ann,{e},{n},0\n" for n, e in enumerate(["joy", "neutral", "anger"]))
        (tmp_path / "meld" / f"{split}_sent_emo.csv").write_text(HEADER + rows)
    (tmp_path / "small.yaml").write_text(CONFIG)
    own_caches(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file may grow as large as a checkpoint is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "words",
    [
        "train small.yaml --data_dir meld --output_dir run",
        "cross --train small.yaml --train_dir meld --test meld --test_dir meld --out run",
    ],
    ids=["train", "cross"],
)
def test_a_full_disk_is_told_without_a_traceback(home: Path, little_room: None, words: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    told = str(stopped.value.code)
    assert told.startswith("CheckpointError: run") and "There is no whole checkpoint yet: make room" in told
    assert "\n" not in told


def test_another_fault_of_a_path_is_no_failed_checkpoint(home: Path) -> None:
    with pytest.raises(NotADirectoryError):
        main(["train", "small.yaml", "--data_dir", "meld", "--output_dir", "small.yaml/run"])
