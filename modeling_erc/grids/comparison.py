"""Cells of a grid against each other: means over seeds, and differences with paired bootstrap intervals."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

METRICS = {"accuracy": "accuracy", "weighted_f1": "weighted F1", "macro_f1": "macro F1", "classes_f1": "F1 of"}
DRAWS = 2000

# A combination of values of the varied fields, as pairs of field and value.
Cell = tuple[tuple[str, str], ...]


def cell_name(cell: Cell) -> str:
    """`fusion=concat contrastive=none`."""
    return " ".join(f"{field}={value}" for field, value in cell)


@dataclass
class Predictions:
    """Labelled utterances of a split, in the order of the corpus.

    Args:
        places: dialogue, utterance and label of each.
        classes: names of the classes.
        true: `(utterances,)` class indices.
        predicted: the same, of what a run predicts.
    """

    places: list[tuple[str, str, str]]
    classes: list[str]
    true: np.ndarray
    predicted: np.ndarray


def read_predictions(path: Path, split: str = "test") -> Predictions:
    """Reads a run's `predictions.csv`; what carries no label is left out."""
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
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
    )


@dataclass
class Estimate:
    """A difference with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        told = f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"
        return f"**{told}**" if self.low > 0 or self.high < 0 else told


@dataclass
class Comparison:
    """What [`compare`] finds.

    Args:
        cells: in the order of the grid.
        baseline: one of them.
        seeds: of the grid.
        metric: that differences are in.
        classes: whose mean F1 is `classes_f1`, if any.
        utterances: labelled ones of the test split.
        scores: for each metric `(cells, seeds)`, NaN where a run is missing.
        differences: of each cell to the baseline; none for the baseline and where no seed has both.
        effects: for each field and each of its values but the baseline's, the mean difference between cells that
            differ in this field alone.
    """

    cells: list[Cell]
    baseline: Cell
    seeds: list[int]
    metric: str
    classes: list[str]
    utterances: int
    scores: dict[str, np.ndarray]
    differences: dict[Cell, Estimate]
    effects: dict[tuple[str, str], Estimate]

    def title(self, metric: str) -> str:
        """A metric's name for a reader."""
        return METRICS[metric] + (f" {', '.join(self.classes)}" if metric == "classes_f1" else "")

    def summary(self, metric: str) -> list[tuple[int, float, float]]:
        """For each cell how many seeds it has, and their mean and standard deviation (NaN where it has too few)."""
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

    The interval is that of the paired bootstrap (Efron & Tibshirani 1993) over two crossed factors: each draw takes
    seeds and, apart from them, utterances with replacement, the same ones for every cell and seed. So it covers another
    draw of the initial weights as well as another test split of the same kind.

    Args:
        runs: by cell and seed; some may be missing.
        cells: in the order of the grid.
        baseline: one of them.
        seeds: of the grid.
        metric: key of `METRICS` that differences are in.
        classes: whose mean F1 is `classes_f1`.

    Raises:
        ValueError: two runs were not tested on the same utterances (names the cell), there is no run, or a class is
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
    weights, seed_weights = _draws(len(first.true), len(seeds))
    once = np.ones((1, len(first.true)), dtype=np.float32)

    names = [name for name in METRICS if chosen or name != "classes_f1"]
    scores = {name: np.full((len(cells), len(seeds)), np.nan) for name in names}
    drawn = np.full((len(cells), len(seeds), len(weights)), np.nan)
    for row, cell in enumerate(cells):
        present = [column for column, seed in enumerate(seeds) if (cell, seed) in runs]
        if not present:
            continue
        predicted = np.stack([runs[cell, seeds[column]].predicted for column in present])
        for name in names:
            scores[name][row, present] = _scores(once, first.true, predicted, len(first.classes), name, chosen)[:, 0]
        drawn[row, present] = _scores(weights, first.true, predicted, len(first.classes), metric, chosen)

    def estimate(pairs: list[tuple[int, int]]) -> Estimate | None:
        """The mean difference of pairs of rows over the seeds that all of them have."""
        observed = np.mean([scores[metric][a] - scores[metric][b] for a, b in pairs], axis=0)
        both = np.isfinite(observed)
        if not both.any():
            return None
        shares = seed_weights[:, both].T
        # Where runs are missing a draw may hold none of these seeds: it says nothing.
        told = shares.sum(axis=0) > 0
        repeated = np.mean([drawn[a][both] - drawn[b][both] for a, b in pairs], axis=0)
        means = (repeated * shares)[:, told].sum(axis=0) / shares[:, told].sum(axis=0)
        low, high = np.percentile(means, [2.5, 97.5])
        return Estimate(float(observed[both].mean()), float(low), float(high))

    place = {cell: row for row, cell in enumerate(cells)}
    finished = {cell for cell, _ in runs}
    differences, effects = {}, {}
    for cell in cells:
        if cell != baseline and {cell, baseline} <= finished and (found := estimate([(place[cell], place[baseline])])):
            differences[cell] = found
    for number, (field, usual) in enumerate(baseline):
        for value in dict.fromkeys(cell[number][1] for cell in cells if cell[number][1] != usual):
            partners = {cell: (*cell[:number], (field, usual), *cell[number + 1 :]) for cell in cells}
            pairs = [
                (place[cell], place[partner])
                for cell, partner in partners.items()
                if cell[number][1] == value and {cell, partner} <= finished
            ]
            if pairs and (found := estimate(pairs)):
                effects[field, value] = found
    return Comparison(
        list(cells), baseline, list(seeds), metric, list(classes), len(first.true), scores, differences, effects
    )


