"""`robustness CKPT [CKPT2 ...]`: measures what a model loses when modalities are missing or noisy."""

import argparse
from pathlib import Path

from . import command_parser, positive


def main(argv: list[str]) -> None:
    """Scores checkpoints on corrupted utterances; writes `table.md`, `table.csv` and `curves.png`."""
    parser = command_parser(
        "robustness",
        "Removes each modality, and adds noise of several strengths, for a share of the utterances.",
        "example: %(prog)s runs/demo-001 --modality text audio --shares 0,0.5,1",
    )
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="CKPT", help="folders of finished runs")
    parser.add_argument(
        "--modality",
        nargs="+",
        metavar="M",
        help="what to corrupt: text, audio, vision, or any for one modality at a time (default: each of these)",
    )
    parser.add_argument(
        "--shares",
        type=_shares,
        default="0,0.25,0.5,0.75,1",
        help="shares of corrupted utterances (default: %(default)s)",
    )
    parser.add_argument("--split", default="test", help="evaluated split (default: %(default)s)")
    parser.add_argument(
        "--seeds", type=positive, default=3, help="number of draws of the corrupted utterances (default: %(default)s)"
    )
    parser.add_argument("--data_dir", type=Path, help="folder of the corpus, if it was moved")
    parser.add_argument("--out", type=Path, help="folder of the results (default: robustness/ in the first checkpoint)")
    # CKPT may stand before and between the options.
    args = parser.parse_intermixed_args(argv)
    out = args.out or args.checkpoints[0] / "robustness"
    from ..analysis.checkpoint_robustness import measure_robustness

    text = measure_robustness(
        args.checkpoints,
        out,
        shares=args.shares,
        seeds=args.seeds,
        modalities=args.modality,
        split=args.split,
        data_dir=args.data_dir,
    )
    print(f"\n{text}\nresults are in {out}")


def _shares(text: str) -> tuple[float, ...]:
    try:
        shares = tuple(sorted({float(share) for share in text.split(",")}))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: expected numbers such as 0,0.5,1") from error
    if not all(0 <= share <= 1 for share in shares):
        raise argparse.ArgumentTypeError(f"{text!r}: shares are from 0 to 1")
    return shares
