"""Writes the tables and the figure of a grid."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..figures import plot_cells
from .comparison import Cell, cell_name, compare, markdown, read_predictions, write_csv


def report(
    rows: Mapping[tuple[Cell, int], Mapping[str, Any]],
    out: Path,
    cells: Sequence[Cell],
    baseline: Cell,
    seeds: Sequence[int],
    metric: str,
    classes: Sequence[str],
    command: str,
) -> str:
    """Writes tables and picture; returns `table.md`.

    Args:
        rows: of `results.jsonl`, by cell and seed.
        out: the grid's folder.
        cells: in order.
        baseline: one of them.
        seeds: of the grid.
        metric: that differences are in.
        classes: whose mean F1 is told too.
        command: that made the runs.
    """
    runs = {key: read_predictions(out / row["predictions"]) for key, row in rows.items()}
    comparison = compare(runs, cells, baseline, seeds, metric=metric, classes=classes)
    facts: dict[Cell, dict[str, float]] = {}
    for cell in cells:
        own = [row for (of, _), row in rows.items() if of == cell]
        if own:
            seconds = sum(row["seconds"] for row in own) / len(own)
            facts[cell] = {"parameters": own[0]["parameters"], "seconds a run": round(seconds, 1)}
    write_csv(comparison, out / "table.csv", facts)
    missing = len(cells) * len(seeds) - len(rows)
    gaps = f"\n{missing} of {len(cells) * len(seeds)} runs are missing.\n" if missing else ""
    text = f"{markdown(comparison, facts)}{gaps}\n`{command}`\n"
    summary = comparison.summary(metric)
    several = len(baseline) > 1
    plot_cells(
        [cell_name(cell[:1]) if several else "" for cell in cells],
        [cell_name(cell[1:] if several else cell) for cell in cells],
        [mean for _, mean, _ in summary],
        [deviation for _, _, deviation in summary],
        out / "picture.png",
        axis=f"test {comparison.title(metric)}",
        baseline=list(cells).index(baseline),
    )
    (out / "table.md").write_text(f"{text}\n![cells](picture.png)\n", encoding="utf-8")
    return text
