"""What a benchmark returns, and the registry of all benchmarks: `BENCHMARKS`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from modeling_erc.registry_erc import Registry

from .measure import in_fresh_process


@dataclass
class Table:
    """Measured figures.

    Args:
        title: what was measured, on what.
        columns: their headings, units included.
        rows: one cell a column; text, a number or `None` where there is nothing to say.
        notes: sentences below it.
    """

    title: str
    columns: list[str]
    rows: list[list[Any]]
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [self.columns, *([told(cell) for cell in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([self.title, *(line.rstrip() for line in text), *self.notes])

    def markdown(self) -> str:
        """As a Markdown table, its title in bold."""
        lines = [self.columns, ["---"] * len(self.columns), *([told(cell) for cell in row] for row in self.rows)]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n\n".join([f"**{self.title}**", table, *self.notes])


def told(cell: Any) -> str:
    """A cell as it is printed: numbers to three significant digits."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


@dataclass(frozen=True)
class Setting:
    """What every benchmark is told.

    Args:
        quick: tiny sizes, which show that all runs and measure nothing.
        text_encoder: Hub id or folder for `end_to_end`; `tiny` is a fresh small one.
        audio_encoder: likewise.
    """

    quick: bool = False
    text_encoder: str = "tiny"
    audio_encoder: str = "tiny"

    def alone(self, function: Callable[..., Any], *args: Any) -> Any:
        """What a module's function returns in a process of its own, so that no measurement weighs on the next."""
        return function(*args) if self.quick else in_fresh_process(function, *args)


Benchmark = Callable[[Setting], list[Table]]

# To add one: a file with a function that is registered here, and its import in `benchmarks/run.py`.
BENCHMARKS: Registry[Benchmark] = Registry("benchmark")
