"""Feature vectors of users' tables: lists of numbers, and paths of `.npy` and `.safetensors` files."""

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from .builder import CorpusError
from .text_files import Row

FILE_SUFFIXES = (".npy", ".safetensors")


def feature_file(row: Row, column: str, folder: Path) -> Path | None:
    """Returns the absolute path of the feature file in a cell, None if it names none; the file need not exist."""
    cell = row.cells.get(column)
    if not isinstance(cell, str) or not cell.strip().lower().endswith(FILE_SUFFIXES):
        return None
    return folder.absolute() / cell.strip()


def features_of(row: Row, column: str, folder: Path) -> np.ndarray | None:
    """Returns the features `(width,)` or, from a file, `(tokens, width)` of a cell.

    A text table holds a list as JSON.

    Args:
        row: the row.
        column: its column.
        folder: folder that relative paths start from.

    Returns:
        None if the cell is absent or empty, or its file does not exist.

    Raises:
        CorpusError: if it is anything else.
    """
    place = f"{row.place}: {column}"
    if file := feature_file(row, column, folder):
        return _read(file, column, place) if file.is_file() else None
    value = row.cells.get(column)
    if value is None or value == [] or (isinstance(value, str) and not value.strip()):
        return None
    try:
        vector = np.array(json.loads(value) if isinstance(value, str) else value)
    except ValueError:
        vector = np.array(None)
    if vector.ndim != 1 or vector.dtype.kind not in "iuf":
        raise CorpusError(
            f"{place} is {str(value)[:80]!r}, no list of numbers: write it like [0.5, 1.25], or the path of a file "
            f"that ends with {' or '.join(FILE_SUFFIXES)}"
        )
    return vector


def vector_of(row: Row, column: str, folder: Path) -> np.ndarray | None:
    """Returns the feature vector `(width,)` of a cell, the mean over tokens; arguments and errors as `features_of`.

    Raises:
        CorpusError: also if a number is not finite.
    """
    features = features_of(row, column, folder)
    if features is None:
        return None
    vector = np.asarray(features, dtype=np.float32)
    vector = vector if vector.ndim == 1 else vector.mean(axis=0)
    if not np.isfinite(vector).all():
        raise CorpusError(f"{row.place}: {column} has numbers that are not finite: leave it empty if there are none")
    return vector


def _read(file: Path, column: str, place: str) -> np.ndarray:
    try:
        if file.suffix.lower() == ".npy":
            # Mapped: the first pass over a table needs only the width.
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        else:
            with safe_open(file, "np") as tensors:
                names = list(tensors.keys())
                if len(names) > 1 and column not in names:
                    raise CorpusError(f"{place}: {file} holds {', '.join(names[:20])}: call the one to read {column}")
                array = tensors.get_tensor(column if column in names else names[0])
    except CorpusError:
        raise
    except (ValueError, TypeError, IndexError, OSError, EOFError, SafetensorError) as error:
        raise CorpusError(f"{place}: {file} cannot be read ({error}): save one array of numbers") from error
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim not in (1, 2) or not array.size or array.dtype.kind not in "iuf":
        raise CorpusError(
            f"{place}: {file} is {array.dtype} of shape {array.shape}: save numbers (width,) or (tokens, width)"
        )
    return array
