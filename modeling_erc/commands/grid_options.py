"""The options that `ablate` and `cv` share: a recipe, the fields that vary, and how their runs are compared."""

import argparse
from pathlib import Path
from typing import Any

from ..configs import GRIDS, find_config, ready_names
from ..grids.comparison import METRICS
from ..grids.grid import cores
from ..grids.spec import baseline_cell, grid_of, names_of
from . import command_parser, positive


def grid_parser(command: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """Returns the parser of a command that trains a grid; all other options are those of `train`."""
    half = max(1, cores() // 2)
    ready = ", ".join(ready_names(GRIDS))
    parser = command_parser(command, description, epilog, allow_abbrev=False)
    parser.add_argument("config", metavar="CONFIG", help="recipe of all runs: a ready name, or a YAML file")
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="FIELD=V1,V2",
        help="a field of the recipe and its values, lists joined by '+': modalities=text,text+audio; nothing is an "
        "empty list: centered_modalities=,audio; repeatable",
    )
    parser.add_argument("--grid", help=f"ready fields and seeds: a YAML file, or one of {ready}")
    parser.add_argument("--seeds", help="number of seeds from 0 on, or a list: 3,7,11; default: the grid's, or 5")
    parser.add_argument("--jobs", type=positive, default=half, help=f"runs at a time (default: {half})")
    parser.add_argument("--out", help=f"folder of the runs; default: runs/{command}-CONFIG-FIELDS")
    parser.add_argument("--baseline", default="", help="FIELD=VALUE,...: compare with this cell; default: the first")
    parser.add_argument(
        "--metric",
        choices=METRICS,
        help="metric of the differences; default: weighted_f1, for several labels macro_f1, for targets ccc",
    )
    parser.add_argument(
        "--classes", type=names_of, default=[], help="classes whose mean F1 is reported as well: fear,disgust"
    )
    return parser


def grid_arguments(options: argparse.Namespace, argv: list[str], command: str, *words: str) -> dict[str, Any]:
    """Returns the arguments that `run_ablation` and `cross_validate` share.

    Args:
        options: result of a [`grid_parser`].
        argv: the command line that it parsed.
        command: name of the command.
        words: further words in the name of the default folder.

    Raises:
        ValueError: the recipe is not the first word, or an option is malformed.
        FileNotFoundError: there is no such recipe or grid.
    """
    if argv[0] != options.config:
        raise ValueError(f"the recipe comes first: {command} CONFIG --vary ...")
    if options.metric == "classes_f1" and not options.classes:
        raise ValueError("--metric classes_f1 is the mean F1 of --classes: name them")
    varied, seeds = grid_of(options.grid, options.vary, options.seeds)
    config = find_config(options.config)
    return {
        "config": config,
        "varied": varied,
        "seeds": seeds,
        "out": Path(options.out or Path("runs") / "-".join([command, config.stem, *words, *varied])),
        "baseline": baseline_cell(options.baseline, varied),
        "jobs": options.jobs,
        "metric": options.metric,
        "classes": options.classes,
    }
