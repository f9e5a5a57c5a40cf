"""Compares the cells of a grid: means over seeds, and paired differences with intervals over dialogues and seeds."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..analysis.intervals import Estimate, bootstrap_weights, estimate_over_seeds
from ..analysis.scores import Scores, confusion_by_dialogue, scores_of
from ..csv_cells import plain_cell
from ..hub.run_facts import METRIC_TITLES
from .spec import Cell, cell_name

METRICS = {**METRIC_TITLES, "classes_f1": "F1 of"}


@dataclass
class Predictions:
    """Predictions for the labelled utterances of a split, in the order of the corpus.

    Args:
        places: dialogue, utterance and label of each utterance.
        classes: names of the classes.
        true: `(utterances,)` class indices.
        predicted: `(utterances,)` class indices.
        probabilities: `(utterances, classes)`.
    """

    places: list[tuple[str, str, str]]
    classes: list[str]
    true: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray


def read_predictions(path: Path, split: str = "test") -> Predictions:
    """Reads the labelled utterances of a split from a run's `predictions.csv`."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = ([plain_cell(cell) for cell in row] for row in csv.reader(file))
        header = next(reader)
        label, prediction = header.index("label"), header.index("prediction")
        classes = header[prediction + 1 :]
        number = {name: index for index, name in enumerate(classes)}
        rows = [row for row in reader if row[0] == split and row[label] in number]
    return Predictions(
        [(row[1], row[2], row[label]) for row in rows],
        classes,
        np.array([number[row[label]] for row in rows], dtype=np.int64),
        np.array([number[row[prediction]] for row in rows], dtype=np.int64),
        np.array([row[prediction + 1 :] for row in rows], dtype=np.float64),
    )


def pooled(folds: Sequence[Predictions]) -> Predictions:
    """Returns the predictions of several folds as those of one split, in the order of the dialogues."""
    places = [place for fold in folds for place in fold.places]
    # Folds differ by seed where dialogues are drawn; the sort is stable, so utterances stay in order.
    order = sorted(range(len(places)), key=lambda row: places[row][0])
    return Predictions(
        [places[row] for row in order],
        folds[0].classes,
        *(
            np.concatenate([getattr(fold, name) for fold in folds])[order]
            for name in ("true", "predicted", "probabilities")
        ),
    )


def averaged(runs: Sequence[Predictions]) -> Predictions:
    """Returns the predictions of an ensemble: the mean probabilities of several runs on the same utterances."""
    probabilities = np.mean([run.probabilities for run in runs], axis=0)
    return replace(runs[0], predicted=probabilities.argmax(axis=1), probabilities=probabilities)


@dataclass
class Comparison:
    """The result of [`compare`].

    Args:
        cells: in the order of the grid.
        baseline: one of the cells.
        seeds: of the grid.
        metric: metric of the differences.
        classes: classes of the metric `classes_f1`, if any.
        utterances: number of labelled test utterances.
        dialogues: number of their dialogues.
        scores: for each metric `(cells, seeds)`, NaN where a run is missing.
        differences: of each cell to the baseline, where at least one seed has both.
        effects: for each field and each of its values other than the baseline's, the mean difference between cells
            that differ in this field only.
    """

    cells: list[Cell]
    baseline: Cell
    seeds: list[int]
    metric: str
    classes: list[str]
    utterances: int
    dialogues: int
    scores: dict[str, np.ndarray]
    differences: dict[Cell, Estimate]
    effects: dict[tuple[str, str], Estimate]

    def title(self, metric: str) -> str:
        """Returns the readable name of a metric."""
        return METRICS[metric] + (f" {', '.join(self.classes)}" if metric == "classes_f1" else "")

    def summary(self, metric: str) -> list[tuple[int, float, float]]:
        """Returns the number of seeds, mean and standard deviation of each cell (NaN where there are too few seeds)."""
        rows = [row[np.isfinite(row)] for row in self.scores[metric]]
        return [
            (len(r), float(r.mean()) if len(r) else np.nan, float(r.std(ddof=1)) if len(r) > 1 else np.nan)
            for r in rows
        ]


