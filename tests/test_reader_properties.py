"""Any bytes give rows or an error that says what is wrong: tables of corpora, and conversations."""

import codecs
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from datasets_scripts import CorpusError
from datasets_scripts.table import Table
from modeling_erc.conversations import read_conversation
from modeling_erc.conversations.conversation import READERS
from tests.small_run import offline_home

# Parts of the formats, so that more than their first check is passed.
PARTS = [
    *(
        "dialogue_id,speaker,text,label,start,end",
        "dialogue_id",
        "text",
        "label",
        "speaker,text",
        "split",
        "Ann",
        "joy",
    ),
    *(
        ",",
        ";",
        "\t",
        "|",
        "\n",
        "\r\n",
        '"',
        "'",
        "\0",
        " ",
        ":",
        "\\",
        "\u2028",
        "\ufeff",
        "\U0001f600",
        "\\ud83d",
        "=1+1",
    ),
    *(
        "{",
        "}",
        "[",
        "]",
        '{"text": ',
        '{"dialogue_id": "a", "text": "Hi.", "label": "joy"}',
        "null",
        "NaN",
        "1e999",
        "-1",
    ),
    *(
        "[" * 3000,
        "9" * 5000,
        "WEBVTT\n\n",
        "00:00:01,000 --> 00:00:02,000",
        "00:00:01.000",
        "-->",
        "1\n",
        "<i>",
        "{1}{2}",
    ),
    *(
        "[Script Info]\n",
        "[Events]\n",
        "Dialogue: 0,0:00:01.00,0:00:02.00,,,,,,,Hi",
        "@UTF8\n@Begin\n",
        "*ANN:\tHi .\n",
        "@End",
    ),
    *(
        'File type = "ooTextFile"\nObject class = "TextGrid"\n',
        "<tt>",
        "<ANNOTATION_DOCUMENT>",
        "<SAMI>",
        "<!DOCTYPE a>",
        "&#0;",
    ),
]
MARKS = [
    b"",
    codecs.BOM_UTF8,
    codecs.BOM_UTF16_LE,
    codecs.BOM_UTF32_BE,
    b"PK\x03\x04",
    b"PAR1",
    b"\x80\x04",
    b"\xff\xd8",
]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=25).map("".join)
CONTENTS = st.one_of(
    TEXTS.map(str.encode),
    st.builds(lambda text, code: text.encode(code, "replace"), TEXTS, st.sampled_from(["utf-16", "cp1252", "gb18030"])),
    st.builds(lambda mark, tail: mark + tail, st.sampled_from(MARKS), st.binary(max_size=60)),
)
ANY_BYTES = settings(
    max_examples=30,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".json", ".jsonl", ".parquet"])
@ANY_BYTES
@given(content=CONTENTS)
def test_any_bytes_give_the_rows_of_a_table_or_a_corpus_error(suffix: str, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / f"talk{suffix}"
    path.write_bytes(content)
    with offline_home(tmp_path / "home"):
        try:
            table = Table(path, tmp_path / "cache")
            rows = [row for split in ("train", "dev", "test") for row in table.dialogues(split)]
        except CorpusError as error:
            assert str(path) in str(error)
        else:
            assert rows


@pytest.mark.parametrize("suffix", sorted(READERS))
@ANY_BYTES
@given(content=CONTENTS)
def test_any_bytes_give_a_conversation_or_a_value_error(suffix: str, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / f"talk{suffix}"
    path.write_bytes(content)
    try:
        conversation = read_conversation(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert conversation.utterances
