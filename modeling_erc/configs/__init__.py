"""Ready recipes and grids, named without a path: `meld_text` is `modeling_erc/configs/meld_text.yaml`."""

import json
from pathlib import Path
from typing import Any

import yaml

RECIPES = Path(__file__).parent
GRIDS = RECIPES / "grids"


def ready_names(folder: Path = RECIPES) -> list[str]:
    """Returns the names of the ready recipes, or of the ready grids with `GRIDS`."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def find_config(name: str | Path, folder: Path = RECIPES) -> Path:
    """Finds the YAML file of a recipe or a grid.

    Args:
        name: path of a YAML file, or name of a ready one.
        folder: `RECIPES` or `GRIDS`.

    Raises:
        FileNotFoundError: there is no such file and no such ready name; the message lists the names.

    Example:
        >>> find_config("meld_text").name
        'meld_text.yaml'
    """
    if Path(name).is_file():
        return Path(name)
    ready = folder / f"{name}.yaml"
    if Path(name).name != str(name) or not ready.is_file():
        raise FileNotFoundError(
            f"{name}: no such file, and no ready name: choose one of {', '.join(ready_names(folder))}"
        )
    return ready


def read_yaml(path: Path) -> Any:
    """Reads a YAML file.

    Raises:
        ValueError: it is no YAML, or it is nested too deeply or contains itself, so that it cannot be written down.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        json.dumps(content, default=str, skipkeys=True)
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8 ({error}): save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: a value is nested too deeply or contains itself: write it out") from error
    return content
