"""`analyse CKPT [--split test] [--out DIR]`: reports where a finished run makes errors."""

from pathlib import Path

from . import command_parser


def main(argv: list[str]) -> None:
    """Runs the model of a run over a split and writes `report.html`, `report.md` and the figures."""
    parser = command_parser(
        "analyse",
        "Reports where a finished run makes errors, with figures.",
        "example: %(prog)s runs/demo-001 --split dev",
    )
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help="folder of a finished run")
    parser.add_argument("--split", default="test", help="train, dev or test (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder of the report (default: CKPT/analysis-SPLIT)")
    parser.add_argument("--data_dir", help="folder of the raw corpus (default: that of the run)")
    args = parser.parse_args(argv)
    from ..analysis.run_analysis import analyse_run

    page, text = analyse_run(args.checkpoint, args.split, out=args.out, data_dir=args.data_dir)
    print(f"{page} contains everything in one file; {text} links to the figures beside it")
