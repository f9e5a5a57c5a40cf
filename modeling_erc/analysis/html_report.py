"""A report of sections with tables and pictures, as one HTML file that needs nothing else, and as Markdown."""

import base64
import re
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np


@dataclass
class Table:
    """Rows of text under column names; columns of numbers stand to the right.

    Args:
        columns: their names.
        rows: a cell for each column.
    """

    columns: list[str]
    rows: list[list[str]]

    @property
    def numeric(self) -> list[bool]:
        """Whether each column holds numbers alone."""
        return [all(re.match(r"[-+]?\d|-$", row[i]) for row in self.rows) for i in range(len(self.columns))]


@dataclass
class Example:
    """A few lines that show something.

    Args:
        heading: where they are from.
        lines: plain text.
        marked: which of the lines it is about.
    """

    heading: str
    lines: list[str]
    marked: int = 0


@dataclass
class Section:
    """A part of the report.

    Args:
        title: above it.
        text: what it shows, or why it is left out.
        table: numbers, if any.
        picture: name of a PNG in the report's folder, if any.
        examples: below the rest.
    """

    title: str
    text: str
    table: Table | None = None
    picture: str | None = None
    examples: list[Example] = field(default_factory=list)


def write_illustrated_report(folder: Path, title: str, lead: str, sections: list[Section]) -> tuple[Path, Path]:
    """Writes `report.html`, with the pictures inside, and `report.md`, with the pictures beside it.

    Args:
        folder: holds the pictures.
        title: of the report.
        lead: what it is about.
        sections: in their order.

    Returns:
        the paths of the HTML and the Markdown file.
    """
    page, text = folder / "report.html", folder / "report.md"
    page.write_text(as_html(folder, title, lead, sections), encoding="utf-8")
    text.write_text(as_markdown(title, lead, sections), encoding="utf-8")
    return page, text


# Nothing is fetched and no script runs, whatever a corpus' utterances say.
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1f2d3d; background: #fff; max-width: 1080px; margin: 0 auto;
  padding: 24px; }}
h2 {{ margin-top: 2.2em; border-bottom: 1px solid #d5dce4; }}
table {{ border-collapse: collapse; margin: 1em 0; font-variant-numeric: tabular-nums; }}
.wide {{ overflow-x: auto; }}
th, td {{ padding: 4px 12px; border-bottom: 1px solid #e3e8ee; text-align: left; vertical-align: top; }}
th {{ background: #f2f5f8; }}
.number {{ text-align: right; white-space: nowrap; }}
img {{ max-width: 100%; height: auto; }}
nav a {{ display: inline-block; margin-right: 1em; }}
.example {{ margin: 0.8em 0 0.8em 1em; padding-left: 0.8em; border-left: 3px solid #c9d4e0; overflow-wrap: anywhere; }}
.example p {{ margin: 0; }}
.example p.from {{ color: #5b6b7b; font-size: 14px; }}
.example p.marked {{ font-weight: 600; }}
</style>
</head>
<body>
"""


def as_html(folder: Path, title: str, lead: str, sections: list[Section]) -> str:
    """The report as one page; pictures are read from the folder."""
    parts = [_HEAD.format(title=escape(title)), f"<h1>{escape(title)}</h1>\n<p>{escape(lead)}</p>\n<nav>\n"]
    parts += [f'<a href="#part-{i}">{escape(section.title)}</a>\n' for i, section in enumerate(sections)]
    parts.append("</nav>\n")
    for i, section in enumerate(sections):
        parts.append(f'<h2 id="part-{i}">{escape(section.title)}</h2>\n<p>{escape(section.text)}</p>\n')
        if section.table:
            parts.append(_html_table(section.table))
        if section.picture:
            code = base64.b64encode((folder / section.picture).read_bytes()).decode("ascii")
            parts.append(f'<img alt="{escape(section.title)}" src="data:image/png;base64,{code}">\n')
        for example in section.examples:
            lines = [
                f'<p class="marked">{escape(line)}</p>' if n == example.marked else f"<p>{escape(line)}</p>"
                for n, line in enumerate(example.lines)
            ]
            parts.append(f'<div class="example"><p class="from">{escape(example.heading)}</p>{"".join(lines)}</div>\n')
    return "".join([*parts, "</body>\n</html>\n"])


def _html_table(table: Table) -> str:
    def row(tag: str, cells: list[str]) -> str:
        kinds = [' class="number"' if number else "" for number in table.numeric]
        return "".join(f"<{tag}{kind}>{escape(c)}</{tag}>" for kind, c in zip(kinds, cells, strict=True))

    body = "".join(f"<tr>{row('td', cells)}</tr>\n" for cells in table.rows)
    return f'<div class="wide"><table>\n<tr>{row("th", table.columns)}</tr>\n{body}</table></div>\n'


def as_markdown(title: str, lead: str, sections: list[Section]) -> str:
    """The report as Markdown; pictures are named, not held."""
    parts = [f"# {in_markdown(title)}\n\n{in_markdown(lead)}\n"]
    for section in sections:
        parts.append(f"\n## {in_markdown(section.title)}\n\n{in_markdown(section.text)}\n")
        if section.table:
            rule = ["---:" if number else "---" for number in section.table.numeric]
            rows = [[in_markdown(cell) for cell in row] for row in (section.table.columns, *section.table.rows)]
            parts.append("\n" + "".join(f"| {' | '.join(row)} |\n" for row in (rows[0], rule, *rows[1:])))
        if section.picture:
            parts.append(f"\n![{in_markdown(section.title)}]({section.picture})\n")
        for example in section.examples:
            lines = [
                f"**{in_markdown(x)}**" if n == example.marked else in_markdown(x) for n, x in enumerate(example.lines)
            ]
            parts.append("\n- " + "  \n  ".join([in_markdown(example.heading), *lines]) + "\n")
    return "".join(parts)


def in_markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>&#|~$])", r"\\\1", " ".join(text.split()))


def number(value: float | np.ndarray) -> str:
    """Three digits, a dash for NaN."""
    return "-" if np.isnan(value) else f"{value:.3f}"


def with_interval(value: float | np.ndarray, bounds: tuple[np.ndarray, np.ndarray]) -> str:
    """A value with its lower and upper bound in brackets."""
    low, high = bounds
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
