"""`cross --train A --test B`: trains on one corpus and tests on another, over the emotions that they share."""

import json
from pathlib import Path
from typing import Any

from . import command_parser


def json_object(text: str) -> dict[str, Any]:
    """Returns the content of a JSON object; raises `ValueError` for other text."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError
    return value


def main(argv: list[str]) -> None:
    """Scores a run on another corpus and on its own, over the same emotions; writes `cross.md` and `cross.json`."""
    parser = command_parser(
        "cross",
        "Trains on one corpus and tests on another, over the emotions that they share.",
        "With a config, all other options are those of `train`: --num_train_epochs 3 --seed 1\n\n"
        "example: %(prog)s --train runs/meld_text-001 --test emorynlp --test_dir EmoryNLP",
        allow_abbrev=False,
    )
    parser.add_argument("--train", required=True, type=Path, metavar="A", help="a config, or the folder of a run")
    parser.add_argument("--train_dir", type=Path, help="folder of A's corpus; default: the one that A names")
    parser.add_argument("--test", required=True, metavar="B", help="name of a corpus: meld, emorynlp, ...")
    parser.add_argument("--test_dir", type=Path, help="folder of B")
    parser.add_argument("--test_options", metavar="JSON", help="options of B")
    parser.add_argument(
        "--label_map",
        type=json_object,
        metavar="JSON",
        help='emotion of classes that are not matched by their names: \'{"fury": "anger"}\'',
    )
    parser.add_argument("--split", default="test", help="evaluated split of both corpora (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, help="folder of the results; default: cross/B in a run, otherwise runs/cross-A-B"
    )
    args, others = parser.parse_known_args(argv)
    if args.train.is_dir() and others:
        parser.error(f"unknown: {' '.join(others)}; a finished run is not trained again")
    default = args.train / "cross" / args.test if args.train.is_dir() else None
    out: Path = args.out or default or Path("runs") / f"cross-{args.train.stem}-{args.test}"
    from ..analysis.cross_corpus import score_across
    from ..training.arguments import DataArguments

    text = score_across(
        args.train,
        args.test,
        out,
        train_dir=args.train_dir,
        test_dir=args.test_dir,
        test_options=DataArguments(dataset_options=args.test_options).corpus_options,
        label_map=args.label_map,
        split=args.split,
        options=others,
    )
    print(f"\n{text}\neverything is in {out}")
