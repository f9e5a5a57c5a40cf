"""`robustness CKPT [CKPT2 ...]`: what a model loses when modalities are missing or noisy."""

import argparse
import csv
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ..analysis.corrupted_split import CorruptedSplit
from ..analysis.corruptions import ANY, corruptions_of
from ..analysis.figures import plot_curves
from ..analysis.finished_run import Run, load_run
from ..analysis.robustness import Curve, csv_rows, markdown, sentences
from ..hub.model_card import refresh_limits


def main(argv: list[str]) -> None:
    """Scores checkpoints with a share of the utterances corrupted; writes `table.md`, `table.csv` and `curves.png`.

    Raises:
        FileNotFoundError: a folder is no finished run.
        ValueError: a modality, split or share that cannot be, or checkpoints of different dialogues.
    """
    parser = argparse.ArgumentParser(
        prog="python -m modeling_erc robustness",
        description="Each modality missing, and noised at several strengths, for a share of the utterances.",
    )
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="CKPT", help="folders that train_hf.py wrote")
    parser.add_argument(
        "--modality", nargs="+", metavar="M", help=f"what to corrupt: text audio vision, or {ANY} (one at a time)"
    )
    parser.add_argument("--shares", type=_shares, default="0,0.25,0.5,0.75,1", help="default: %(default)s")
    parser.add_argument("--split", default="test", help="default: %(default)s")
    parser.add_argument("--seeds", type=_count, default=3, help="draws of which utterances (default: %(default)s)")
    parser.add_argument("--data_dir", type=Path, help="where the corpus is now, if it was moved")
    parser.add_argument("--out", type=Path, help="folder of the results; default: robustness/ in the first checkpoint")
    # CKPT may stand before and between the options.
    args = parser.parse_intermixed_args(argv)
    names = checkpoint_names(args.checkpoints)
    # What cannot be is told before an hour is spent on the first.
    runs = [load_run(folder, data_dir=args.data_dir) for folder in args.checkpoints]
    found = [corruptions_of(run.model, args.modality) for run in runs]
    check_dialogues(runs, args.split)
    out: Path = args.out or args.checkpoints[0] / "robustness"
    out.mkdir(parents=True, exist_ok=True)

    curves: list[Curve] = []
    for name, run, kinds in zip(names, runs, found, strict=True):
        with tempfile.TemporaryDirectory(prefix="erc-robustness-") as scratch:
            split = CorruptedSplit(run, args.split, Path(scratch))
            print(f"{name}: weighted F1 {split.clean:.4f} on {args.split}, clean ({split.count} utterances)")
            for kind, corruptions in kinds.items():
                started = time.perf_counter()
                modality, _, corrupted = kind.partition("/")
                for corruption in corruptions:
                    scores = split.scores(corruption, args.shares, range(args.seeds))
                    curves.append(Curve(name, modality, corrupted, corruption.label, args.shares, scores, split.clean))
                print(f"  {curves[-1].panel}, {time.perf_counter() - started:.0f} s", flush=True)
    # The checkpoints beside each other.
    seen = list(dict.fromkeys((curve.panel, curve.strength) for curve in curves))
    curves.sort(key=lambda curve: seen.index((curve.panel, curve.strength)))

    (out / "table.md").write_text(markdown(curves, args.split), encoding="utf-8")
    with (out / "table.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(csv_rows(curves))
    plot_curves(curves, out / "curves.png", split=args.split)
    refresh_limits(args.checkpoints[0])
    print("\n".join(["", *sentences(curves), "", f"everything is in {out}"]))


def check_dialogues(runs: Sequence[Run], split: str) -> None:
    """Refuses runs whose split is missing or not the same.

    Raises:
        ValueError: naming the run.
    """
    first: list[str] | None = None
    for run in runs:
        if split not in run.splits:
            raise ValueError(f"--split {split}: the corpus of {run.folder} has {', '.join(run.splits)}")
        dialogues = [row["dialogue_id"] for row in run.splits[split]]
        if first not in (None, dialogues):
            raise ValueError(
                f"the {split} dialogues of {run.folder} are not those of {runs[0].folder}: test them apart"
            )
        first = dialogues


def checkpoint_names(folders: list[Path]) -> list[str]:
    """A short name for each: the folder's, with its parents' where two would be the same.

    Raises:
        ValueError: a folder is named twice.
    """
    parts = [folder.absolute().parts for folder in folders]
    if len(set(parts)) < len(parts):
        raise ValueError("a checkpoint is named twice")
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return names


def _shares(text: str) -> tuple[float, ...]:
    try:
        shares = tuple(sorted({float(share) for share in text.split(",")}))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: expected numbers such as 0,0.5,1") from error
    if not all(0 <= share <= 1 for share in shares):
        raise argparse.ArgumentTypeError(f"{text!r}: shares are from 0 to 1")
    return shares


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 1")
    return int(text)
