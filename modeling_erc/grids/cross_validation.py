"""Cross-validation: chooses among cells by out-of-fold predictions, then scores the chosen one once on test."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets_scripts.publishing.markdown import markdown_table

from ..training.arguments import ErcArgumentParser
from ..training.data import load_splits
from ..training.folds import fold_groups, train_and_dev
from .comparison import ERRORS, METRICS, Predictions, averaged, compare, pooled, read_predictions
from .grid import locked, train_missing
from .linear_probe import probe_out_of_fold
from .report import cell_facts, markdown, mean_and_deviation, write_csv
from .spec import Cell, Run, cell_name, plan

# Every run goes to the end of its schedule: an epoch chosen on the held-out fold would make its score too good.
FIXED = (
    "--eval_strategy=no",
    "--save_strategy=no",
    "--load_best_model_at_end=false",
    "--early_stopping_patience=0",
)


def cross_validate(
    config: Path,
    varied: Mapping[str, Sequence[str]],
    seeds: Sequence[int],
    out: Path,
    *,
    folds: str,
    baseline: Cell,
    jobs: int,
    command: str,
    metric: str | None = None,
    classes: Sequence[str] = (),
    extra: Sequence[str] = (),
    linear_probe: bool = False,
) -> tuple[str, list[str]]:
    """Cross-validates the cells of a grid over train and dev, and scores the best one on test.

    Each run leaves one fold out and predicts it; no run reads the test split. The cell with the best mean score over
    seeds is then trained on all folds and scored on test, once for each seed and once for the mean of their
    probabilities.

    Args:
        config: YAML file of the recipe.
        varied: values of each varied field; empty for one cell, the recipe.
        seeds: of each cell.
        out: folder of the runs, `table.md` and `table.csv`.
        folds: as for [`fold_groups`].
        baseline: cell that the differences refer to.
        jobs: runs at a time.
        command: the command, for the report.
        metric: metric that chooses, and that of the differences; default: see [`compare`].
        classes: classes of the metric `classes_f1`, if any.
        extra: further options for `train_hf.py`.
        linear_probe: whether the report compares the chosen cell with logistic regression on the same features.

    Returns:
        the text of `table.md` (empty if runs failed) and a line for each run that failed.

    Raises:
        ValueError: an option is unknown or has no effect, or the corpus has no such folds.
    """
    extra = [*extra, *FIXED, f"--folds={folds}"]
    model, data, training, _ = ErcArgumentParser().parse([str(config), *extra], default_config=config)
    if linear_probe and (data.max_train_samples or "max_train_samples" in varied):
        raise ValueError("--linear_probe is fitted on all training dialogues: leave --max_train_samples out")
    splits = load_splits(data, training.seed)
    groups = fold_groups(train_and_dev(splits), folds)
    numbers = range(len(groups))
    # First, because a recipe that it does not fit is refused before hours of work.
    probe = probe_out_of_fold(model, data, splits, groups) if linear_probe else None
    plans = [plan(config, varied, seeds, [*extra, f"--fold={number}"]) for number in numbers]
    with locked(out):
        done, failed = train_missing([run for runs in plans for run in runs], config, out, jobs=jobs)
        if failed:
            return "", failed
        predictions = _out_of_fold(plans, done, out)
        how: dict[str, Any] = {"metric": metric, "classes": classes, **_units(folds, groups)}
        result = compare(predictions, _cells(plans), baseline, seeds, **how)
        how["metric"] = metric = result.metric
        means = [mean for _, mean, _ in result.summary(metric)]
        chosen = result.cells[int(np.argmin(means) if metric in ERRORS else np.argmax(means))]
        final = plan(config, {field: [value] for field, value in chosen}, seeds, extra)
        finals, failed = train_missing(final, config, out, jobs=jobs)
        if failed:
            return "", failed
        facts = cell_facts({(run.cell, run.seed): done[run.key] for runs in plans for run in runs})
        write_csv(result, out / "table.csv", facts)
        test = [read_predictions(out / finals[run.key]["predictions"], "test") for run in final]
    name = cell_name(chosen) or config.stem
    probed = ""
    if probe is not None:
        runs = {seed: predictions[chosen, seed] for seed in seeds}
        probed = f"{_probe_text(probe, runs, name, how)}\n\n"
    split = f"Out-of-fold predictions over train and dev, {len(numbers)} folds by {folds}"
    text = (
        f"{markdown(result, facts, split)}\n{_table_of_folds(plans, done, metric)}\n\n{probed}"
        f"Chosen by {METRICS[metric]}: {name}. It was trained on all folds and scored once on test:\n\n"
        f"{_test_table(test)}\n\n`{command}`\n"
    )
    (out / "table.md").write_text(text, encoding="utf-8")
    return text, []


def _units(folds: str, groups: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Returns what intervals of a cross-validation are for, as arguments of [`compare`].

    Other sessions or speakers, where the folds are these, since the dialogues of one have much in common; otherwise
    other dialogues.
    """
    if folds not in ("session", "speaker"):
        return {}
    numbers = {name: number for number, group in enumerate(groups) for name in group}
    return {"groups": numbers, "unit": "sessions" if folds == "session" else "groups of speakers"}


