"""Set-up shared by tests of whole runs: a recipe that trains in a second, a small corpus, and separate caches."""

import csv
import runpy
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import evaluate
import huggingface_hub.constants
import pytest

import train_hf

SCRIPT = Path(train_hf.__file__)
# Text alone, through an untrained encoder; each test adds what it needs.
SMALL_RECIPE = """
dataset: meld
modalities: [text]
text_encoder: tiny
hidden_size: 32
contrastive: none
use_cpu: true
"""
MELD_COLUMNS = ["Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID"]


def own_caches(patch: pytest.MonkeyPatch, home: Path) -> None:
    """Keeps corpora, features and metrics of this process in a folder, out of the user's caches."""
    patch.setattr(datasets.config, "HF_CACHE_HOME", str(home))
    patch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "datasets")
    patch.setattr(evaluate.config, "HF_METRICS_CACHE", home / "metrics")


@contextmanager
def offline_home(home: Path) -> Iterator[Path]:
    """Gives this process, and those that it starts, a Hugging Face folder of their own and no Hub."""
    with pytest.MonkeyPatch.context() as patch:
        own_caches(patch, home)
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        for name, value in {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}.items():
            patch.setenv(name, value)
        yield home


def write_meld(folder: Path, splits: Mapping[str, Iterable[Sequence[object]]]) -> Path:
    """Writes a corpus of text in MELD's layout.

    Args:
        folder: created if it does not exist.
        splits: rows of each split, with the `MELD_COLUMNS`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        with (folder / f"{split}_sent_emo.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([MELD_COLUMNS, *rows])
    return folder


def edit(table: Path, change: Callable[[list[list[str]]], Any]) -> None:
    """Changes the rows of a CSV file."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    change(rows)
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def refusal(words: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs the script with wrong settings and returns its message; the exit status must not be 0."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert stopped.value.code not in (0, None)
    return str(stopped.value.code)
