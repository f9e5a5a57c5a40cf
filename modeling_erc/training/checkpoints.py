"""Checkpoints and the folder of a run: only complete checkpoints count, so that a killed run can be resumed.

A checkpoint is complete once its seal is written, the last of its files: their names and sizes.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from transformers.trainer_utils import get_last_checkpoint, sort_checkpoints
from transformers.utils import logging

from .arguments import ErcTrainingArguments

logger = logging.get_logger(__name__)

SEAL = "whole.json"
# What a run is, to compare a resumed one with: its settings and the fingerprint of its corpus.
IDENTITY = "run_identity.json"
_PLACES = {"data_dir", "feature_cache", "decoded_cache_mb", "save_total_limit", "run_name", "disable_tqdm", "use_cpu"}


class CheckpointError(OSError):
    """A checkpoint could not be written."""


class RunFolderError(ValueError):
    """The output folder is in use and the arguments do not say what to do with it."""


def seal(checkpoint: Path) -> None:
    """Marks a checkpoint as complete, once all of its files are on the disk."""
    sizes = {}
    for path in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        sizes[path.relative_to(checkpoint).as_posix()] = path.stat().st_size
    unfinished = checkpoint / f"{SEAL}.part"
    unfinished.write_text(json.dumps(sizes, indent=2) + "\n", encoding="utf-8")
    unfinished.rename(checkpoint / SEAL)


def fault_of(checkpoint: Path) -> str | None:
    """Describes why a checkpoint is incomplete; returns `None` if it is complete."""
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
    """Returns the checkpoints in a run's folder, the last one first, each with its fault or `None`."""
    return {Path(folder): fault_of(Path(folder)) for folder in reversed(sort_checkpoints(str(run)))}


def complete_checkpoints(run: Path) -> list[Path]:
    """Returns the complete checkpoints in a run's folder, the last one first."""
    return [folder for folder, fault in checkpoints_of(run).items() if fault is None]


