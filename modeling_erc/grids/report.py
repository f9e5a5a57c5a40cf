"""Writes the tables and the figure of a grid."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets_scripts.publishing.markdown import markdown_table

from ..figures import plot_estimates
from ..training.intervals import Estimate
from .comparison import Comparison, compare, read_predictions
from .spec import Cell, cell_name


def report(
    rows: Mapping[tuple[Cell, int], Mapping[str, Any]],
    out: Path,
    cells: Sequence[Cell],
    baseline: Cell,
    seeds: Sequence[int],
    metric: str | None,
    classes: Sequence[str],
    command: str,
) -> str:
    """Writes `table.csv`, `table.md` and `picture.png`; returns the text of `table.md`."""
    runs = {key: read_predictions(out / row["predictions"]) for key, row in rows.items()}
    comparison = compare(runs, cells, baseline, seeds, metric=metric, classes=classes)
    facts = cell_facts(rows)
    write_csv(comparison, out / "table.csv", facts)
    missing = len(cells) * len(seeds) - len(rows)
    gaps = f"\n{missing} of {len(cells) * len(seeds)} runs are missing.\n" if missing else ""
    text = f"{markdown(comparison, facts)}{gaps}\n`{command}`\n"
    draw_differences(comparison, out / "picture.png")
    (out / "table.md").write_text(f"{text}\n![cells](picture.png)\n", encoding="utf-8")
    return text


def draw_differences(comparison: Comparison, path: Path) -> None:
    """Draws the difference of each cell to the baseline with its 95 % interval."""
    several = len(comparison.baseline) > 1
    nothing = Estimate(np.nan, np.nan, np.nan, np.nan)
    found = {cell: comparison.differences.get(cell, nothing) for cell in comparison.cells}
    found[comparison.baseline] = Estimate(0.0, 0.0, 0.0, 0.0)
    mean = comparison.summary(comparison.metric)[comparison.cells.index(comparison.baseline)][1]
    metric = comparison.title(comparison.metric)
    plot_estimates(
        [cell_name(cell[1:] if several else cell) for cell in found],
        [estimate.value for estimate in found.values()],
        np.array([[estimate.value - estimate.low, estimate.high - estimate.value] for estimate in found.values()]),
        path,
        title=f"Test {metric}: difference to {cell_name(comparison.baseline)} ({mean:.3f})",
        axis="mean difference over seeds with its 95 % interval; hollow where the interval includes 0",
        groups=[cell_name(cell[:1]) for cell in found] if several else None,
        baseline=0.0,
    )


def cell_facts(rows: Mapping[tuple[Cell, int], Mapping[str, Any]]) -> dict[Cell, dict[str, float]]:
    """Returns the number of parameters and the mean seconds of a run of each cell."""
    own: dict[Cell, list[Mapping[str, Any]]] = {}
    for (cell, _), row in rows.items():
        own.setdefault(cell, []).append(row)
    return {
        cell: {
            "parameters": runs[0]["parameters"],
            "seconds a run": round(float(np.mean([run["seconds"] for run in runs])), 1),
        }
        for cell, runs in own.items()
    }


def write_csv(comparison: Comparison, path: Path, facts: Mapping[Cell, Mapping[str, float]]) -> None:
    """Writes a row for each cell."""
    summaries = {name: comparison.summary(name) for name in comparison.scores}
    names = list(next(iter(facts.values()), {}))
    fields = [field for field, _ in comparison.baseline]
    figures = [f"{name}_{kind}" for name in summaries for kind in ("mean", "sd")]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*fields, "seeds", *figures, "metric", "difference", "low", "high", *names])
        for row, cell in enumerate(comparison.cells):
            scores = [value for summary in summaries.values() for value in summary[row][1:]]
            change = comparison.differences.get(cell)
            bounds = [change.value, change.low, change.high] if change else [np.nan] * 3
            numbers = ["" if np.isnan(value) else f"{value:.6f}" for value in (*scores, *bounds)]
            numbers.insert(-3, comparison.metric)
            others = [facts.get(cell, {}).get(name, "") for name in names]
            seeds = next(iter(summaries.values()))[row][0]
            writer.writerow([*(value for _, value in cell), seeds, *numbers, *others])


def markdown(
    comparison: Comparison,
    facts: Mapping[Cell, Mapping[str, float]],
    split: str = "Test split, used for no choice",
) -> str:
    """Returns the table of the cells, that of the fields' effects where there are several fields, and their notes.

    Args:
        comparison: the compared cells.
        facts: further columns of each cell.
        split: the utterances that were compared, for the notes.
    """
    summaries = {comparison.title(name): comparison.summary(name) for name in comparison.scores}
    names = list(next(iter(facts.values()), {}))
    metric = comparison.title(comparison.metric)
    fields = [field for field, _ in comparison.baseline]
    header = [*fields, "seeds", *summaries, f"difference in {metric} [95 %]", *names]
    rows = []
    for row, cell in enumerate(comparison.cells):
        scores = [mean_and_deviation(*summary[row][1:]) for summary in summaries.values()]
        change = "baseline" if cell == comparison.baseline else comparison.differences.get(cell, "-")
        others = [f"{facts[cell][name]:,.0f}" if cell in facts else "-" for name in names]
        seeds = next(iter(summaries.values()))[row][0]
        rows.append([*(value or "none" for _, value in cell), seeds, *scores, change, *others])
    text = (
        f"{markdown_table(header, rows)}\n\n"
        f"{split}, {comparison.utterances} labelled utterances in {comparison.dialogues} dialogues. Mean ± sample "
        f"standard deviation over seeds {', '.join(map(str, comparison.seeds))}.\n"
    )
    if comparison.differences:
        smallest = max(change.detectable for change in comparison.differences.values())
        count, unit = comparison.units
        text = (
            f"{text[:-1]} Difference: to the baseline ({cell_name(comparison.baseline)}), over the seeds that both "
            f"have, with a 95 % t interval for other seeds and other {unit} (bootstrap of {count}); bold where it "
            f"excludes zero. Smallest difference that would be found with a power of 80 %: {smallest:.3f}. No "
            "correction for the number of comparisons.\n"
        )
    if len(fields) > 1 and comparison.effects:
        usual = dict(comparison.baseline)
        changes = [[field, value, usual[field], change] for (field, value), change in comparison.effects.items()]
        table = markdown_table(["field", "value", "instead of", f"mean difference in {metric} [95 %]"], changes)
        text += f"\n{table}\n\nEach value against the baseline's, averaged over all values of the other fields.\n"
    return text


def mean_and_deviation(mean: float, deviation: float) -> str:
    """Returns `0.681 ± 0.008`, without a deviation where there is one seed and `-` where there is none."""
    if np.isnan(mean):
        return "-"
    return f"{mean:.3f}" if np.isnan(deviation) else f"{mean:.3f} ± {deviation:.3f}"
