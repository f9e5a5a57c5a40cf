"""Which files of a corpus are there: those of each split, however it was unpacked, and those of a folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from .builder import warn_once


def find_split_files(root: Path, candidates: Mapping[str, Sequence[str]], corpus: str, remedy: str) -> dict[str, Path]:
    """The file of each split.

    Args:
        root: folder of the corpus.
        candidates: paths under `root` by split, the first that is there is taken.
        corpus: its name, for the error.
        remedy: where the files come from, for the error.

    Raises:
        FileNotFoundError: where a split has none, with what the folder holds.

    Example:
        >>> find_split_files(Path("MELD.Raw"), {"dev": ["dev_sent_emo.csv", "dev/dev_sent_emo.csv"]}, "MELD", "...")
        {'dev': PosixPath('MELD.Raw/dev_sent_emo.csv')}
    """
    found = {
        split: next((root / name for name in names if (root / name).is_file()), None)
        for split, names in candidates.items()
    }
    missing = [candidates[split][0] for split, path in found.items() if path is None]
    if missing:
        held = sorted(entry.name for entry in root.iterdir())
        raise FileNotFoundError(
            f"{corpus} needs {', '.join(missing)} in {root}, which holds {', '.join(held[:20]) or 'nothing'}"
            f"{', ...' * (len(held) > 20)}. {remedy}"
        )
    return {split: path for split, path in found.items() if path is not None}


def files_in(folder: Path, ending: str) -> dict[str, Path]:
    """Files of a folder by name without ending, sorted; none where it is missing or, with a warning, unreadable."""
    try:
        # macOS leaves a `._name.wav` beside `name.wav`; folders, pipes and links that lead nowhere are no files.
        files = [file for file in sorted(folder.iterdir()) if file.suffix == ending and file.name[0] != "."]
        return {file.stem: file for file in files if file.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        warn_once(f"{folder} cannot be read ({error.strerror}): its files are taken as missing.")
        return {}
