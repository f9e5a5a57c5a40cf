"""`ablate CONFIG --vary FIELD=V1,V2 --seeds 5`: a grid of runs, compared with each other."""

import argparse
import json
import re
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..analysis.comparison import METRICS, Cell, cell_name, compare, markdown, read_predictions, write_csv
from ..analysis.plots import plot_cells
from ..training.grid import Run, cores, finished, locked, plan, run_grid

GRIDS = Path(__file__).parents[2] / "configs" / "grids"
_EPILOG = """Every other option is passed on to train_hf.py (its --help lists them). What is in OUT/results.jsonl is not
run again, so after a break the same command goes on; where the code has changed, name another --out.
Example: python -m modeling_erc ablate configs/mosi.yaml --vary fusion=joint_vector,concat --seeds 5"""


def main(argv: list[str]) -> None:
    """Runs what is missing of a grid, then writes `table.md`, `table.csv` and `picture.png`.

    Raises:
        ValueError: the command does not fit.
        FileExistsError: another grid is at work in the same folder.
        SystemExit: with status 1, some runs have failed.
    """
    options, extra = _parser().parse_known_args(argv)
    if argv[0] != options.config:
        raise ValueError("the recipe comes first: ablate CONFIG --vary ...")
    varied, seeds = grid_of(options.grid, options.vary, options.seeds)
    baseline = _baseline(options.baseline, varied)
    if options.metric == "classes_f1" and not options.classes:
        raise ValueError("--metric classes_f1 is the mean F1 of --classes: name them")
    config = Path(options.config)
    out = Path(options.out or Path("runs") / "-".join(["ablate", config.stem, *varied]))
    runs = plan(config, varied, seeds, extra)
    with locked(out):
        # The recipe may be edited while the grid runs: all of its runs read it as it was planned.
        recipe = out / config.name
        if not recipe.exists() or not recipe.samefile(config):
            shutil.copyfile(config, recipe)
        done = finished(out, with_models=options.keep_models)
        # Two cells may come to the same settings.
        missing = list({run.key: run for run in runs if run.key not in done}.values())
        print(f"{len(runs)} runs, {len(missing)} of them still to do; all goes to {out}", flush=True)
        progress = Progress(len(missing))
        run_grid(missing, recipe, out, jobs=options.jobs, keep_models=options.keep_models, told=progress)
        done = finished(out)
        rows = {(run.cell, run.seed): done[run.key] for run in runs if run.key in done}
        if rows:
            command = shlex.join(["python", "-m", "modeling_erc", "ablate", *argv])
            cells = list(dict.fromkeys(run.cell for run in runs))
            text = report(rows, out, cells, baseline, seeds, options.metric, options.classes, command)
            print(f"\n{text}")
    if progress.failed:
        told = "\n".join(f"  {line}" for line in progress.failed)
        sys.exit(f"{len(progress.failed)} of {len(runs)} runs failed; their logs are in {out / 'logs'}:\n{told}")


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


class Progress:
    """Prints a line for each run that ends.

    Args:
        total: how many there are to run.
    """

    def __init__(self, total: int) -> None:
        self.total, self.done, self.began = total, 0, time.monotonic()
        self.failed: list[str] = []

    def __call__(self, run: Run, row: Mapping[str, Any]) -> None:
        self.done += 1
        left = (time.monotonic() - self.began) / self.done * (self.total - self.done)
        name = f"{cell_name(run.cell)} seed={run.seed}".strip()
        if "error" in row:
            self.failed.append(f"{name}: {row['error']}")
            told = f"failed: {row['error']}"
        else:
            told = "  ".join(
                f"{split} accuracy {row[split]['accuracy']:.4f} weighted F1 {row[split]['weighted_f1']:.4f}"
                for split in ("dev", "test")
            )
        clock = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
        print(f"[{self.done}/{self.total}] {name}: {told}; about {clock} left", flush=True)


