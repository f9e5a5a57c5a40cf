"""A corpus as a folder of parquet files with a dataset card, for `datasets.load_dataset` and for the Hub."""

import glob
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import HfApi
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # theirs for us: httpx itself may be httpx2

from ..builder import CorpusError, ErcBuilder
from ..schema import MEDIA_COLUMNS
from .dataset_card import SplitCounts, dataset_card, relative_path

# Says that a folder is this module's, and which of its files are.
MARKER = ".datasets_scripts.json"
ROWS_AT_ONCE = 64
# Of the hash in a file's name.
DIGITS = 12


def check_rights(builder_class: type[ErcBuilder], name: str, holds_rights: bool) -> None:
    """Refuses a corpus whose terms allow no copies.

    Raises:
        PermissionError: unless its class says `REDISTRIBUTABLE` or the caller holds the rights.
    """
    if not (builder_class.REDISTRIBUTABLE or holds_rights):
        raise PermissionError(
            f"{name} is not pushed: its terms allow no copies ({builder_class.LICENSE}). "
            "If it is yours to pass on, say so with --i-hold-the-rights."
        )


def write_dataset(builder: ErcBuilder, folder: str | Path, *, command: str, overwrite: bool = False) -> Path:
    """Writes `data/<split>-<hash>.parquet` for every split that has dialogues, and a dataset card (`README.md`).

    The rows are those of the builder, only that media paths are relative to the corpus' folder, or to the `media_dir`
    of a table (of a file elsewhere, its name). One pass, a few dozen dialogues at a time. The files appear in `folder`
    once all of them are written.

    Args:
        builder: of the corpus.
        folder: a new or empty one.
        command: what the card says the copy was made by.
        overwrite: replace what an earlier call wrote into `folder`; files of others stay.

    Returns:
        the absolute folder.

    Raises:
        FileExistsError: where `folder` holds something that this function may not replace.
        ValueError: where `load_dataset` could not read a folder of that name.
        CorpusError: where a raw file cannot be right or a dialogue id comes twice.

    Example:
        >>> write_dataset(Meld("MELD.Raw"), "meld-parquet", command="by hand")
        >>> splits = datasets.load_dataset("meld-parquet")
    """
    folder = Path(folder).expanduser().absolute()
    if glob.has_magic(str(folder)):
        raise ValueError(f"{folder}: `load_dataset` takes *, ? and [ for a pattern, so name a folder without them")
    earlier = replaceable_files(folder, overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        partial = Path(temporary)
        (partial / "data").mkdir()
        counts, present = _write_splits(builder, partial)
        (partial / "README.md").write_text(dataset_card(builder, counts, present, command), encoding="utf-8")
        written = ["README.md", *(counted.file for counted in counts.values())]
        taken = [name for name in written if name not in earlier and (folder / name).exists()]
        if taken:
            raise FileExistsError(f"{folder} holds {', '.join(taken)}, not written by this command: move it away")
        for name in earlier:
            (folder / name).unlink(missing_ok=True)
        (folder / "data").mkdir(parents=True, exist_ok=True)
        for name in written:
            os.replace(partial / name, folder / name)
        (folder / MARKER).write_text(json.dumps({"files": written}) + "\n", encoding="utf-8")
    return folder


def replaceable_files(folder: Path, overwrite: bool) -> list[str]:
    """What an earlier call wrote into `folder`, relative to it: nothing for a new or empty one.

    Raises:
        FileExistsError: where `folder` is no folder, or not empty and not to be overwritten or not of this module.
    """
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise FileExistsError(f"{folder} is a file: name a folder")
    if not any(folder.iterdir()):
        return []
    if not overwrite:
        raise FileExistsError(f"{folder} is not empty: name another folder, or add --overwrite")
    if not (folder / MARKER).is_file():
        raise FileExistsError(f"{folder} was not written by this command (it has no {MARKER}): name another folder")
    return written_files(folder)


def written_files(folder: Path) -> list[str]:
    """Names of the files that `write_dataset` left in `folder`."""
    names = json.loads((folder / MARKER).read_text(encoding="utf-8"))["files"]
    # A folder may come from anywhere: what it lists must not lead out of it.
    return [name for name in names if name == "README.md" or re.fullmatch(r"data/[\w.-]+\.parquet", name)]


def push_dataset(folder: Path, repo_id: str, *, private: bool = False) -> str:
    """Uploads what `write_dataset` wrote to a dataset repository, which is made where there is none.

    Args:
        folder: as returned by `write_dataset`.
        repo_id: `user/name`.
        private: keep the repository to its owner.

    Returns:
        the repository's address.

    Raises:
        ConnectionError: where the Hub is not reached or refuses.
        ValueError: for a wrong `repo_id`, or where `private` is asked of a repository that is public already.
    """
    api = HfApi()
    try:
        address = api.create_repo(repo_id, repo_type="dataset", private=private or None, exist_ok=True)
        if private and not api.dataset_info(repo_id).private:
            raise ValueError(f"{repo_id} exists and is public: make it private on the Hub first, or name another")
        api.upload_folder(
            repo_id=repo_id,
            repo_type="dataset",
            folder_path=folder,
            allow_patterns=written_files(folder),
            # What an earlier push left there.
            delete_patterns=f"data/*-{'[0-9a-f]' * DIGITS}.parquet",
            commit_message="Upload the corpus",
        )
    except httpx.HTTPError as error:
        raise ConnectionError(f"{repo_id} was not pushed: {error}") from error
    return str(address)


def check_login() -> None:
    """Asks the Hub who is there, so that a missing token shows before the work and not after it.

    Raises:
        ConnectionError: where the Hub is not reached or does not know the token.
        OSError: where there is no token.
    """
    try:
        HfApi().whoami()
    except httpx.HTTPError as error:
        raise ConnectionError(f"the Hub lets nobody in: {error}") from error


def _write_splits(builder: ErcBuilder, folder: Path) -> tuple[dict[str, SplitCounts], set[str]]:
    """Counts by split, and the columns of an utterance that are not null throughout."""
    counts: dict[str, SplitCounts] = {}
    present: set[str] = set()
    split_of: dict[str, str] = {}
    media_root = builder.media_root
    for split, rows in builder.as_streaming_dataset().items():
        counted, path = SplitCounts(), folder / "data" / f"{split}.parquet"
        with pq.ParquetWriter(path, rows.features.arrow_schema) as writer:
            for batch in _batches(rows):
                for row in batch:
                    dialogue = row["dialogue_id"]
                    if dialogue in split_of:
                        raise CorpusError(f"dialogue {dialogue!r} of {split} is one of {split_of[dialogue]} already")
                    split_of[dialogue] = split
                    counted.dialogues += 1
                    for utterance in row["utterances"]:
                        _hide_machine(utterance, media_root)
                        counted.labels[utterance["label"]] += 1
                        present.update(column for column, value in utterance.items() if value is not None)
                writer.write_table(pa.Table.from_pylist(batch, schema=rows.features.arrow_schema))
        if not counted.dialogues:  # `load_dataset` refuses a split without rows
            path.unlink()
            continue
        # `load_dataset` takes a folder of the same name and card for the one that it has cached, so the card, which
        # lists the files, has to change with what is in them.
        with path.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()[:DIGITS]
        counted.file = f"data/{split}-{digest}.parquet"
        path.rename(folder / counted.file)
        counts[split] = counted
    if not counts:
        raise CorpusError(f"{builder.root} holds no dialogue")
    return counts, present


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch = []
    for row in rows:
        batch.append(row)
        if len(batch) == ROWS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _hide_machine(utterance: dict[str, Any], root: Path) -> None:
    """Makes the media paths of an utterance relative to the corpus."""
    for column in MEDIA_COLUMNS:
        if utterance[column] is not None:
            utterance[column] = relative_path(utterance[column], root)
