"""`cv CONFIG --folds session`: cross-validates a recipe, or chooses among its variants, and scores test once."""

import argparse
import shlex
import sys

from ..grids.cross_validation import cross_validate
from .grid_options import grid_arguments, grid_parser

_EPILOG = """All other options are those of `train` (see its --help). Each run leaves out a fold of train and dev and
predicts it, without reading test; the best cell is then trained on all folds and scored on test once.
The same command continues an interrupted cross-validation.

example: %(prog)s iemocap_features --folds session --vary context=gru,relational --seeds 3"""


def main(argv: list[str]) -> None:
    """Trains the missing runs of a cross-validation, then writes `table.md` and `table.csv`."""
    options, extra = _parser().parse_known_args(argv)
    grid = grid_arguments(options, argv, "cv", options.folds)
    command = shlex.join(["modeling-erc", "cv", *argv])
    text, failed = cross_validate(
        **grid, folds=options.folds, command=command, extra=extra, linear_probe=options.linear_probe
    )
    if failed:
        lines = "".join(f"\n  {line}" for line in failed)
        sys.exit(f"runs that failed: {len(failed)}; their logs are in {grid['out'] / 'logs'}:{lines}")
    print(f"\n{text}")


def _parser() -> argparse.ArgumentParser:
    parser = grid_parser("cv", "Cross-validates a recipe over train and dev.", _EPILOG)
    parser.add_argument(
        "--folds", required=True, help="session, speaker or dialogue for leave-one-out, or a number of random folds"
    )
    parser.add_argument(
        "--linear_probe",
        action="store_true",
        help="compare the chosen cell with logistic regression on the features of single utterances",
    )
    return parser
