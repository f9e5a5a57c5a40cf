"""Checkpoints that are whole or do not count: a run that was killed while it wrote one goes on from the one before."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from transformers.trainer_utils import get_last_checkpoint, sort_checkpoints
from transformers.utils import logging

from .arguments import ErcTrainingArguments

logger = logging.get_logger(__name__)


class RunFolderError(ValueError):
    """The named output folder holds something and the command does not say what to do with it."""


def prepare_run_folder(args: ErcTrainingArguments, stem: str) -> str | None:
    """Sets `args.output_dir` and makes the folder.

    Args:
        args: `output_dir`, `resume` and `overwrite` are read; where no `output_dir` is named, it becomes
            `runs/<stem>-001` or the next free number.
        stem: the config's name.

    Returns:
        the checkpoint to go on from, or `None`.

    Raises:
        RunFolderError: the named folder is not empty and neither `--resume` nor `--overwrite` is given, or it is to be
            resumed and holds no checkpoint, or overwritten and holds no run.
    """
    if args.resume and args.overwrite:
        raise RunFolderError("--resume goes on with a run and --overwrite deletes it: give one of them")
    if args.as_given["output_dir"] is None:
        if args.resume:
            raise RunFolderError("--resume needs --output_dir, the folder of the run to go on with")
        chosen = [str(_make_fresh(stem))] if args.process_index == 0 else [""]
        # Every process writes into the folder that the first one made.
        args.output_dir = broadcast_object_list(chosen)[0] if args.world_size > 1 else chosen[0]
        return None
    folder = Path(str(args.output_dir))
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{folder} is a file: name another --output_dir")
    with args.main_process_first(desc="run folder"):
        if args.process_index == 0 and folder.exists() and any(folder.iterdir()):
            if args.overwrite and not _holds_run(folder):
                raise RunFolderError(f"{folder} holds no run: --overwrite deletes runs only, name another folder")
            if args.overwrite:
                shutil.rmtree(folder)
            elif not args.resume:
                raise RunFolderError(
                    f"{folder} is not empty: add --resume to go on with that run, --overwrite to delete it, "
                    "or name another --output_dir"
                )
        folder.mkdir(parents=True, exist_ok=True)
    if not args.resume:
        return None
    return _last_whole(folder)


def _last_whole(folder: Path) -> str:
    """The last checkpoint whose writing came to its end; a warning tells of later ones."""
    broken: list[str] = []
    for checkpoint, fault in checkpoints_of(folder).items():
        if fault is None:
            if broken:
                logger.warning(f"Going on from {checkpoint.name}: writing was cut short of {'; '.join(broken)}")
            return str(checkpoint)
        broken.append(f"{checkpoint.name}, {fault}")
    if broken:
        raise RunFolderError(f"{folder} holds no whole checkpoint ({'; '.join(broken)}): start again with --overwrite")
    raise RunFolderError(f"{folder} holds no checkpoint to resume from: leave --resume out")


def _make_fresh(stem: str) -> Path:
    number = 1
    while True:
        folder = Path("runs") / f"{stem}-{number:03d}"
        try:
            # Not asked for first: two runs that start at the same moment must not find the same number free.
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def _holds_run(folder: Path) -> bool:
    return (folder / "run_config.yaml").exists() or get_last_checkpoint(str(folder)) is not None


# Written last: the files of the checkpoint and their sizes in bytes.
SEAL = "whole.json"


class CheckpointError(OSError):
    """A checkpoint could not be written."""


def seal(checkpoint: Path) -> None:
    """Marks a checkpoint as whole, once all of its files are on the disk."""
    sizes = {}
    for path in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        sizes[path.relative_to(checkpoint).as_posix()] = path.stat().st_size
    unfinished = checkpoint / f"{SEAL}.part"
    unfinished.write_text(json.dumps(sizes, indent=2) + "\n", encoding="utf-8")
    unfinished.rename(checkpoint / SEAL)


def fault_of(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, in words, or `None` if it is whole."""
    try:
        sizes = json.loads((checkpoint / SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"it has no {SEAL}, which is written last"
    for name, size in sizes.items():
        path = checkpoint / name
        if not path.is_file():
            return f"it lacks {name}"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size:,} bytes in place of {size:,}"
    return None


def checkpoints_of(run: Path) -> dict[Path, str | None]:
    """The checkpoints of a run's folder, the last first, and what is wrong with them."""
    return {Path(folder): fault_of(Path(folder)) for folder in reversed(sort_checkpoints(str(run)))}


def rotate(run: Path, limit: int | None, best: str | None) -> None:
    """Deletes what was cut short, and the oldest whole checkpoints.

    To be called when a new one is whole, so that there is one at every moment.

    Args:
        run: the run's folder.
        limit: how many to keep; the last and the best stay in any case. `None` or 0 keeps all.
        best: folder of the best one.
    """
    found = checkpoints_of(run)
    whole = [folder for folder, fault in found.items() if fault is None]
    kept = {folder for folder in whole if folder == whole[0] or (best and folder.samefile(best))}
    for folder in whole:
        if not limit or len(kept) < limit:
            kept.add(folder)
    for folder in found.keys() - kept:
        # The seal goes first: a deletion may be cut short as well.
        (folder / SEAL).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns a failure to write, such as a full disk, into an error that says what to do.

    Args:
        folder: what is written, inside the run's folder. What there is of it is deleted: on a full disk it is in the
            way.

    Raises:
        CheckpointError: the folder could not be written.
    """
    try:
        yield
    # What Python, safetensors and torch.save raise where a disk is full.
    except (OSError, SafetensorError, RuntimeError) as error:
        free = shutil.disk_usage(folder.parent).free
        shutil.rmtree(folder, ignore_errors=True)
        whole = [path.name for path, fault in checkpoints_of(folder.parent).items() if fault is None]
        raise CheckpointError(
            f"{folder} could not be written: {error} ({free / 2**20:,.0f} MB were free). "
            + (f"{whole[0]} is whole: " if whole else "There is no whole checkpoint yet: ")
            + "make room, or lower --save_total_limit, and "
            + ("go on with --resume" if whole else "start again with --overwrite")
        ) from error
