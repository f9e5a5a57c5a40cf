"""Corpora on the Hub: `user/name` or `hf://datasets/user/name@revision/folder` as the folder of a corpus."""

import re
from pathlib import Path
from urllib.parse import unquote

from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from .archives import ENDINGS as ARCHIVES
from .archives import is_archive, unpacked
from .feature_cells import FILE_SUFFIXES as FEATURES
from .table_files import FILE_SUFFIXES as TABLES
from .table_shapes import MEDIA_FIELDS

ADDRESS = re.compile(
    r"hf:/{1,2}datasets/(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>refs/[^/]+/[^/]+|[^/]+))?(?:/(?P<folder>.+))?"
)
NAME = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)")
# Files that corpora consist of; a repository may also hold code, pictures of its card and models.
NEEDED = (*TABLES, *MEDIA_FIELDS, *FEATURES, *ARCHIVES, ".pkl")


def local_corpus(data_dir: str | Path | None) -> str | Path | None:
    """Returns the local folder or file of a corpus: downloaded if it is on the Hub, unpacked if it is an archive.

    Args:
        data_dir: a local path, which is returned as it is unless it is an archive; else the id of a dataset on the Hub
            or its address.

    Raises:
        FileNotFoundError: if the Hub has no such dataset, revision or folder.
        ConnectionError: if the Hub cannot be reached.
        CorpusError: if an archive is broken or unsafe.

    Example:
        >>> local_corpus("hf://datasets/me/talks@main/english")  # doctest: +SKIP
    """
    if data_dir is None:
        return None
    text = str(data_dir).strip().rstrip("/")
    path = Path(text).expanduser()
    if path.is_file() and is_archive(path):
        return unpacked(path.absolute())
    match = ADDRESS.fullmatch(text)
    # A name below a folder that is here is a misspelt path.
    if not match and not path.exists() and not Path(text).parent.is_dir():
        match = NAME.fullmatch(text)
    if text.startswith("hf:/") and not match:
        raise ValueError(f"data_dir {data_dir}: write hf://datasets/user/name, with @revision and /folder if needed")
    if not match:
        return data_dir
    found = {name: unquote(value) for name, value in match.groupdict().items() if value}
    return _download(text, found["repo"], found.get("revision"), found.get("folder", ""))


def _download(data_dir: str, repo: str, revision: str | None, folder: str) -> Path:
    prefix = f"{folder}/" if folder else ""
    patterns = [f"{prefix}*{ending}" for name in NEEDED for ending in (name, name.upper())]
    # The folder may also be a single table.
    patterns += [folder] if folder else []
    where = f"data_dir {data_dir}: " if data_dir.startswith("hf:") else f"data_dir {data_dir} is no folder here, and "
    try:
        snapshot = Path(snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=patterns))
    except GatedRepoError as error:
        raise PermissionError(
            f"{where}the dataset {repo} of the Hub is gated: accept its terms at its page, then `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"{where}the Hub has no dataset {repo} that you may read: check the name, or `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise FileNotFoundError(f"{where}the dataset {repo} of the Hub has no revision {revision}") from error
    except OSError as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].partition(". ")[0][:200]
        raise ConnectionError(
            f"{where}the dataset {repo} cannot be fetched from the Hub ({reason}): check the path or the connection"
        ) from error
    if not (snapshot / folder).exists():
        raise FileNotFoundError(f"{where}the dataset {repo} of the Hub has no table or media in {folder or 'it'}")
    return unpacked(snapshot / folder)