def rotate(run: Path, limit: int | None, best: str | None) -> None:
    """Deletes incomplete checkpoints and the oldest complete ones.

    Call it once a new checkpoint is complete, so that there is always one.

    Args:
        run: the run's folder.
        limit: number of checkpoints to keep, always including the last and the best; `None` or 0 keeps all.
        best: folder of the best checkpoint.
    """
    complete = complete_checkpoints(run)
    kept = {folder for folder in complete if folder == complete[0] or (best and folder.samefile(best))}
    for folder in complete:
        if not limit or len(kept) < limit:
            kept.add(folder)
    for folder in checkpoints_of(run).keys() - kept:
        # The seal goes first, since the deletion itself may be interrupted.
        (folder / SEAL).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns a failure to write, such as a full disk, into an error that names the remedy.

    Args:
        folder: the checkpoint that is written. After a failure it is deleted, to free its space.

    Raises:
        CheckpointError: the folder could not be written.
    """
    try:
        yield
    # Python, safetensors and torch.save raise these where a disk is full.
    except (OSError, SafetensorError, RuntimeError) as error:
        free = shutil.disk_usage(folder.parent).free
        shutil.rmtree(folder, ignore_errors=True)
        complete = complete_checkpoints(folder.parent)
        raise CheckpointError(
            f"{folder} could not be written: {error} ({free / 2**20:,.0f} MB were free). "
            + (f"{complete[0].name} is complete: " if complete else "There is no complete checkpoint yet: ")
            + "make room, or lower --save_total_limit, and "
            + ("continue with --resume" if complete else "start again with --overwrite")
        ) from error


def prepare_run_folder(args: ErcTrainingArguments, stem: str) -> str | None:
    """Sets `args.output_dir` and makes the folder; an old run stays until `delete_old_run`.

    Args:
        args: reads `output_dir`, `resume` and `overwrite`; without an `output_dir` it becomes `runs/<stem>-001` or the
            next free number.
        stem: name of the recipe.

    Returns:
        The checkpoint to resume from, or `None`.

    Raises:
        RunFolderError: the folder is not empty and neither `--resume` nor `--overwrite` is given; or there is no
            complete checkpoint to resume from, or no run to overwrite.
    """
    if args.resume and args.overwrite:
        raise RunFolderError("--resume continues a run and --overwrite deletes it: give one of them")
    if args.as_given["output_dir"] is None:
        if args.resume:
            raise RunFolderError("--resume needs --output_dir, the folder of the run to continue")
        chosen = [str(_make_numbered(stem))] if args.process_index == 0 else [""]
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
            if not (args.overwrite or args.resume):
                raise RunFolderError(
                    f"{folder} is not empty: add --resume to continue that run, --overwrite to delete it, "
                    "or name another --output_dir"
                )
        _make_writable(folder)
    return _last_complete(folder) if args.resume else None


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A read-only disk shows itself only to those who write.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be written ({error.strerror}): name another --output_dir") from error


@contextlib.contextmanager
def naming_resume(args: ErcTrainingArguments) -> Iterator[None]:
    """Adds to an interruption (Ctrl-C or SIGTERM) how the run is continued: the argument of the exception."""
    try:
        yield
    except KeyboardInterrupt as stop:
        folder = Path(str(args.output_dir))
        complete = complete_checkpoints(folder)
        if complete:
            stop.args = (f"{complete[0]} is complete: continue with --resume --output_dir {folder}",)
        else:
            stop.args = ("there is no complete checkpoint for --resume yet: start again with --overwrite",)
        raise


def write_identity(args: ErcTrainingArguments, settings: dict[str, Any], corpus: str) -> None:
    """Writes the settings of a new run and the fingerprint of its corpus into its folder, for `check_resumed`."""
    if args.process_index == 0:
        text = json.dumps(_identity(settings, corpus), indent=2, sort_keys=True)
        (Path(str(args.output_dir)) / IDENTITY).write_text(f"{text}\n", encoding="utf-8")


def check_resumed(args: ErcTrainingArguments, settings: dict[str, Any], corpus: str) -> None:
    """Stops a run that would continue one with other settings or another corpus, unless `resume_anyway` is set.

    Args:
        args: reads `output_dir` and `resume_anyway`.
        settings: settings of the run that differ from their defaults.
        corpus: fingerprint of its corpus.

    Raises:
        RunFolderError: the run in the folder is another one; the message names the differences.
    """
    file = Path(str(args.output_dir)) / IDENTITY
    if args.resume_anyway or not file.is_file():
        return
    before, now = json.loads(file.read_text(encoding="utf-8")), _identity(settings, corpus)
    changed = [
        f"{name} {before.get(name, 'default')} before, {now.get(name, 'default')} now"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise RunFolderError(
            f"{args.output_dir} holds another run ({'; '.join(changed)}): repeat its command with --resume, or "
            "continue it with the new settings with --resume_anyway"
        )


def _identity(settings: dict[str, Any], corpus: str) -> dict[str, Any]:
    """Returns what a run learns from, as JSON reads it back."""
    kept = {name: value for name, value in settings.items() if not _without_influence(name)}
    identity: dict[str, Any] = json.loads(json.dumps({**kept, "corpus fingerprint": corpus}, default=str))
    return identity


def _without_influence(setting: str) -> bool:
    """Returns whether a setting changes where and how a run works, but not what it learns."""
    return setting in _PLACES or setting.startswith(("hub_", "push_to_", "logging_", "report_to", "dataloader_"))


def delete_old_run(args: ErcTrainingArguments) -> None:
    """Deletes the run that `--overwrite` replaces, in the folder that `prepare_run_folder` checked.

    Call it right before training, after everything that can fail early.
    """
    if args.overwrite and args.as_given["output_dir"] is not None:
        with args.main_process_first(desc="old run"):
            if args.process_index == 0:
                shutil.rmtree(str(args.output_dir))
                Path(str(args.output_dir)).mkdir()


def _make_numbered(stem: str) -> Path:
    number = 1
    while True:
        folder = Path("runs") / f"{stem}-{number:03d}"
        try:
            # No check beforehand: two runs that start at the same time must not take the same number.
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def _holds_run(folder: Path) -> bool:
    written = any((folder / name).exists() for name in (IDENTITY, "run_config.yaml"))
    return written or get_last_checkpoint(str(folder)) is not None


def _last_complete(folder: Path) -> str:
    """Returns the last complete checkpoint; warns of later, incomplete ones."""
    incomplete: list[str] = []
    for checkpoint, fault in checkpoints_of(folder).items():
        if fault is None:
            if incomplete:
                logger.warning(
                    f"Resuming from {checkpoint.name}, since later ones are incomplete: {'; '.join(incomplete)}"
                )
            return str(checkpoint)
        incomplete.append(f"{checkpoint.name}, {fault}")
    if incomplete:
        raise RunFolderError(
            f"{folder} holds no complete checkpoint ({'; '.join(incomplete)}): start again with --overwrite"
        )
    raise RunFolderError(f"{folder} holds no checkpoint to resume from: leave --resume out")