def _parser() -> argparse.ArgumentParser:
    half = max(1, cores() // 2)
    ready = ", ".join(sorted(path.stem for path in GRIDS.glob("*.yaml")))
    parser = argparse.ArgumentParser(
        "python -m modeling_erc ablate",
        description="Trains a grid and compares it.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("config", metavar="CONFIG", help="recipe of all runs, a YAML file")
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="FIELD=V1,V2",
        help="a field of the recipe and its values, lists joined by '+': modalities=text,text+audio; repeatable",
    )
    parser.add_argument("--grid", help=f"ready fields and seeds: a YAML file, or one of {ready}")
    parser.add_argument("--seeds", help="how many, from 0 on, or which: 3,7,11; default: the grid's, or 5")
    parser.add_argument("--jobs", type=_positive, default=half, help=f"runs at a time (default: {half})")
    parser.add_argument("--out", help="folder; default: runs/ablate-CONFIG-FIELDS")
    parser.add_argument("--baseline", default="", help="FIELD=VALUE,...: compare with this cell; default: the first")
    parser.add_argument("--metric", choices=METRICS, default="weighted_f1", help="that differences are in")
    parser.add_argument("--classes", type=_names, default=[], help="classes whose mean F1 is told too: fear,disgust")
    parser.add_argument(
        "--keep_models", action="store_true", help="keep them on disk; what was run without it is run again"
    )
    return parser


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def grid_of(name: str | None, vary: Sequence[str], given_seeds: str | None) -> tuple[dict[str, list[str]], list[int]]:
    """The values of each varied field, as the command line takes them, and the seeds.

    Args:
        name: of a ready grid, or its file.
        vary: `FIELD=V1,V2` each; takes the place of the same field of the ready grid.
        given_seeds: how many, or which with commas between them; in place of the ready grid's.

    Raises:
        ValueError: there is nothing to vary, or something cannot be read.
        FileNotFoundError: there is no such grid.

    Example:
        >>> grid_of(None, ["fusion=joint_vector,concat"], "2")
        ({'fusion': ['joint_vector', 'concat']}, [0, 1])
    """
    varied: dict[str, list[str]] = {}
    seeds: Any = 5
    if name:
        ready = _read_grid(name)
        varied = {field: [_as_word(value) for value in values] for field, values in ready["vary"].items()}
        seeds = ready.get("seeds", seeds)
    for given in vary:
        field, _, text = given.partition("=")
        # Not at the commas of a JSON mapping.
        values = [value for value in re.split(r",(?![^{]*})", text) if value]
        if not values:
            raise ValueError(f"--vary {given}: expected FIELD=VALUE,VALUE,...")
        varied[field] = values
    if not varied:
        raise ValueError("nothing to vary: name --vary FIELD=V1,V2 or --grid")
    if given_seeds is not None:
        if not re.fullmatch(r"\d+(,\d+)*,?", given_seeds):
            raise ValueError(f"--seeds {given_seeds}: expected a number of seeds, or seeds with commas between them")
        seeds = [int(seed) for seed in _names(given_seeds)] if "," in given_seeds else int(given_seeds)
    if isinstance(seeds, int):
        seeds = list(range(seeds))
    if not seeds:
        raise ValueError("a grid needs a seed: --seeds 1 at least")
    return {field: list(dict.fromkeys(values)) for field, values in varied.items()}, list(dict.fromkeys(seeds))


def _read_grid(name: str) -> dict[str, Any]:
    path = Path(name) if Path(name).is_file() else GRIDS / f"{name}.yaml"
    if not path.is_file():
        ready = ", ".join(sorted(path.stem for path in GRIDS.glob("*.yaml")))
        raise FileNotFoundError(f"--grid {name}: no such file, and none of {ready}")
    grid = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not (
        isinstance(grid, dict)
        and set(grid) <= {"vary", "seeds"}
        and isinstance(grid.get("vary"), dict)
        and all(isinstance(values, list) and values for values in grid["vary"].values())
        and isinstance(grid.get("seeds", 1), int | list)
    ):
        raise ValueError(f"{path}: expected 'vary:' with a list of values for each field, and 'seeds:'")
    return grid


def _as_word(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value))
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


def _baseline(text: str, varied: Mapping[str, Sequence[str]]) -> Cell:
    """The cell of each field's first value, but for what the text says."""
    chosen = {field: values[0] for field, values in varied.items()}
    for pair in _names(text):
        field, _, value = pair.partition("=")
        if value not in varied.get(field, ()):
            known = "; ".join(f"{name}={','.join(values)}" for name, values in varied.items())
            raise ValueError(f"--baseline {pair}: no cell of this grid has it ({known})")
        chosen[field] = value
    return tuple(chosen.items())
