"""Parts that tests of grids share: a recipe with its corpus, and made-up predictions of a grid's runs."""

import contextlib
import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modeling_erc.grids.comparison import Comparison, Predictions, compare
from modeling_erc.grids.spec import Cell
from tests.small_run import own_caches

RECIPE = """
dataset: meld
modalities: [text]
text_encoder: tiny
hidden_size: 16
num_attention_heads: 2
num_train_epochs: 1
per_device_train_batch_size: 2
learning_rate: 3.0e-3
hidden_dropout_prob: 0.3
use_cpu: true
"""


@contextlib.contextmanager
def own_home(home: Path) -> Iterator[Path]:
    """A Hugging Face cache for this process and those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        own_caches(patch, home)
        for name, value in {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}.items():
            patch.setenv(name, value)
        yield home


def write_recipe(folder: Path) -> Path:
    """Writes a recipe beside its corpus, which has MELD's layout and 12 test utterances."""
    for split, dialogues in {"train": 6, "dev": 3, "test": 3}.items():
        rows = [["Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID"]]
        for dialogue, utterance in itertools.product(range(dialogues), range(4)):
            emotion = ("joy", "anger", "neutral")[(dialogue + utterance) % 3]
            said = f"It is {emotion[:3]} {utterance}"
            rows.append([said, "AB"[utterance % 2], emotion, str(dialogue), str(utterance)])
        with (folder / f"{split}_sent_emo.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    (folder / "small.yaml").write_text(f"{RECIPE}data_dir: {folder}\n")
    return folder / "small.yaml"


CLASSES = ["neutral", "joy", "fear"]
JOINT: Cell = (("fusion", "joint_vector"),)
CONCAT: Cell = (("fusion", "concat"),)
GATED: Cell = (("fusion", "gated"),)
TRUE = np.random.default_rng(5).integers(3, size=400)
DIALOGUE = np.arange(400) // 5
PLACES = [(f"d{DIALOGUE[index]}", str(index), CLASSES[label]) for index, label in enumerate(TRUE)]


def predictions(predicted: np.ndarray) -> Predictions:
    """Predictions of a run that is sure of each."""
    return Predictions(PLACES, CLASSES, TRUE, predicted, np.eye(3)[predicted])


def made_up_grid(accuracies: dict[Cell, float], seeds: int = 4) -> dict[tuple[Cell, int], Predictions]:
    """Runs that are correct for about a share of the utterances, drawn by cell and seed, and guess otherwise."""
    runs = {}
    for (index, (cell, accuracy)), seed in itertools.product(enumerate(accuracies.items()), range(seeds)):
        random = np.random.default_rng(100 * index + seed)
        predicted = np.where(random.random(400) < accuracy, TRUE, random.integers(3, size=400))
        runs[cell, seed] = predictions(predicted)
    return runs


def compared(runs: dict[tuple[Cell, int], Predictions], **options: object) -> Comparison:
    """Compares all cells with the first one."""
    cells = list(dict.fromkeys(cell for cell, _ in runs))
    return compare(runs, cells, cells[0], sorted({seed for _, seed in runs}), **options)  # type: ignore[arg-type]
