import base64
from html.parser import HTMLParser
from pathlib import Path

import pytest

from modeling_erc.analysis.html_report import Example, Section, Table, in_markdown, number, with_interval
from modeling_erc.analysis.html_report import write_illustrated_report as write

ATTACK = "<script>alert('1')</script> | **bold** & `code` [link](http://x.org)\n# head"
PICTURE = b"\x89PNG\r\n\x1a\n not really"


class Page(HTMLParser):
    """Tags with their attributes, the text, and whether every tag is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def sections(tmp_path: Path) -> list[Section]:
    (tmp_path / "picture.png").write_bytes(PICTURE)
    table = Table(["class", "F1"], [["joy", "0.5 [0.4, 0.6]"], [ATTACK, "-"]])
    examples = [Example(f"dialogue {ATTACK}", ["Ann: before", f"Bo: {ATTACK}"], marked=1)]
    return [
        Section("Numbers", "What they show.", table),
        Section(ATTACK, ATTACK, picture="picture.png", examples=examples),
    ]


def test_the_page_needs_nothing_else(tmp_path: Path, sections: list[Section]) -> None:
    path, _ = write(tmp_path, ATTACK, ATTACK, sections)
    page = Page(path.read_text(encoding="utf-8"))
    assert page.open == []
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base", "form"} == set()
    sources = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href")]
    pictures = [source for source in sources if source and not source.startswith("#part-")]
    assert [base64.b64decode(str(p).removeprefix("data:image/png;base64,")) for p in pictures] == [PICTURE]
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv"))
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_the_page_shows_text_as_it_is(tmp_path: Path, sections: list[Section]) -> None:
    path, _ = write(tmp_path, "Title", "Lead", sections)
    page = Page(path.read_text(encoding="utf-8"))
    # A heading and its link, the text, the cell, the heading of the example, and its line.
    assert page.text.count(ATTACK) == 6
    alt = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert alt == [ATTACK]
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {str(a["href"]).removeprefix("#") for tag, a in page.tags if tag == "a"} == ids
    assert [a.get("class") for tag, a in page.tags if tag == "p"][-3:] == ["from", None, "marked"]


def test_markdown_names_the_pictures_and_keeps_its_tables(tmp_path: Path, sections: list[Section]) -> None:
    _, path = write(tmp_path, "Title", "Lead", sections)
    lines = path.read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert table[:3] == ["| class | F1 |", "| --- | --- |", r"| joy | 0.5 \[0.4, 0.6\] |"]
    assert len(table) == 4
    assert table[3].replace(r"\|", "").count("|") == 3
    assert [line for line in lines if line.endswith("](picture.png)")]
    assert sum(line.startswith("#") for line in lines) == 3
    assert "<" not in "".join(lines).replace(r"\<", "")
    assert any(line.startswith(r"  **Bo: \<script\>alert") for line in lines)


def test_markdown_marks_are_escaped() -> None:
    assert in_markdown("a*b_c`d <e> |f| [g] \\h\n#i $j$ &amp;") == (
        r"a\*b\_c\`d \<e\> |f| \[g\] \\h \#i \$j\$ \&amp;"
    )  # fmt: skip


def test_columns_of_numbers_are_known() -> None:
    assert Table(["a", "b", "c"], [["x", "1", "-"], ["2", "-0.5 [0, 1]", "-dash"]]).numeric == [False, True, False]


def test_numbers_have_three_digits() -> None:
    assert number(0.12345) == "0.123"
    assert number(float("nan")) == "-"
    assert with_interval(0.5, (0.25, 1.0)) == "0.500 [0.250, 1.000]"  # type: ignore[arg-type]