def compare(
    runs: Mapping[tuple[Cell, int], Predictions],
    cells: Sequence[Cell],
    baseline: Cell,
    seeds: Sequence[int],
    *,
    metric: str = "weighted_f1",
    classes: Sequence[str] = (),
) -> Comparison:
    """Compares cells on the test utterances that they all predict.

    Differences are paired by seed and by dialogue. Their intervals cover other initial weights as well as another test
    split of the same kind (see [`estimate_over_seeds`]).

    Raises:
        ValueError: two runs have different test utterances (the message names the cell), there is no run, or a class is
            unknown.
    """
    if not runs:
        raise ValueError("there is no finished run to compare")
    first = next(iter(runs.values()))
    for (cell, seed), run in runs.items():
        if run.places != first.places or run.classes != first.classes:
            raise ValueError(
                f"{cell_name(cell)}, seed {seed}: its test utterances are not those of {cell_name(next(iter(runs))[0])}"
                " (dialogues, utterances, labels and their order): only cells with one test split can be compared"
            )
    unknown = [name for name in classes if name not in first.classes]
    if unknown:
        raise ValueError(f"unknown class {', '.join(unknown)}: the corpus has {', '.join(first.classes)}")
    chosen = [first.classes.index(name) for name in classes]
    dialogue = np.array([place[0] for place in first.places])
    dialogues = len(np.unique(dialogue))
    weights = bootstrap_weights(dialogues)

    def value(scores: Scores, name: str) -> np.ndarray:
        return np.asarray(scores.f1[..., chosen].mean(axis=-1) if name == "classes_f1" else getattr(scores, name))

    names = [name for name in METRICS if chosen or name != "classes_f1"]
    scores = {name: np.full((len(cells), len(seeds)), np.nan) for name in names}
    drawn = np.full((len(cells), len(seeds), len(weights)), np.nan)
    row_of = {cell: row for row, cell in enumerate(cells)}
    for (cell, seed), run in runs.items():
        place = row_of[cell], list(seeds).index(seed)
        by_dialogue = confusion_by_dialogue(run.true, run.predicted, dialogue, len(first.classes))
        observed = scores_of(by_dialogue.sum(axis=0))
        for name in names:
            scores[name][place] = value(observed, name)
        drawn[place] = value(scores_of(np.tensordot(weights, by_dialogue, axes=1)), metric)

    def estimate(pairs: Sequence[tuple[Cell, Cell]]) -> Estimate | None:
        """Returns the mean difference of pairs of cells over the seeds that all of them have."""
        rows = [(row_of[a], row_of[b]) for a, b in pairs]
        observed = np.mean([scores[metric][a] - scores[metric][b] for a, b in rows], axis=0)
        both = np.isfinite(observed)
        if not both.any():
            return None
        repeated = np.mean([drawn[a][both] - drawn[b][both] for a, b in rows], axis=0)
        return estimate_over_seeds(observed[both], repeated, dialogues)

    finished = {cell for cell, _ in runs}
    differences = {}
    for cell in cells:
        if cell != baseline and {cell, baseline} <= finished and (result := estimate([(cell, baseline)])):
            differences[cell] = result
    effects = {}
    for number, (field, usual) in enumerate(baseline):
        for changed in dict.fromkeys(cell[number][1] for cell in cells if cell[number][1] != usual):
            partners = {cell: (*cell[:number], (field, usual), *cell[number + 1 :]) for cell in cells}
            pairs = [(a, b) for a, b in partners.items() if a[number][1] == changed and {a, b} <= finished]
            if pairs and (result := estimate(pairs)):
                effects[field, changed] = result
    return Comparison(
        list(cells),
        baseline,
        list(seeds),
        metric,
        list(classes),
        len(first.true),
        dialogues,
        scores,
        differences,
        effects,
    )
