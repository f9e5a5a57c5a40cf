"""The command line: its help, its version and its messages about errors."""

import os
import resource
import subprocess
import sys
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--help"], ""),
        (["predict", "--help"], ""),
        (["cross", "--help"], ""),
        (["robustness", "--shares", "2", "CKPT"], "shares are from 0 to 1"),
        (["predict", "CKPT", "absent.srt", "--out", "t.csv"], "absent.srt: no such file"),
        (["predict", "CKPT", "talk.txt", "--out", "t.vtt"], "talk.txt has no times"),
    ],
)
def test_help_and_errors_do_not_wait_for_large_libraries(tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "talk.txt").write_text("Ann: We won!\nBo: Oh no.\n")
    large = {"datasets", "matplotlib", "numpy", "sklearn", "torch", "transformers"}
    program = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('loaded:', sorted({large} & sys.modules.keys())))\n"
        "from modeling_erc.__main__ import run\n"
        "run()"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "loaded: []"
    assert message in done.stderr and "Traceback" not in done.stderr
