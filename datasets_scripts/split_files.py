"""Raw files on disk: the file of each split, in any of the usual folders, and the files of one folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from .builder import first_few, warn_once


def find_split_files(root: Path, candidates: Mapping[str, Sequence[str]], corpus: str, remedy: str) -> dict[str, Path]:
    """Returns the file of each split.

    Args:
        root: folder of the corpus.
        candidates: possible paths under `root` by split; the first that exists is taken.
        corpus: name of the corpus for the message.
        remedy: where the files come from, for the message.

    Raises:
        FileNotFoundError: if a split has no file; the message lists what the folder holds.

    Example:
        >>> find_split_files(Path("MELD.Raw"), {"dev": ["dev_sent_emo.csv", "dev/dev_sent_emo.csv"]}, "MELD", "...")
        {'dev': PosixPath('MELD.Raw/dev_sent_emo.csv')}
    """
    files: dict[str, Path] = {}
    for split, names in candidates.items():
        for name in names:
            if split not in files and (root / name).is_file():
                files[split] = root / name
    missing = [candidates[split][0] for split in candidates if split not in files]
    if missing:
        raise FileNotFoundError(f"{corpus} needs {', '.join(missing)} in {root}, which holds {listing(root)}. {remedy}")
    return files


def with_endings(name: str, *folders: str) -> list[str]:
    """Returns the possible paths of a table: with each ending of text tables, directly and in each of the folders."""
    names = [f"{name}{ending}" for ending in (".csv", ".tsv", ".txt")]
    return [*names, *(f"{folder}/{path}" for folder in folders for path in names)]


def listing(folder: Path) -> str:
    """Returns the names of the first 20 entries of a folder, for a message."""
    return first_few(sorted(entry.name for entry in folder.iterdir()), 20) or "nothing"


def files_in(folder: Path, ending: str) -> dict[str, Path]:
    """Returns the files of a folder by name without ending, sorted.

    A missing folder has none; an unreadable one has none either and raises a warning.
    """
    try:
        # macOS leaves a `._name.wav` beside `name.wav`; folders, pipes and broken links are skipped too.
        files = [file for file in sorted(folder.iterdir()) if file.suffix == ending and file.name[0] != "."]
        return {file.stem: file for file in files if file.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        warn_once(f"{folder} cannot be read ({error.strerror}): its files are taken as missing.")
        return {}
