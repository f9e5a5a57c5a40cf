"""Writes a corpus as parquet files with a dataset card, for `datasets.load_dataset` and for the Hub."""

import glob
import hashlib
import itertools
import json
import os
import re
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import HfApi
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # the module it uses, httpx or httpx2

from ..builder import CorpusError, ErcBuilder
from ..published_copy import CORPUS
from ..schema import MEDIA_COLUMNS
from .dataset_card import SplitCounts, dataset_card, relative_path

# Marks a folder as written by this module and lists the files that it wrote.
MARKER = ".datasets_scripts.json"
ROWS_AT_ONCE = 64
# Length of the hash in a file name.
DIGITS = 12


def check_rights(builder_class: type[ErcBuilder], name: str, holds_rights: bool) -> None:
    """Checks that a corpus may be redistributed.

    Raises:
        PermissionError: if its class is not `REDISTRIBUTABLE` and the caller does not hold the rights.
    """
    if not (builder_class.REDISTRIBUTABLE or holds_rights):
        raise PermissionError(
            f"{name} is not pushed: its terms allow no copies ({builder_class.LICENSE}). "
            "If you hold the rights to redistribute it, add --i-hold-the-rights."
        )


def write_dataset(builder: ErcBuilder, folder: str | Path, *, command: str, overwrite: bool = False) -> Path:
    """Writes `data/<split>-<hash>.parquet` for every split that has dialogues, and a dataset card (`README.md`).

    The rows equal those of the builder, except that media paths are relative to the folder of the corpus or to the
    `media_dir` of a table. A file outside that folder is given by its name. Dialogues are read in one pass, in small
    batches. The files appear in `folder` only after all of them have been written.

    Args:
        builder: builder of the corpus.
        folder: a new or empty folder.
        command: the command that the card names as the origin of the copy.
        overwrite: replace files that an earlier call wrote into `folder`; other files are kept.

    Returns:
        The absolute path of `folder`.

    Raises:
        FileExistsError: if `folder` contains something that this function may not replace.
        ValueError: if `load_dataset` could not read a folder of that name.
        CorpusError: if a raw file is invalid or a dialogue id is repeated.

    Example:
        >>> write_dataset(Meld("MELD.Raw"), "meld-parquet", command="by hand")
        >>> splits = datasets.load_dataset("meld-parquet")
    """
    folder = Path(folder).expanduser().absolute()
    if glob.has_magic(str(folder)):
        raise ValueError(f"{folder}: `load_dataset` takes *, ? and [ as a pattern: choose a folder name without them")
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
    """Returns the relative paths of files that an earlier call wrote into `folder`; empty for a new or empty folder.

    Raises:
        FileExistsError: if `folder` is a file, or if it is not empty and may not be overwritten.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file: name a folder")
    if not folder.exists() or not any(folder.iterdir()):
        return []
    if not overwrite:
        raise FileExistsError(f"{folder} is not empty: name another folder, or add --overwrite")
    if not (folder / MARKER).is_file():
        raise FileExistsError(f"{folder} was not written by this command (it has no {MARKER}): name another folder")
    return written_files(folder)


def written_files(folder: Path) -> list[str]:
    """Returns the relative paths of the files that `write_dataset` wrote into `folder`."""
    names = json.loads((folder / MARKER).read_text(encoding="utf-8"))["files"]
    # The folder may come from anywhere, so a listed path must not lead out of it.
    return [name for name in names if name == "README.md" or re.fullmatch(r"data/[\w.-]+\.parquet", name)]


def push_dataset(folder: Path, repo_id: str, *, private: bool = False) -> str:
    """Uploads the files written by `write_dataset` to a dataset repository, and creates it if needed.

    Args:
        folder: folder returned by `write_dataset`.
        repo_id: id of the repository, `user/name`.
        private: make the repository private.

    Returns:
        The URL of the repository.

    Raises:
        ConnectionError: if the Hub cannot be reached or refuses the upload.
        ValueError: if `repo_id` is malformed, or if `private` is set and the repository is already public.
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
            # Files of an earlier push.
            delete_patterns=f"data/*-{'[0-9a-f]' * DIGITS}.parquet",
            commit_message="Upload the corpus",
        )
    except httpx.HTTPError as error:
        raise ConnectionError(f"{repo_id} was not pushed: {error}") from error
    return str(address)


def check_login() -> None:
    """Checks the login on the Hub, so that a missing token is reported before the work starts.

    Raises:
        ConnectionError: if the Hub cannot be reached or rejects the token.
        OSError: if there is no token.
    """
    try:
        HfApi().whoami()
    except httpx.HTTPError as error:
        raise ConnectionError(f"the Hub cannot be reached or rejects the login: {error}") from error


def _write_splits(builder: ErcBuilder, folder: Path) -> tuple[dict[str, SplitCounts], set[str]]:
    """Writes one parquet file per split; returns the counts and the columns that have at least one value."""
    counts: dict[str, SplitCounts] = {}
    present: set[str] = set()
    split_of: dict[str, str] = {}
    media_root = builder.media_root
    for split, rows in builder.as_streaming_dataset().items():
        counted, path = SplitCounts(), folder / "data" / f"{split}.parquet"
        schema = rows.features.arrow_schema
        schema = schema.with_metadata({**(schema.metadata or {}), CORPUS: type(builder).__name__.encode()})
        with pq.ParquetWriter(path, schema) as writer:
            rows_left = iter(rows)
            while batch := list(itertools.islice(rows_left, ROWS_AT_ONCE)):
                for row in batch:
                    dialogue = row["dialogue_id"]
                    if dialogue in split_of:
                        raise CorpusError(f"dialogue {dialogue!r} of {split} is also in {split_of[dialogue]}")
                    split_of[dialogue] = split
                    counted.dialogues += 1
                    for utterance in row["utterances"]:
                        for column in MEDIA_COLUMNS:
                            if utterance[column] is not None:
                                utterance[column] = relative_path(utterance[column], media_root)
                        counted.labels[utterance["label"]] += 1
                        present.update(column for column, value in utterance.items() if value is not None)
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
        if not counted.dialogues:  # `load_dataset` refuses a split without rows
            path.unlink()
            continue
        # `load_dataset` identifies a cached folder by its name and its card. The card lists the files, so their names
        # have to change with their contents.
        with path.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()[:DIGITS]
        counted.file = f"data/{split}-{digest}.parquet"
        path.rename(folder / counted.file)
        counts[split] = counted
    if not counts:
        raise CorpusError(f"{builder.root} holds no dialogue")
    return counts, present
