"""What a grid varies: ready grids and the fields and seeds of a command line."""

import json
import re
from collections.abc import Sequence
from typing import Any

import yaml

from ..configs import GRIDS, find_config


def names_of(text: str) -> list[str]:
    """The names in a list with commas between them."""
    return [name for name in text.split(",") if name]


def grid_of(name: str | None, vary: Sequence[str], given_seeds: str | None) -> tuple[dict[str, list[str]], list[int]]:
    """The values of each varied field, as the command line takes them, and the seeds.

    Args:
        name: of a ready grid, or its file.
        vary: `FIELD=V1,V2` each; takes the place of the same field of the ready grid.
        given_seeds: how many, or which with commas between them; in place of the ready grid's.

    Raises:
        ValueError: there is nothing to vary, or something cannot be read.
        FileNotFoundError: there is no such grid.

    Example:
        >>> grid_of(None, ["fusion=joint_vector,concat"], "2")
        ({'fusion': ['joint_vector', 'concat']}, [0, 1])
    """
    varied: dict[str, list[str]] = {}
    seeds: Any = 5
    if name:
        ready = _read_grid(name)
        varied = {field: [_as_word(value) for value in values] for field, values in ready["vary"].items()}
        seeds = ready.get("seeds", seeds)
    for given in vary:
        field, _, text = given.partition("=")
        # Not at the commas of a JSON mapping.
        values = [value for value in re.split(r",(?![^{]*})", text) if value]
        if not values:
            raise ValueError(f"--vary {given}: expected FIELD=VALUE,VALUE,...")
        varied[field] = values
    if not varied:
        raise ValueError("nothing to vary: name --vary FIELD=V1,V2 or --grid")
    if given_seeds is not None:
        if not re.fullmatch(r"\d+(,\d+)*,?", given_seeds):
            raise ValueError(f"--seeds {given_seeds}: expected a number of seeds, or seeds with commas between them")
        seeds = [int(seed) for seed in names_of(given_seeds)] if "," in given_seeds else int(given_seeds)
    if isinstance(seeds, int):
        seeds = list(range(seeds))
    if not seeds:
        raise ValueError("a grid needs a seed: --seeds 1 at least")
    return {field: list(dict.fromkeys(values)) for field, values in varied.items()}, list(dict.fromkeys(seeds))


def _read_grid(name: str) -> dict[str, Any]:
    path = find_config(name, GRIDS)
    grid = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not (
        isinstance(grid, dict)
        and set(grid) <= {"vary", "seeds"}
        and isinstance(grid.get("vary"), dict)
        and all(isinstance(values, list) and values for values in grid["vary"].values())
        and isinstance(grid.get("seeds", 1), int | list)
    ):
        raise ValueError(f"{path}: expected 'vary:' with a list of values for each field, and 'seeds:'")
    return grid


def _as_word(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value))
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)
