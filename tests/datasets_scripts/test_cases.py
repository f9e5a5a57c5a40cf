"""Small corpora in the forms that people have: each is read, or refused with a message that helps.

Pickles are in `pickles/` and `test_feature_corpora.py`, other shapes of tables in `test_table_shapes.py`.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import datasets
import pytest

from datasets_scripts import CorpusError, label_names, load_erc_dataset

MELD = "Sr No.,Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\n"
TELME = {"text": "Utterance", "speaker": "Speaker", "dialogue_id": "Dialogue_ID", "label": "Emotion"}
MMSA = {"dialogue_id": "video_id", "utterance_id": "clip_id", "split": "mode"}
STRENGTHS = (
    "video_id,clip_id,text,label,annotation,mode\n"
    "v1,0,FINE,1.2,Positive,train\nv1,1,BAD,-2.0,Negative,train\nv2,0,SO SO,0.0,Neutral,valid\n"
    "v3,0,OK,0.4,Positive,test\n"
)
ONE_SPLIT = "dialogue_id,speaker,text,label\n" + "".join(
    f"{n},{speaker},line {n},{label}\n"
    for n in range(12)
    for speaker, label in (("A", "joy"), ("B", "sad"), ("A", "-1"))
)
ANSWERS = "Dialogue_ID,Speaker,Utterance,Emotion\n"


class Case(NamedTuple):
    """A corpus of a kind, and what is read from it.

    Args:
        files: content by name.
        found: field of an utterance and its values in the training split.
        notes: parts of the warnings.
        options: of `load_erc_dataset`.
        name: of the corpus.
    """

    files: dict[str, str | bytes]
    found: dict[str, list[Any]]
    notes: tuple[str, ...] = ()
    options: Mapping[str, Any] = MappingProxyType({})
    name: str = "table"


def meld(rows: str, encoding: str = "utf-8", header: str = MELD) -> dict[str, str | bytes]:
    return {f"{split}_sent_emo.csv": (header + rows).encode(encoding) for split in ("train", "dev", "test")}


def table(rows: str, header: str = "dialogue_id,speaker,text,label\n") -> dict[str, str | bytes]:
    return {"train.csv": header + rows}


CHINESE = "\u4f60\u597d\u6211\u5f88\u9ad8\u5174\u89c1\u5230\u4f60"
QUOTED = "1,That\u2019s it\u2026 caf\u00e9,Ann,neutral,0,0\n"
CASES = {
    "01 one split": Case(
        {"talks.csv": ONE_SPLIT},
        {"label": ["joy", "sad", None] * 9},
        ("test and dev drawn by seed 0, dialogue-disjoint", "test 2, dev 1, train 9 dialogues"),
    ),
    "01 a list of clips": Case(
        {"data_path.csv": "Emotions,Path\n" + "".join(f"{'happy' if n % 2 else 'sad'},c/{n}.wav\n" for n in range(10))},
        {"speaker": [""] * 7},
        ("test and dev drawn by seed 0", "each row is read as a dialogue of its own"),
    ),
    "03 unlabelled": Case(
        table("a,A,x,joy\na,B,x,nan\na,A,x,-1\nb,B,x,sadness\nb,A,x,None\nb,B,x,N/A\n"),
        {"label": ["joy", None, None, "sadness", None, None]},
        ("-1 (1), N/A (1), None (1), nan (1) are read as unlabelled",),
    ),
    "03 other marks": Case(
        table("a,A,x,joy\na,B,x,XXX\na,A,x,-1.0\na,A,x,-100\nb,B,x,sad\nb,A,x,\nb,B,x,<NA>\nb,B,x,Null\n"),
        {"label": ["joy", None, None, None, "sad", None, None, None]},
    ),
    "04 order": Case(
        table("a,2,third,joy\na,0,first,joy\na,1,second,sad\nb,0,x,sad\n", "dialogue_id,utterance_id,text,label\n"),
        {"text": ["first", "second", "third", "x"]},
        ("utterance_id runs backwards",),
    ),
    "04 order of decimals": Case(
        table("a,10.0,third,joy\na,2.0,first,joy\na,9.0,second,sad\n", "dialogue_id,utterance_id,text,label\n"),
        {"text": ["first", "second", "third"]},
    ),
    "09 classes beside strengths": Case(
        {"label.csv": STRENGTHS},
        {"label": ["Positive", "Negative"]},
        ("splits are read as valid = dev", "columns that are not used"),
        {"columns": {**MMSA, "label": "annotation"}},
    ),
    "13 speaker is the id of the turn": Case(
        table("".join(f"S1,S1_F{n:03},hi,{label}\n" for n, label in enumerate(["neu", "ang"] * 2)), ANSWERS),
        {"label": ["neu", "ang"] * 2},
        ("each of the 4 utterances has its own Speaker (S1_F000, S1_F001, S1_F002, ...)",),
        {"columns": TELME},
    ),
    "14 clock times": Case(
        table(
            '0,a,neutral,"00:16:16,059","00:16:21,731"\n0,b,joy,0:10:44.5,0:10:45\n',
            "dialogue_id,text,label,start,end\n",
        ),
        {"start": [976.059, 644.5], "end": [981.731, 645.0]},
    ),
    "14 milliseconds": Case(
        table("0,a,neutral,1000,2500\n0,b,joy,2500,4000\n", "dialogue_id,text,label,start_ms,end_ms\n"),
        {"start": [1.0, 2.5], "end": [2.5, 4.0]},
        ("read as milliseconds",),
        {"columns": {"start": "start_ms", "end": "end_ms"}},
    ),
    "17 lists of lists": Case(
        {
            "train.json": json.dumps(
                [[{"text": "Hi.", "speaker": "A", "label": "neu"}, {"text": "Ho.", "speaker": "B"}]]
            )
        },
        {"text": ["Hi.", "Ho."], "speaker": ["A", "B"], "label": ["neu", None]},
    ),
    "17 lists in columns": Case(
        {"train.jsonl": '{"dialog": ["Hi.", "Ho."], "emotion": [4, 6]}\n{"dialog": ["Oh."], "emotion": [5]}\n'},
        {"text": ["Hi.", "Ho.", "Oh."], "label": ["4", "6", "5"]},
    ),
    "17 dialogues and turns by id": Case(
        {"train.json": json.dumps({"d1": {"turns": {"0": {"Text": "Hi.", "Emotion": "joy"}}}})},
        {"text": ["Hi."], "label": ["joy"]},
    ),
    "18 cp1252": Case(meld(QUOTED, "cp1252"), {"text": ["That's it... caf\u00e9"]}, ("read as cp1252",), name="meld"),
    "18 utf-16": Case(meld(QUOTED, "utf-16"), {"text": ["That's it... caf\u00e9"]}, name="meld"),
    "18 tabs": Case(meld(QUOTED.replace(",", "\t"), header=MELD.replace(",", "\t")), {"speaker": ["Ann"]}, name="meld"),
    "18 semicolons and a mark": Case(
        {"train.csv": "\ufeffdialogue_id;speaker;text;label\r\na;Ann;Yes, we did;joy\r\na;Bob;No;sad\r\n"},
        {"text": ["Yes, we did", "No"], "label": ["joy", "sad"]},
    ),
    "18 gb18030": Case(
        {"train.csv": f"dialogue_id,text,label\na,{CHINESE},joy\n".encode("gb18030")}, {"text": [CHINESE]}
    ),
    "19 spellings": Case(
        table("a,A,x,Happy\na,B,y,happy\na,A,z,happy \nb,A,w,HAPPY\nb,B,v,Sad\n"),
        {"label": ["happy"] * 4 + ["Sad"]},
        ("HAPPY (1), Happy (1) as happy",),
    ),
    "19 several classes in a cell": Case(
        table("a,A,x,joy\na,B,y,anger|fear\n"),
        {"label": ["joy", "anger|fear"]},
        ("anger|fear: an utterance has one class",),
    ),
    "19 spellings of MELD": Case(
        meld("1,Hi,Ann,Neutral,0,0\n2,Ho,Bob,joy ,0,1\n"), {"label": ["neutral", "joy"]}, name="meld"
    ),
    "19 ids of pandas": Case(
        meld("1,Hi,Ann,neutral,0.0,0.0\n2,Ho,Bob,joy,0.0,1.0\n"),
        {"dialogue_id": ["train_0", "train_0"], "utterance_id": ["0", "1"]},
        name="meld",
    ),
    "21 own features": Case(
        {"train.jsonl": '{"dialogue_id": "a", "text": "Hi.", "label": "joy", "audio_features": [0.5, 1]}\n'},
        {"audio_features": [[0.5, 1.0]], "text": ["Hi."]},
    ),
    "21 own features of other names": Case(
        {"train.jsonl": '{"dialogue_id": "a", "text": "Hi.", "label": "joy", "emotion2vec": [0.5, 1]}\n'},
        {"text": ["Hi."]},
        ("columns that are not used: emotion2vec",),
    ),
}


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_corpora_of_the_forms_that_people_have(case: Case, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        data = load_erc_dataset(case.name, write(tmp_path, case.files), streaming=True, **case.options)
        turns = [{**turn, "dialogue_id": row["dialogue_id"]} for row in data["train"] for turn in row["utterances"]]
    names = label_names(data)
    for field, values in case.found.items():
        found = [turn[field] for turn in turns]
        if field == "label":
            found = [None if label is None else names[label] for label in found]
        assert [list(value) if field.endswith("features") else value for value in found] == values
    for note in case.notes:
        assert note in caplog.text
    assert str(tmp_path) in caplog.text or not case.notes


@pytest.mark.parametrize(
    ("content", "message", "options"),
    [
        (
            STRENGTHS,
            r"column label has decimals or negative numbers \(1\.2, -2, 0\.4.*a strength\? name the label",
            MMSA,
        ),
        ("dialogue_id,text,sentiment\na,Hi.,good\n", r"no row has a label: map it", {}),
        ("Text;Emotion;Speaker;Scene\nHi.;joy;A;1\n", r"no column dialogue_id; found .*Scene.*: write one row", {}),
        ("dialogue_id,text,label,start\na,Hi.,joy,2024-01-05\n", r"row 2: start '2024-01-05' is no time: write", {}),
        ("dialogue_id,text,label,split\na,Hi.,joy,fold 1\n", r"row 2: split 'fold 1' is none of .*split_map", {}),
        ("dialogue_id,text,label\n", r"has a header and no rows", {}),
        ("", r"no column dialogue_id; found none", {}),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path: Path, content: str, message: str, options: dict[str, str]) -> None:
    with pytest.raises(CorpusError, match=rf"t\.csv.*{message}|{message}"):
        load_erc_dataset("table", write(tmp_path, {"t.csv": content}), columns=options)


def test_a_draw_without_enough_dialogues_is_reported_before_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        data = load_erc_dataset("table", write(tmp_path, table("a,A,x,joy\n")), streaming=True)
    assert list(data) == ["train"]
    assert "no test and no dev, and too few training dialogues (1) to draw from" in caplog.text
    assert "there is only one class, joy" in caplog.text


def test_class_names_of_datasets(tmp_path: Path) -> None:
    features = datasets.Features({"dialogue_id": datasets.Value("string"), "text": datasets.Value("string")})
    features["label"] = datasets.ClassLabel(names=["joy", "sad"])
    rows = {"dialogue_id": ["a", "b"], "text": ["x", "y"], "label": [0, 1]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "train-00000-of-00001.parquet")
    assert label_names(load_erc_dataset("table", tmp_path, streaming=True)) == ["joy", "sad"]
