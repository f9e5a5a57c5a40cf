"""The runs of a grid: ready grids, the fields and seeds of a command line, and the plan of all runs."""

import difflib
import functools
import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets_scripts import erc_builder

from .. import __version__
from ..configs import GRIDS, find_config, read_yaml
from ..configuration_erc import MODALITIES
from ..features.feature_cache import model_files
from ..training.arguments import ErcArgumentParser, changed_settings

# A combination of values of the varied fields, as pairs of field and value.
Cell = tuple[tuple[str, str], ...]

# Settings that the grid controls, and what to use in their place.
_OWN = {
    "seed": "--seeds sets it",
    "output_dir": "--out sets it",
    "resume": "a grid resumes automatically",
    "overwrite": "name another --out",
}


def cell_name(cell: Cell) -> str:
    """Returns a readable name: `fusion=concat contrastive=none`."""
    return " ".join(f"{field}={value}" for field, value in cell)


def names_of(text: str) -> list[str]:
    """Splits a comma-separated list."""
    return [name for name in text.split(",") if name]


def grid_of(name: str | None, vary: Sequence[str], given_seeds: str | None) -> tuple[dict[str, list[str]], list[int]]:
    """Returns the values of each varied field, as the command line takes them, and the seeds.

    Args:
        name: name or file of a ready grid.
        vary: `FIELD=V1,V2` each; overrides the field of the ready grid.
        given_seeds: number of seeds, or comma-separated seeds; overrides those of the ready grid.

    Raises:
        ValueError: an argument is malformed.
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
        # Commas inside a JSON mapping do not separate values. One of several may be empty, which empties a list.
        values = re.split(r",(?![^{]*})", text)
        if values == [""]:
            raise ValueError(f"--vary {given}: expected FIELD=VALUE,VALUE,...")
        varied[field] = values
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
    grid = read_yaml(path)
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


def baseline_cell(text: str, varied: Mapping[str, Sequence[str]]) -> Cell:
    """Returns the cell of each field's first value, changed by `FIELD=VALUE,...`.

    Raises:
        ValueError: no cell of the grid has such a value.
    """
    chosen = {field: values[0] for field, values in varied.items()}
    for pair in names_of(text):
        field, _, value = pair.partition("=")
        if value not in varied.get(field, ()):
            known = "; ".join(f"{name}={','.join(values)}" for name, values in varied.items())
            raise ValueError(f"--baseline {pair}: no cell of this grid has it ({known})")
        chosen[field] = value
    return tuple(chosen.items())


@dataclass(frozen=True)
class Run:
    """One training run of a grid.

    Args:
        cell: the values of the varied fields.
        seed: its seed.
        words: its command line for `train_hf.py`, without recipe and output folder.
        key: hash of all settings, the files of the corpus and of the checkpoints, and the package's version; runs with
            equal keys are equal.
        caches: whether it stores features of frozen backbones, or recognised words, that other runs can reuse.
    """

    cell: Cell
    seed: int
    words: tuple[str, ...]
    key: str
    caches: bool

    @property
    def name(self) -> str:
        """Name of its folder."""
        text = re.sub(r"[^\w.=+-]+", "_", f"{cell_name(self.cell)} seed={self.seed}".strip())
        return f"{text[:120]}-{self.key[:8]}"


def plan(config: Path, varied: Mapping[str, Sequence[str]], seeds: Sequence[int], extra: Sequence[str]) -> list[Run]:
    """Returns all runs of a grid, cell by cell.

    Args:
        config: YAML file of the recipe.
        varied: values of each varied field as the command line takes them; the items of a list are joined by `+`.
        seeds: of each cell.
        extra: further options for `train_hf.py`.

    Raises:
        ValueError: a field is unknown, or the grid controls it.
        SystemExit: the recipe or a value is invalid.
    """
    known = ErcArgumentParser().options
    for field in varied:
        if field not in known:
            near = difflib.get_close_matches(field, known, n=1)
            raise ValueError(f"--vary {field}: unknown field" + (f" (did you mean {near[0]!r}?)" if near else ""))
    for field in [*varied, *(word[2:].partition("=")[0] for word in extra if word.startswith("--"))]:
        if field in _OWN:
            raise ValueError(f"{field} is not for a grid's recipe: {_OWN[field]}")
    runs = []
    for values in itertools.product(*varied.values()):
        cell = tuple(zip(varied, values, strict=True))
        words = [*extra]
        for field, value in cell:
            words += [f"--{field}", *value.split("+")] if known[field].nargs == "+" else [f"--{field}={value}"]
        model, data, training, _ = ErcArgumentParser().parse([str(config), *words], default_config=config)
        if data.transcribe and "text" not in model.modalities:
            # A single run refuses this, but a grid of modalities also has cells that read no words.
            words.append("--transcribe=")
            data.transcribe = None
        if not (training.load_best_model_at_end or training.early_stopping_patience):
            # The last epoch counts, and a grid keeps no checkpoints. What the command line says comes later and wins.
            words = ["--eval_strategy=no", "--save_strategy=no", *words]
        settings = changed_settings(model, data, training)
        settings.pop("data_dir", None)
        files = _files(data.dataset, data.data_dir, json.dumps(data.corpus_options, sort_keys=True))
        encoders = (getattr(model, f"{modality}_encoder") for modality in MODALITIES)
        recogniser = [data.transcribe] if data.transcribe else []
        sources = [model_files(source) for source in (model.start_from, *encoders, *recogniser)]
        for seed in seeds:
            content = json.dumps([{**settings, "seed": seed}, files, sources, __version__], sort_keys=True, default=str)
            key = hashlib.sha256(content.encode()).hexdigest()[:16]
            caches = bool(model.frozen_modalities or data.transcribe)
            runs.append(Run(cell, seed, (*words, "--seed", str(seed)), key, caches))
    return runs


@functools.cache
def _files(dataset: str, data_dir: str | None, options: str) -> str:
    """Hashes the names, sizes and times of the corpus files, but not their location."""
    builder = erc_builder(dataset, data_dir, **json.loads(options))
    stats = sorted((str(path.name), path.stat().st_size, path.stat().st_mtime_ns) for path in builder.files_behind())
    return hashlib.sha256(repr(stats).encode(errors="surrogateescape")).hexdigest()