def _cells(plans: Sequence[Sequence[Run]]) -> list[Cell]:
    return list(dict.fromkeys(run.cell for run in plans[0]))


def _out_of_fold(
    plans: Sequence[Sequence[Run]], done: Mapping[str, Mapping[str, Any]], out: Path
) -> dict[tuple[Cell, int], Predictions]:
    """Returns the predictions of each cell and seed for the utterances of all folds."""
    parts: dict[tuple[Cell, int], list[Predictions]] = {}
    for run in (run for runs in plans for run in runs):
        parts.setdefault((run.cell, run.seed), []).append(read_predictions(out / done[run.key]["predictions"], "dev"))
    return {key: pooled(folds) for key, folds in parts.items()}


def _probe_text(probe: Predictions, chosen: Mapping[int, Predictions], name: str, how: Mapping[str, Any]) -> str:
    """Returns the out-of-fold scores of the linear probe, and the difference of the chosen cell to it.

    Args:
        probe: predictions of the linear probe.
        chosen: predictions of the chosen cell for each seed.
        name: of the chosen cell.
        how: arguments of [`compare`].
    """
    floor: Cell = (("model", "linear probe"),)
    cell: Cell = (("model", name),)
    runs = {(cell, seed): run for seed, run in chosen.items()} | {(floor, seed): probe for seed in chosen}
    result = compare(runs, [floor, cell], floor, list(chosen), **how)
    scores = ", ".join(f"{result.title(score)} {result.summary(score)[0][1]:.3f}" for score in result.scores)
    title = result.title(result.metric)
    return (
        "Linear probe: logistic regression on the mean and the standard deviation of each utterance's features, out of "
        f"fold: {scores}. Difference of {name} to it in {title} [95 %]: {result.differences[cell]}, for other seeds "
        f"and other {result.units[1]}."
    )


def _table_of_folds(plans: Sequence[Sequence[Run]], done: Mapping[str, Mapping[str, Any]], metric: str) -> str:
    """Returns a table with the mean score over seeds of each cell in each fold."""
    shown = "macro_f1" if metric == "classes_f1" else metric
    rows = []
    for cell in _cells(plans):
        scores = [[done[run.key]["dev"][shown] for run in runs if run.cell == cell] for runs in plans]
        rows.append([cell_name(cell) or "recipe", *(f"{np.mean(own):.3f}" for own in scores)])
    return markdown_table([f"{METRICS[shown]} of fold", *map(str, range(len(plans)))], rows)


def _test_table(test: Sequence[Predictions]) -> str:
    """Returns a table of the test scores of single runs and of their averaged predictions."""
    cell: Cell = ()
    seeds = range(len(test))
    single = compare({(cell, seed): run for seed, run in zip(seeds, test, strict=True)}, [cell], cell, seeds)
    ensemble = compare({(cell, 0): averaged(test)}, [cell], cell, [0])
    rows = [
        [single.title(name), mean_and_deviation(*single.summary(name)[0][1:]), f"{ensemble.summary(name)[0][1]:.3f}"]
        for name in single.scores
    ]
    return markdown_table(["test", f"one run ({len(test)} seeds)", "predictions averaged"], rows)
