"""The folder of a run: a fresh numbered one by default, and never a surprise for what was there before."""

import shutil
from pathlib import Path

from accelerate.utils import broadcast_object_list
from transformers.trainer_utils import get_last_checkpoint
from transformers.utils import logging

from .arguments import ErcTrainingArguments
from .whole_checkpoint import checkpoints_of

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
