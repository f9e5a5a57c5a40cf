"""Compares the cells of a grid: means over seeds, and paired differences with intervals over dialogues and seeds."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..csv_cells import plain_cell
from ..hub.run_facts import METRIC_TITLES, TITLES
from ..training.confusion import confusion_by_dialogue, scores_of
from ..training.intervals import Estimate, bootstrap_weights, estimate_over_seeds
from ..training.prediction_table import JOINT, TRUE
from ..training.target_metrics import label_scores, label_sums, mean_over_targets, target_scores, target_sums
from .spec import Cell, cell_name

METRICS = {**TITLES, "classes_f1": "F1 of"}
# The metrics that count errors; of all others more is better.
ERRORS = ("mae",)


@dataclass
class Predictions:
    """Predictions for the labelled utterances of a split, in the order of the corpus.

    Args:
        places: dialogue, utterance and label or targets of each utterance.
        classes: names of the classes; of a regression those of the targets.
        true: `(utterances,)` class indices.
        predicted: `(utterances,)` class indices.
        probabilities: `(utterances, classes)`; of a regression the predicted targets.
    """

    USUAL: ClassVar[str] = "weighted_f1"

    places: Sequence[tuple[str, ...]]
    classes: list[str]
    true: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray

    def sums(self, dialogue: np.ndarray) -> np.ndarray:
        """Returns sums `(dialogues, ...)` that [`scores`] can be computed from."""
        return confusion_by_dialogue(self.true, self.predicted, dialogue, len(self.classes))

    def scores(self, sums: np.ndarray, chosen: Sequence[int]) -> dict[str, np.ndarray]:
        """Returns the scores `(...)` of sums `(..., classes, classes)`, and the mean F1 of the chosen classes."""
        scores = scores_of(sums)
        overall = {name: np.asarray(getattr(scores, name)) for name in METRIC_TITLES}
        return overall | ({"classes_f1": scores.f1[..., chosen].mean(axis=-1)} if chosen else {})

    def average(self, runs: Sequence["Predictions"]) -> "Predictions":
        """Returns the mean probabilities of several runs, this one among them, and what they predict."""
        probabilities = np.mean([run.probabilities for run in runs], axis=0)
        return replace(self, predicted=probabilities.argmax(axis=1), probabilities=probabilities)


class SeveralLabels(Predictions):
    """Predictions of several labels: `true` and `predicted` are boolean `(utterances, classes)`."""

    USUAL = "macro_f1"

    def sums(self, dialogue: np.ndarray) -> np.ndarray:
        return label_sums(self.predicted, self.true.astype(np.float64), dialogue)

    def scores(self, sums: np.ndarray, chosen: Sequence[int]) -> dict[str, np.ndarray]:
        scores = label_scores(sums)
        f1 = scores.pop("f1")
        return scores | ({"classes_f1": f1[..., chosen].mean(axis=-1)} if chosen else {})

    def average(self, runs: Sequence[Predictions]) -> Predictions:
        votes = np.mean([run.predicted for run in runs], axis=0)
        return replace(self, predicted=votes > 0.5, probabilities=np.mean([r.probabilities for r in runs], axis=0))


class Targets(Predictions):
    """Predicted targets: `true` is `(utterances, targets)`, NaN where one is missing, as are `predicted`."""

    USUAL = "ccc"

    def sums(self, dialogue: np.ndarray) -> np.ndarray:
        return target_sums(self.predicted, self.true, dialogue)

    def scores(self, sums: np.ndarray, chosen: Sequence[int]) -> dict[str, np.ndarray]:
        ranges = np.stack([np.nanmin(self.true, axis=0), np.nanmax(self.true, axis=0)], axis=1)
        scores = target_scores(sums, ranges.tolist())
        each = {f"ccc {name}": scores["ccc"][..., place] for place, name in enumerate(self.classes)}
        return {**mean_over_targets(scores), **(each if len(self.classes) > 1 else {})}

    def average(self, runs: Sequence[Predictions]) -> Predictions:
        predicted = np.mean([run.predicted for run in runs], axis=0)
        return replace(self, predicted=predicted, probabilities=predicted)


def read_predictions(path: Path, split: str = "test") -> Predictions:
    """Reads the labelled utterances of a split from a run's `predictions.csv`; of labels and targets the labels."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = ([plain_cell(cell) for cell in row] for row in csv.reader(file))
        header = next(reader)
        rows = [row for row in reader if row[0] == split]
    if "label" in header:
        return _single_labels(header, rows)
    if "labels" in header:
        return _several_labels(header, rows)
    true = [place for place, name in enumerate(header) if name.endswith(TRUE)]
    rows = [row for row in rows if any(row[place] for place in true)]
    predicted = np.array([[row[place + 1] for place in true] for row in rows], dtype=np.float64)
    return Targets(
        [(row[1], row[2], *(row[place] for place in true)) for row in rows],
        [header[place].removesuffix(TRUE) for place in true],
        np.array([[row[place] or "nan" for place in true] for row in rows], dtype=np.float64),
        predicted,
        predicted,
    )


