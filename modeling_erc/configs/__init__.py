"""Ready recipes and grids, named without a path: `meld_text` is `modeling_erc/configs/meld_text.yaml`."""

from pathlib import Path

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