def write_csv(comparison: Comparison, path: Path, facts: Mapping[Cell, Mapping[str, float]]) -> None:
    """Writes a row for each cell.

    Args:
        comparison: what was found.
        path: of the file.
        facts: what else there is to say of a cell, e.g. `{"parameters": 12345}`; the same names for all.
    """
    summaries = {name: comparison.summary(name) for name in comparison.scores}
    names = list(next(iter(facts.values()), {}))
    fields = [field for field, _ in comparison.baseline]
    figures = [f"{name}_{kind}" for name in summaries for kind in ("mean", "sd")]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*fields, "seeds", *figures, "metric", "difference", "low", "high", *names])
        for row, cell in enumerate(comparison.cells):
            values = [value for summary in summaries.values() for value in summary[row][1:]]
            found = comparison.differences.get(cell)
            values += [found.value, found.low, found.high] if found else [np.nan] * 3
            told = ["" if np.isnan(value) else f"{value:.6f}" for value in values]
            told.insert(-3, comparison.metric)
            others = [facts.get(cell, {}).get(name, "") for name in names]
            writer.writerow([*(value for _, value in cell), summaries["accuracy"][row][0], *told, *others])


def markdown(comparison: Comparison, facts: Mapping[Cell, Mapping[str, float]]) -> str:
    """The table of the cells, that of the fields' effects where there are several fields, and what they say.

    Args:
        comparison: what was found.
        facts: as for [`write_csv`].
    """
    summaries = {comparison.title(name): comparison.summary(name) for name in comparison.scores}
    names = list(next(iter(facts.values()), {}))
    metric = comparison.title(comparison.metric)
    rows = [
        [*(field for field, _ in comparison.baseline), "seeds", *summaries, f"difference in {metric} [95 %]", *names]
    ]
    for row, cell in enumerate(comparison.cells):
        told = [_mean_and_deviation(*summary[row][1:]) for summary in summaries.values()]
        change = "baseline" if cell == comparison.baseline else str(comparison.differences.get(cell, "-"))
        others = [f"{facts[cell][name]:,.0f}" if cell in facts else "-" for name in names]
        seeds = str(next(iter(summaries.values()))[row][0])
        rows.append([*(value for _, value in cell), seeds, *told, change, *others])
    text = _table(rows)
    text += (
        f"\nTest split, {comparison.utterances} labelled utterances, which have chosen nothing. Mean ± sample "
        f"standard deviation over seeds {', '.join(map(str, comparison.seeds))}. Difference: to the baseline "
        f"({cell_name(comparison.baseline)}), over the seeds that both have. 95 % interval: paired bootstrap, "
        f"{DRAWS:,} draws of seeds and of utterances with replacement, the same ones for all cells; bold where it "
        "leaves zero out. No correction for the number of comparisons.\n"
    )
    if len(comparison.baseline) > 1 and comparison.effects:
        usual = dict(comparison.baseline)
        rows = [["field", "value", "instead of", f"mean difference in {metric} [95 %]"]]
        rows += [[field, value, usual[field], str(found)] for (field, value), found in comparison.effects.items()]
        text += f"\n{_table(rows)}\nEach value against the baseline's, averaged over all values of the other fields.\n"
    return text


def _table(rows: list[list[str]]) -> str:
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _mean_and_deviation(mean: float, deviation: float) -> str:
    if np.isnan(mean):
        return "-"
    return f"{mean:.3f}" if np.isnan(deviation) else f"{mean:.3f} ± {deviation:.3f}"


def _draws(utterances: int, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """How often each draw takes each utterance `(draws, utterances)` and each seed `(draws, seeds)`."""
    random = np.random.default_rng(0)

    def counts(of: int) -> np.ndarray:
        taken = random.integers(of, size=(DRAWS, of)) + np.arange(DRAWS)[:, None] * of
        return np.bincount(taken.ravel(), minlength=DRAWS * of).reshape(DRAWS, of).astype(np.float32)

    return counts(utterances), counts(seeds)


def _scores(
    weights: np.ndarray, true: np.ndarray, predicted: np.ndarray, count: int, metric: str, chosen: list[int]
) -> np.ndarray:
    """A metric of each run under each weighting of the utterances, `(runs, draws)`.

    Args:
        weights: `(draws, utterances)`; whole numbers, which float32 sums exactly.
        true: `(utterances,)`.
        predicted: `(runs, utterances)`.
        count: of classes.
        metric: key of `METRICS`.
        chosen: classes of `classes_f1`.
    """
    one_hot = np.eye(count, dtype=np.float32)
    support = weights @ one_hot[true]
    guesses = one_hot[predicted]
    hits = guesses * (predicted == true)[..., None]
    # One product for all runs: this is where the time goes.
    both = np.concatenate([hits, guesses], axis=2).transpose(1, 0, 2).reshape(len(true), -1)
    sums = (weights @ both).reshape(len(weights), len(predicted), 2, count).transpose(2, 1, 0, 3)
    right, guessed = sums[0], sums[1]
    if metric == "accuracy":
        accuracy: np.ndarray = right.sum(axis=-1) / weights.sum(axis=1)
        return accuracy
    # F1 of a class that is neither there nor predicted is zero, as scikit-learn has it.
    f1 = 2 * right / np.maximum(guessed + support, 1)
    if metric == "weighted_f1":
        weighted: np.ndarray = (f1 * support).sum(axis=-1) / weights.sum(axis=1)
        return weighted
    mean: np.ndarray = (f1[..., chosen] if metric == "classes_f1" else f1).mean(axis=-1)
    return mean
