"""Parts that tests of grids share: a recipe with its corpus, and made-up predictions of a grid's runs."""

import itertools
from pathlib import Path

import numpy as np

from modeling_erc.grids.comparison import Comparison, Predictions, compare
from modeling_erc.grids.spec import Cell
from tests.small_run import SMALL_RECIPE, write_meld

RECIPE = f"""{SMALL_RECIPE}
num_train_epochs: 1
per_device_train_batch_size: 2
learning_rate: 3.0e-3
hidden_dropout_prob: 0.3
"""


def write_recipe(folder: Path) -> Path:
    """Writes a recipe beside its corpus, which has MELD's layout and 12 test utterances."""
    emotions = ("joy", "anger", "neutral")
    splits: dict[str, list[list[object]]] = {"train": [], "dev": [], "test": []}
    for split, dialogues in {"train": 6, "dev": 3, "test": 3}.items():
        for dialogue, utterance in itertools.product(range(dialogues), range(4)):
            emotion = emotions[(dialogue + utterance) % 3]
            said = f"It is {emotion[:3]} {utterance}"
            splits[split].append([said, "AB"[utterance % 2], emotion, dialogue, utterance])
    write_meld(folder, splits)
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
