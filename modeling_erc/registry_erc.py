"""A dictionary of named classes or functions that reports the known names when one is missing."""

import difflib
from collections.abc import Callable
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class Registry(dict[str, Entry], Generic[Entry]):
    """Maps a config value such as `fusion="concat"` to the code behind it.

    Args:
        kind: kind of the entries for the error message, e.g. `"fusion"`.

    Example:
        >>> SHAPES = Registry("shape")
        >>> @SHAPES.register("circle")
        ... class Circle: ...
        >>> SHAPES["circle"] is Circle
        True
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """Decorator that registers a class or function under `name`."""

        def enter(entry: Entry) -> Entry:
            self[name] = entry
            return entry

        return enter

    def __missing__(self, name: str) -> Entry:
        near = difflib.get_close_matches(str(name), self, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown {self.kind} {name!r}: choose one of {', '.join(sorted(self))}.{hint}")
