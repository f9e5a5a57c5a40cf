"""`ablate CONFIG --vary FIELD=V1,V2 --seeds 5`: a grid of runs, compared with each other."""

import argparse
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..configs import GRIDS, find_config, ready_names
from ..grids.comparison import METRICS, Cell, cell_name
from ..grids.grid import Run, cores, finished, locked, plan, run_grid
from ..grids.report import report
from ..grids.spec import grid_of, names_of

_EPILOG = """Every other option is passed on to train_hf.py (its --help lists them). What is in OUT/results.jsonl is not
run again, so after a break the same command goes on; where the code has changed, name another --out.
Example: python -m modeling_erc ablate mosi --vary fusion=joint_vector,concat --seeds 5"""


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
    config = find_config(options.config)
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
    ready = ", ".join(ready_names(GRIDS))
    parser = argparse.ArgumentParser(
        "python -m modeling_erc ablate",
        description="Trains a grid and compares it.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.add_argument("config", metavar="CONFIG", help="recipe of all runs: a ready name, or a YAML file")
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
    parser.add_argument("--classes", type=names_of, default=[], help="classes whose mean F1 is told too: fear,disgust")
    parser.add_argument(
        "--keep_models", action="store_true", help="keep them on disk; what was run without it is run again"
    )
    return parser


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)


def _baseline(text: str, varied: Mapping[str, Sequence[str]]) -> Cell:
    """The cell of each field's first value, but for what the text says."""
    chosen = {field: values[0] for field, values in varied.items()}
    for pair in names_of(text):
        field, _, value = pair.partition("=")
        if value not in varied.get(field, ()):
            known = "; ".join(f"{name}={','.join(values)}" for name, values in varied.items())
            raise ValueError(f"--baseline {pair}: no cell of this grid has it ({known})")
        chosen[field] = value
    return tuple(chosen.items())
