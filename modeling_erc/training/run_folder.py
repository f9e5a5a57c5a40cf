"""The folder of a run: a fresh numbered one by default, and never a surprise for what was there before."""

import shutil
from pathlib import Path

from accelerate.utils import broadcast_object_list
from transformers.trainer_utils import get_last_checkpoint

from .arguments import ErcTrainingArguments


class RunFolderError(ValueError):
    """The named output folder holds something and the command does not say what to do with it."""


def prepare_run_folder(args: ErcTrainingArguments, named: bool, stem: str) -> str | None:
    """Sets `args.output_dir` and makes the folder.

    Args:
        args: `output_dir`, `resume` and `overwrite` are read, `output_dir` is set.
        named: whether the user chose `output_dir`; otherwise `runs/<stem>-001` or the next free number is taken.
        stem: the config's name.

    Returns:
        the checkpoint to go on from, or `None`.

    Raises:
        RunFolderError: the named folder is not empty and neither `--resume` nor `--overwrite` is given, or it is to be
            resumed and holds no checkpoint.
    """
    with args.main_process_first(desc="run folder"):
        if not named:
            chosen = [str(_next_free(stem))] if args.process_index == 0 else [""]
            # Every process writes into the folder that the first one found.
            args.output_dir = broadcast_object_list(chosen)[0] if args.world_size > 1 else chosen[0]
            Path(args.output_dir).mkdir(parents=True, exist_ok=True)
            return None
        folder = Path(str(args.output_dir))
        if args.process_index == 0 and folder.exists() and any(folder.iterdir()):
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
    checkpoint: str | None = get_last_checkpoint(str(folder))
    if checkpoint is None:
        raise RunFolderError(f"{folder} holds no checkpoint to resume from: leave --resume out")
    return checkpoint


def _next_free(stem: str) -> Path:
    number = 1
    while (folder := Path("runs") / f"{stem}-{number:03d}").exists():
        number += 1
    return folder
