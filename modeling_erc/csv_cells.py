"""Text in CSV cells that a spreadsheet does not take for a formula."""

import re

# What makes a spreadsheet run a cell; apostrophes before it are those that `safe_cell` wrote.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def safe_cell(value: object) -> object:
    """Returns text that would run as a formula with an apostrophe before it, and every other value as it is.

    Example:
        >>> safe_cell("=1+1"), safe_cell("fine"), safe_cell(-0.5)
        ("'=1+1", 'fine', -0.5)
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def plain_cell(cell: str) -> str:
    """Returns the text that `safe_cell` wrote into a cell.

    Example:
        >>> plain_cell("'=1+1"), plain_cell("'fine'")
        ('=1+1', "'fine'")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
