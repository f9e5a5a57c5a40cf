import codecs
import logging
from pathlib import Path

import pytest

from datasets_scripts import CorpusError
from datasets_scripts.text_files import SAMPLE, guess_encoding, open_text, read_csv, split_header

HEAD = "number,text,speaker\n1,plain,Ann\n2,"
WESTERN = [
    "That\u2019s it\u2026 caf\u00e9",
    "un \u00e9v\u00e9nement \u00e9trange",
    "Gr\u00f6\u00dfe \u00fcber Ma\u00df",
    "\u201cHi\u201d \u2013 she said",
]
CHINESE = [
    "\u4f60\u597d\uff0c\u6211\u5f88\u9ad8\u5174\u89c1\u5230\u4f60",
    "\u6211\u4e0d\u77e5\u9053",
    "\u4eca\u5929\u5929\u6c14\u4e0d\u9519",
]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *((text, encoding) for text in WESTERN for encoding in ("cp1252", "utf-8", "utf-16")),
        *((text, encoding) for text in CHINESE for encoding in ("gb18030", "utf-8-sig", "utf-16-be", "utf-16-le")),
        (CHINESE[0], "utf-32"),
    ],
)
@pytest.mark.parametrize("lines", [1, 40])
def test_text_is_read_in_any_of_the_encodings(
    tmp_path: Path, text: str, encoding: str, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "t.csv"
    content = HEAD + f"{text},Bo\n" * lines
    path.write_bytes(content.encode(encoding))
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"), open_text(path) as file:
        assert file.read() == content
    assert ("which is a guess: save it as UTF-8" in caplog.text) == (encoding in ("cp1252", "gb18030"))


def test_byte_order_marks_of_both_orders_are_dropped(tmp_path: Path) -> None:
    for mark, encoding in ((codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF16_LE, "utf-16-le")):
        (tmp_path / "t.txt").write_bytes(mark + "caf\u00e9".encode(encoding))
        with open_text(tmp_path / "t.txt") as file:
            assert file.read() == "caf\u00e9"


def test_a_guess_does_not_split_the_last_character_of_the_sample() -> None:
    line = (CHINESE[0] + "\n").encode("gb18030")
    assert guess_encoding((line * (SAMPLE // len(line) + 1))[:SAMPLE]) == "gb18030"


def test_bytes_beyond_the_sample_count(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes(b"a" * (SAMPLE + 10) + b"\xe9\n")
    with pytest.raises(CorpusError, match="is no text in"), open_text(tmp_path / "t.txt") as file:
        file.read()


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x01\x00\xff\xd8",
        b"caf\x81 au lait",
        b"PK\x03\x04rest",
        # One cut character does not make cp1252 of UTF-8.
        "\u201cna\u00efve\u201d caf\u00e9s".encode() + b"\xe2\x80, and more",
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(CorpusError, match=r"t\.csv is (no text|a spreadsheet).*: save it as"):
        list(read_csv(tmp_path / "t.csv", ["text"], "write it again"))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_that_of_the_header(tmp_path: Path, delimiter: str) -> None:
    lines = ["dialogue_id,text", "a,Well; no| yes", 'b,"Oh, no"']
    text = "\n".join(lines).replace(",", delimiter) if delimiter != "," else "\n".join(lines)
    if delimiter in (";", "|"):
        text = text.replace("Well; no| yes", '"Well; no| yes"')
    (tmp_path / "t.csv").write_text(text)
    rows = list(read_csv(tmp_path / "t.csv", ["text"], "write it again"))
    assert [row.number for row in rows] == [2, 3]
    assert [row.cells["text"] for row in rows] == ["Well; no| yes", f"Oh{delimiter} no"]


def test_lines_before_the_header_are_skipped_and_counted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sep=;\n\ntext;speaker\nHi.;Ann\n")
    (row,) = read_csv(tmp_path / "t.csv", ["text"], "write it again")
    assert (row.number, row.cells) == (4, {"text": "Hi.", "speaker": "Ann"})


def test_needed_columns_decide_between_delimiters() -> None:
    assert split_header("text;a,b,c,d", ["text"]) == (["text", "a,b,c,d"], ";")
    assert split_header("text", ["text"]) == (["text"], ",")


def test_needed_columns_are_found_in_other_spellings() -> None:
    assert split_header("Dialogue ID,TEXT,text", ["dialogue_id", "text"])[0] == ["Dialogue ID", "TEXT", "text"]
    assert split_header("Dialogue ID,TEXT,Mood", ["dialogue_id", "text"])[0] == ["dialogue_id", "text", "Mood"]
