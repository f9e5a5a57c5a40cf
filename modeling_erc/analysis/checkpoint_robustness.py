"""Measures the robustness of checkpoints to missing and noisy modalities, and writes the results."""

import csv
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..hub.model_card import refresh_limits
from .corrupted_split import CorruptedSplit
from .corruptions import corruptions_of
from .figures import plot_curves
from .finished_run import Run, load_run
from .robustness import Curve, csv_rows, markdown


def measure_robustness(
    checkpoints: Sequence[Path],
    out: Path,
    *,
    shares: Sequence[float],
    seeds: int,
    modalities: list[str] | None = None,
    split: str = "test",
    data_dir: Path | None = None,
) -> str:
    """Scores checkpoints on corrupted utterances; writes `table.md`, `table.csv` and `curves.png`.

    The arguments are the options of `robustness`; the result is the text of `table.md`.

    Raises:
        FileNotFoundError: a folder is not a finished run.
        ValueError: a modality or split is unknown, or the checkpoints have different dialogues.
    """
    names = checkpoint_names(checkpoints)
    # Everything is checked before the first checkpoint is scored, which may take an hour.
    runs = [load_run(folder, data_dir=data_dir) for folder in checkpoints]
    for run in runs:
        run.require_single_labels("robustness")
    corruptions_by_run = [corruptions_of(run.model, modalities) for run in runs]
    check_dialogues(runs, split)
    out.mkdir(parents=True, exist_ok=True)

    curves: list[Curve] = []
    for name, run, kinds in zip(names, runs, corruptions_by_run, strict=True):
        with tempfile.TemporaryDirectory(prefix="erc-robustness-") as scratch:
            corrupted = CorruptedSplit(run, split, Path(scratch))
            print(f"{name}: weighted F1 {corrupted.clean:.4f} on {split}, clean ({corrupted.count} utterances)")
            for kind, corruptions in kinds.items():
                modality, _, how = kind.partition("/")
                for corruption in corruptions:
                    scores = corrupted.scores(corruption, tuple(shares), range(seeds))
                    curves.append(Curve(name, modality, how, corruption.label, tuple(shares), scores, corrupted.clean))
                print(f"  {curves[-1].panel}", flush=True)
    # Curves of the same corruption are listed together, one for each checkpoint.
    order = list(dict.fromkeys((curve.panel, curve.strength) for curve in curves))
    curves.sort(key=lambda curve: order.index((curve.panel, curve.strength)))

    text = markdown(curves, split)
    (out / "table.md").write_text(text, encoding="utf-8")
    with (out / "table.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(csv_rows(curves))
    plot_curves(curves, out / "curves.png", split=split)
    refresh_limits(checkpoints[0])
    return text


def check_dialogues(runs: Sequence[Run], split: str) -> None:
    """Checks that all runs have the split, with the same dialogues."""
    for run in runs:
        if split not in run.splits:
            raise ValueError(f"--split {split}: the corpus of {run.folder} has {', '.join(run.splits)}")
        if [row["dialogue_id"] for row in run.splits[split]] != [row["dialogue_id"] for row in runs[0].splits[split]]:
            raise ValueError(
                f"the {split} dialogues of {run.folder} are not those of {runs[0].folder}: evaluate them separately"
            )


def checkpoint_names(folders: Sequence[Path]) -> list[str]:
    """Returns a short name for each folder: its path below the folder that they share.

    Raises:
        ValueError: a folder is given twice.
    """
    paths = [folder.absolute() for folder in folders]
    if len(set(paths)) < len(paths):
        raise ValueError("a checkpoint is named twice")
    shared = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(shared).as_posix() for path in paths]
