"""Tables for cards, reports and the terminal."""

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Returns a Markdown table with a header; vertical bars inside cells are escaped.

    Example:
        >>> print(markdown_table(["class", "F1"], [["joy", "0.61"]]))
        | class | F1 |
        | --- | --- |
        | joy | 0.61 |
    """
    lines = [[str(cell).replace("|", "\\|") for cell in line] for line in (header, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], ["---"] * len(lines[0]), *lines[1:]])


def aligned_table(rows: Sequence[Sequence[str]]) -> str:
    """Returns a table for the terminal: the first column is aligned to the left, all others to the right.

    Example:
        >>> print(aligned_table([["class", "F1"], ["joy", "0.61"]]))
        class    F1
        joy    0.61
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligns = "<" + ">" * (len(widths) - 1)
    return "\n".join(
        "  ".join(f"{cell:{align}{width}}" for cell, align, width in zip(row, aligns, widths, strict=True))
        for row in rows
    )
