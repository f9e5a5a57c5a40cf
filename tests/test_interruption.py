"""Ctrl-C and SIGTERM end a training in one line that says how it continues."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modeling_erc.training import ErcTrainingArguments
from modeling_erc.training.checkpoints import complete_checkpoints, naming_resume
from tests.small_run import SMALL_RECIPE, write_meld


def heed_sigint() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("number", "code", "name"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")], ids=["int", "term"]
)
def test_a_stopped_training_names_resume_in_one_line(
    home: Path, tmp_path: Path, number: signal.Signals, code: int, name: str
) -> None:
    rows = [("glad table", "Ann", emotion, number, 0) for number, emotion in enumerate(["joy", "neutral", "anger"])]
    write_meld(tmp_path / "meld", dict.fromkeys(("train", "dev", "test"), rows))
    (tmp_path / "small.yaml").write_text(f"{SMALL_RECIPE}\nnum_train_epochs: 1000\n")
    command = [sys.executable, "-u", "-m", "modeling_erc", "train", str(tmp_path / "small.yaml")]
    command += ["--data_dir", str(tmp_path / "meld"), "--output_dir", str(tmp_path / "run")]
    with (
        (tmp_path / "err").open("w+") as err,
        # A job in the background ignores SIGINT, and its children with it.
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True, preexec_fn=heed_sigint) as process,
    ):
        assert process.stdout is not None
        for _ in range(3):
            assert next((line for line in process.stdout if "eval_loss" in line), None), (tmp_path / "err").read_text()
        process.send_signal(number)
        process.stdout.read()
    errors = (tmp_path / "err").read_text()
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    last = complete_checkpoints(tmp_path / "run")[0]
    expected = f"stopped by {name}: {last} is complete: continue with --resume --output_dir {tmp_path / 'run'}"
    assert errors.rstrip("\n").endswith(expected)


def test_a_training_without_checkpoint_says_so(tmp_path: Path) -> None:
    args = ErcTrainingArguments(output_dir=str(tmp_path))
    with pytest.raises(KeyboardInterrupt, match="no complete checkpoint"), naming_resume(args):
        raise KeyboardInterrupt
