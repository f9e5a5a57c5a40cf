"""Result tables of the benchmarks, and their registry `BENCHMARKS`."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from datasets_scripts.publishing.markdown import markdown_table
from modeling_erc.registry_erc import Registry


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
    """Settings of all benchmarks; `quick` means tiny sizes, which only check that everything runs."""

    quick: bool = False

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Calls a module-level function in a new process, so that measurements do not affect each other."""
        if self.quick:
            return function(*args)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            return pool.submit(function, *args).result()


Benchmark = Callable[[Setting], list[Table]]

# To add a benchmark, register a function here from a file of its own and import that file in `benchmarks/run.py`.
BENCHMARKS: Registry[Benchmark] = Registry("benchmark")
