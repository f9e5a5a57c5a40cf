"""The command line: its help, its version and its messages about errors."""

import resource
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from modeling_erc.__main__ import COMMANDS, main
from tests.small_run import SMALL_RECIPE, own_caches, write_meld

CONFIG = f"""{SMALL_RECIPE}
num_train_epochs: 1
"""
# Bytes: larger than any file of the corpus, smaller than a model.
ROOM = 200_000


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate Hugging Face cache, with a small corpus and a recipe."""
    rows = [("glad table", "Ann", emotion, number, 0) for number, emotion in enumerate(["joy", "neutral", "anger"])]
    write_meld(tmp_path / "meld", dict.fromkeys(("train", "dev", "test"), rows))
    (tmp_path / "small.yaml").write_text(CONFIG)
    own_caches(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def little_room() -> Iterator[None]:
    """Limits the size of files to less than a checkpoint needs."""
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
def test_a_full_disk_is_reported_without_a_traceback(home: Path, little_room: None, words: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    message = str(stopped.value.code)
    assert message.startswith("CheckpointError: run") and "There is no complete checkpoint yet: make room" in message
    assert "\n" not in message


@pytest.mark.parametrize("folder", ["small.yaml/run", "/proc/run", "n" * 300], ids=["file", "read-only", "long"])
@pytest.mark.parametrize("command", ["train small.yaml --data_dir meld --output_dir", "cross --train small.yaml --out"])
def test_a_folder_that_cannot_be_written_is_named_in_one_line(home: Path, command: str, folder: str) -> None:
    words = [*command.split(), folder]
    if command.startswith("cross"):
        words += ["--train_dir", "meld", "--test", "meld", "--test_dir", "meld"]
    with pytest.raises(SystemExit) as stopped:
        main(words)
    message = str(stopped.value.code)
    assert folder in message
    assert "\n" not in message


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    printed = capsys.readouterr().out
    assert printed.startswith("usage: modeling-erc COMMAND")
    assert all(f"  {name} " in printed for name in COMMANDS)


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out == f"modeling-erc {version('modeling-erc')}\n"


def test_an_unknown_command_names_the_known_ones() -> None:
    with pytest.raises(SystemExit, match=r"'extrakt': choose one of .*extract"):
        main(["extrakt"])
