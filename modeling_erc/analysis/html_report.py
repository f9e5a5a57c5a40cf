"""An illustrated report of sections, as one self-contained HTML file and as Markdown."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader

from datasets_scripts.publishing.markdown import markdown_table


@dataclass
class Table:
    """A table of text: names of the columns, and rows with a cell for each column."""

    columns: list[str]
    rows: list[list[str]]

    @property
    def numeric(self) -> list[bool]:
        """Whether each column holds only numbers, which are right-aligned."""
        return [all(re.match(r"[-+]?\d|-$", cell) for cell in column) for column in zip(*self.rows, strict=True)]


@dataclass
class Example:
    """An excerpt of a dialogue: where it is from, its lines, and the index of the line that it is about."""

    heading: str
    lines: list[str]
    marked: int = 0


@dataclass
class Section:
    """A section of the report.

    Args:
        title: its heading.
        text: what it shows, or why it is left out.
        table: its numbers, if any.
        picture: file name of a PNG in the report's folder, if any.
        examples: excerpts below the rest.
    """

    title: str
    text: str
    table: Table | None = None
    picture: str | None = None
    examples: list[Example] = field(default_factory=list)


def write_illustrated_report(folder: Path, title: str, lead: str, sections: Sequence[Section]) -> tuple[Path, Path]:
    """Writes `report.html`, which contains the figures, and `report.md`, which links to them.

    Returns:
        the paths of the HTML and the Markdown file.
    """
    page, text = folder / "report.html", folder / "report.md"
    names = [section.picture for section in sections if section.picture]
    pictures = {name: base64.b64encode((folder / name).read_bytes()).decode("ascii") for name in names}
    environment = Environment(
        loader=PackageLoader("modeling_erc.analysis"), autoescape=True, trim_blocks=True, keep_trailing_newline=True
    )
    template = environment.get_template("report.html")
    page.write_text(template.render(title=title, lead=lead, sections=sections, pictures=pictures), encoding="utf-8")
    text.write_text("\n\n".join(_markdown_blocks(title, lead, sections)) + "\n", encoding="utf-8")
    return page, text


def _markdown_blocks(title: str, lead: str, sections: Sequence[Section]) -> list[str]:
    blocks = [f"# {in_markdown(title)}", in_markdown(lead)]
    for section in sections:
        blocks += [f"## {in_markdown(section.title)}", in_markdown(section.text)]
        if section.table:
            header, *rows = [
                [in_markdown(cell) for cell in row] for row in (section.table.columns, *section.table.rows)
            ]
            blocks.append(markdown_table(header, rows))
        if section.picture:
            blocks.append(f"![{in_markdown(section.title)}]({section.picture})")
        for example in section.examples:
            lines = [in_markdown(line) for line in example.lines]
            lines[example.marked] = f"**{lines[example.marked]}**"
            blocks.append("- " + "  \n  ".join([in_markdown(example.heading), *lines]))
    return blocks


def in_markdown(text: str) -> str:
    """Escapes text so that Markdown shows it unchanged, on one line; `markdown_table` escapes vertical bars."""
    return re.sub(r"([\\`*_{}\[\]<>&#~$])", r"\\\1", " ".join(text.split()))


def number(value: float | np.ndarray) -> str:
    """Formats a number with three decimals; NaN is a dash."""
    return "-" if np.isnan(value) else f"{value:.3f}"


def with_interval(value: float | np.ndarray, bounds: Sequence[float | np.ndarray]) -> str:
    """Formats a value with its lower and upper bound in brackets."""
    low, high = bounds
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
