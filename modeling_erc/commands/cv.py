"""`cv CONFIG --folds session`: cross-validates a recipe, or chooses among its variants, and scores test once."""

import argparse
import shlex
import sys
from pathlib import Path

from ..configs import GRIDS, find_config, ready_names
from ..grids.comparison import METRICS
from ..grids.cross_validation import cross_validate
from ..grids.grid import cores
from ..grids.spec import baseline_cell, grid_of, names_of
from . import command_parser, positive

_EPILOG = """All other options are those of `train` (see its --help). Each run leaves out a fold of train and dev and
predicts it, without reading test; the best cell is then trained on all folds and scored on test once.
The same command continues an interrupted cross-validation.

example: %(prog)s iemocap_features --folds session --vary context=gru,relational --seeds 3"""


def main(argv: list[str]) -> None:
    """Trains the missing runs of a cross-validation, then writes `table.md` and `table.csv`."""
    options, extra = _parser().parse_known_args(argv)
    if argv[0] != options.config:
        raise ValueError("the recipe comes first: cv CONFIG --folds ...")
    if options.metric == "classes_f1" and not options.classes:
        raise ValueError("--metric classes_f1 is the mean F1 of --classes: name them")
    varied, seeds = grid_of(options.grid, options.vary, options.seeds)
    config = find_config(options.config)
    text, failed = cross_validate(
        config,
        varied,
        seeds,
        Path(options.out or Path("runs") / "-".join(["cv", config.stem, options.folds, *varied])),
        folds=options.folds,
        baseline=baseline_cell(options.baseline, varied),
        jobs=options.jobs,
        command=shlex.join(["modeling-erc", "cv", *argv]),
        metric=options.metric,
        classes=options.classes,
        extra=extra,
    )
    if failed:
        sys.exit("runs that failed:" + "".join(f"\n  {line}" for line in failed))
    print(f"\n{text}")


def _parser() -> argparse.ArgumentParser:
    half = max(1, cores() // 2)
    parser = command_parser("cv", "Cross-validates a recipe over train and dev.", _EPILOG, allow_abbrev=False)
    parser.add_argument("config", metavar="CONFIG", help="recipe of all runs: a ready name, or a YAML file")
    parser.add_argument(
        "--folds", required=True, help="session, speaker or dialogue for leave-one-out, or a number of random folds"
    )
    parser.add_argument("--vary", action="append", default=[], metavar="FIELD=V1,V2", help="as for ablate; repeatable")
    parser.add_argument(
        "--grid", help=f"ready fields and seeds: a YAML file, or one of {', '.join(ready_names(GRIDS))}"
    )
    parser.add_argument("--seeds", help="number of seeds from 0 on, or a list: 3,7,11; default: the grid's, or 5")
    parser.add_argument("--jobs", type=positive, default=half, help=f"runs at a time (default: {half})")
    parser.add_argument("--out", help="folder of the runs; default: runs/cv-CONFIG-FOLDS-FIELDS")
    parser.add_argument("--baseline", default="", help="FIELD=VALUE,...: compare with this cell; default: the first")
    parser.add_argument("--metric", choices=METRICS, default="weighted_f1", help="metric that chooses")
    parser.add_argument(
        "--classes", type=names_of, default=[], help="classes whose mean F1 is reported as well: fear,disgust"
    )
    return parser
