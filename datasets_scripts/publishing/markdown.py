"""Markdown tables of cards and reports."""

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table with a header; a vertical bar inside a cell is escaped.

    Example:
        >>> print(markdown_table(["class", "F1"], [["joy", "0.61"]]))
        | class | F1 |
        | --- | --- |
        | joy | 0.61 |
    """
    lines = [[str(cell).replace("|", "\\|") for cell in line] for line in (header, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], ["---"] * len(lines[0]), *lines[1:]])
