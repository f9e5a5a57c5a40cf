"""`ablate CONFIG --vary FIELD=V1,V2 --seeds 5`: trains a grid of runs and compares its cells."""

import argparse
import shlex
import sys
from pathlib import Path

from ..configs import GRIDS, find_config, ready_names
from ..grids.comparison import METRICS
from ..grids.grid import cores, run_ablation
from ..grids.spec import baseline_cell, grid_of, names_of
from . import command_parser, positive

_EPILOG = """All other options are those of `train` (see its --help). Runs in OUT/results.jsonl are not repeated,
so the same command continues an interrupted grid; after a change of the code, name another --out.

example: %(prog)s mosi --vary fusion=joint_vector,concat --seeds 5"""


def main(argv: list[str]) -> None:
    """Trains the missing runs of a grid, then writes `table.md`, `table.csv` and `picture.png`."""
    options, extra = _parser().parse_known_args(argv)
    if argv[0] != options.config:
        raise ValueError("the recipe comes first: ablate CONFIG --vary ...")
    if options.metric == "classes_f1" and not options.classes:
        raise ValueError("--metric classes_f1 is the mean F1 of --classes: name them")
    varied, seeds = grid_of(options.grid, options.vary, options.seeds)
    if not varied:
        raise ValueError("nothing to vary: name --vary FIELD=V1,V2 or --grid")
    config = find_config(options.config)
    out = Path(options.out or Path("runs") / "-".join(["ablate", config.stem, *varied]))
    text, failed = run_ablation(
        config,
        varied,
        seeds,
        out,
        baseline=baseline_cell(options.baseline, varied),
        jobs=options.jobs,
        command=shlex.join(["modeling-erc", "ablate", *argv]),
        metric=options.metric,
        classes=options.classes,
        extra=extra,
        keep_models=options.keep_models,
    )
    print(f"\n{text}")
    if failed:
        lines = "".join(f"\n  {line}" for line in failed)
        sys.exit(f"runs that failed: {len(failed)}; their logs are in {out / 'logs'}:{lines}")


def _parser() -> argparse.ArgumentParser:
    half = max(1, cores() // 2)
    ready = ", ".join(ready_names(GRIDS))
    parser = command_parser(
        "ablate", "Trains a grid of settings with several seeds, and compares its cells.", _EPILOG, allow_abbrev=False
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
    parser.add_argument("--seeds", help="number of seeds from 0 on, or a list: 3,7,11; default: the grid's, or 5")
    parser.add_argument("--jobs", type=positive, default=half, help=f"runs at a time (default: {half})")
    parser.add_argument("--out", help="folder of the grid; default: runs/ablate-CONFIG-FIELDS")
    parser.add_argument("--baseline", default="", help="FIELD=VALUE,...: compare with this cell; default: the first")
    parser.add_argument("--metric", choices=METRICS, default="weighted_f1", help="metric of the differences")
    parser.add_argument(
        "--classes", type=names_of, default=[], help="classes whose mean F1 is reported as well: fear,disgust"
    )
    parser.add_argument(
        "--keep_models", action="store_true", help="keep models on disk; runs trained without it are repeated"
    )
    return parser
