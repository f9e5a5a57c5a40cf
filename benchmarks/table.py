"""Result tables of the benchmarks, and their registry `BENCHMARKS`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from datasets_scripts.publishing.markdown import markdown_table
from modeling_erc.registry_erc import Registry

from .measure import in_fresh_process


@dataclass
class Table:
    """Measured figures.

    Args:
        title: what was measured, and on what.
        columns: column headings with units.
        rows: one cell per column: text, a number, or None for an empty cell.
        notes: sentences below the table.
    """

    title: str
    columns: list[str]
    rows: list[list[Any]]
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Returns the table as Markdown, with its title in bold."""
        table = markdown_table(self.columns, [[_format(cell) for cell in row] for row in self.rows])
        return "\n\n".join([f"**{self.title}**", table, *self.notes])


def _format(cell: Any) -> str:
    """Formats a cell; numbers get three significant digits."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


@dataclass(frozen=True)
class Setting:
    """Settings of all benchmarks.

    Args:
        quick: use tiny sizes, which only check that everything runs.
        text_encoder: text encoder of `end_to_end`: Hub id or folder; `tiny` is a small one with random weights.
        audio_encoder: audio encoder of `end_to_end`, given in the same way.
    """

    quick: bool = False
    text_encoder: str = "tiny"
    audio_encoder: str = "tiny"

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Calls a module-level function in a new process, so that measurements do not affect each other."""
        return function(*args) if self.quick else in_fresh_process(function, *args)


Benchmark = Callable[[Setting], list[Table]]

# To add a benchmark, register a function here from a file of its own and import that file in `benchmarks/run.py`.
BENCHMARKS: Registry[Benchmark] = Registry("benchmark")