def _single_labels(header: list[str], rows: list[list[str]]) -> Predictions:
    label, prediction = header.index("label"), header.index("prediction")
    classes = header[prediction + 1 :]
    number = {name: index for index, name in enumerate(classes)}
    rows = [row for row in rows if row[label] in number]
    return Predictions(
        [(row[1], row[2], row[label]) for row in rows],
        classes,
        np.array([number[row[label]] for row in rows], dtype=np.int64),
        np.array([number[row[prediction]] for row in rows], dtype=np.int64),
        np.array([row[prediction + 1 :] for row in rows], dtype=np.float64),
    )


def _several_labels(header: list[str], rows: list[list[str]]) -> Predictions:
    label, prediction = header.index("labels"), header.index("predictions")
    classes = header[prediction + 1 :]
    rows = [row for row in rows if row[label]]

    def chosen(column: int) -> np.ndarray:
        return np.array([[name in row[column].split(JOINT) for name in classes] for row in rows], dtype=bool)

    probabilities = np.array([row[prediction + 1 :] for row in rows], dtype=np.float64)
    places: list[tuple[str, ...]] = [(row[1], row[2], row[label]) for row in rows]
    return SeveralLabels(places, classes, chosen(label), chosen(prediction), probabilities)


def pooled(folds: Sequence[Predictions]) -> Predictions:
    """Returns the predictions of several folds as those of one split, in the order of the dialogues."""
    places = [place for fold in folds for place in fold.places]
    # Folds differ by seed where dialogues are drawn; the sort is stable, so utterances stay in order.
    order = sorted(range(len(places)), key=lambda row: places[row][0])
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(fold, name) for fold in folds])[order]
        for name in ("true", "predicted", "probabilities")
    }
    return replace(folds[0], places=[places[row] for row in order], **joined)


def averaged(runs: Sequence[Predictions]) -> Predictions:
    """Returns the predictions of an ensemble of runs on the same utterances."""
    return runs[0].average(runs)


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
        units: number of what a bootstrap draw takes as one, and its name.
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
    units: tuple[int, str]
    scores: dict[str, np.ndarray]
    differences: dict[Cell, Estimate]
    effects: dict[tuple[str, str], Estimate]

    def title(self, metric: str) -> str:
        """Returns the readable name of a metric."""
        title = METRICS.get(metric, metric.replace("ccc", "CCC of"))
        return f"{title} {', '.join(self.classes)}" if metric == "classes_f1" else title

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
    metric: str | None = None,
    classes: Sequence[str] = (),
    groups: Mapping[str, int] | None = None,
    unit: str = "dialogues",
) -> Comparison:
    """Compares cells on the test utterances that they all predict.

    The metric is by default the `USUAL` one of the predictions. Differences are paired by seed and by dialogue. Their
    intervals cover other initial weights as well as another test split of the same kind (see
    [`estimate_over_seeds`]).

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
    drawn_as_one = dialogue if groups is None else np.array([groups[name] for name in dialogue])
    units = len(np.unique(drawn_as_one))
    weights = bootstrap_weights(units)
    metric = metric or first.USUAL
    names = list(first.scores(first.sums(dialogue).sum(axis=0), chosen))
    if metric not in names:
        raise ValueError(f"metric {metric}: these runs have {', '.join(names)}")
    scores = {name: np.full((len(cells), len(seeds)), np.nan) for name in names}
    drawn = np.full((len(cells), len(seeds), len(weights)), np.nan)
    row_of = {cell: row for row, cell in enumerate(cells)}
    for (cell, seed), run in runs.items():
        place = row_of[cell], list(seeds).index(seed)
        by_unit = run.sums(drawn_as_one)
        observed = run.scores(by_unit.sum(axis=0), chosen)
        for name in names:
            # Constant predictions have no correlation.
            scores[name][place] = observed.get(name, np.nan)
        drawn[place] = run.scores(np.tensordot(weights, by_unit, axes=1), chosen)[metric]

    def estimate(pairs: Sequence[tuple[Cell, Cell]]) -> Estimate | None:
        """Returns the mean difference of pairs of cells over the seeds that all of them have."""
        rows = [(row_of[a], row_of[b]) for a, b in pairs]
        observed = np.mean([scores[metric][a] - scores[metric][b] for a, b in rows], axis=0)
        both = np.isfinite(observed)
        if not both.any():
            return None
        repeated = np.mean([drawn[a][both] - drawn[b][both] for a, b in rows], axis=0)
        return estimate_over_seeds(observed[both], repeated, units)

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
        len(np.unique(dialogue)),
        (units, unit),
        scores,
        differences,
        effects,
    )
