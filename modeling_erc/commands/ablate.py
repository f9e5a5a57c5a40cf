"""`ablate CONFIG --vary FIELD=V1,V2 --seeds 5`: trains a grid of runs and compares its cells."""

import argparse
import shlex
import sys

from ..grids.grid import run_ablation
from .grid_options import grid_arguments, grid_parser

_EPILOG = """All other options are those of `train` (see its --help). Runs in OUT/results.jsonl are not repeated,
so the same command continues an interrupted grid; after a change of the code, name another --out.

example: %(prog)s mosi --vary fusion=joint_vector,concat --seeds 5"""


def main(argv: list[str]) -> None:
    """Trains the missing runs of a grid, then writes `table.md`, `table.csv` and `picture.png`."""
    options, extra = _parser().parse_known_args(argv)
    grid = grid_arguments(options, argv, "ablate")
    if not grid["varied"]:
        raise ValueError("nothing to vary: name --vary FIELD=V1,V2 or --grid")
    command = shlex.join(["modeling-erc", "ablate", *argv])
    text, failed = run_ablation(**grid, command=command, extra=extra, keep_models=options.keep_models)
    print(f"\n{text}")
    if failed:
        lines = "".join(f"\n  {line}" for line in failed)
        sys.exit(f"runs that failed: {len(failed)}; their logs are in {grid['out'] / 'logs'}:{lines}")


def _parser() -> argparse.ArgumentParser:
    parser = grid_parser("ablate", "Trains a grid of settings with several seeds, and compares its cells.", _EPILOG)
    parser.add_argument(
        "--keep_models", action="store_true", help="keep models on disk; runs trained without it are repeated"
    )
    return parser
