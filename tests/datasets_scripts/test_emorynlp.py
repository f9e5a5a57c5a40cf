from pathlib import Path
from typing import Any

import pytest

from datasets_scripts import CorpusError, label_names
from datasets_scripts.emorynlp import EmoryNlp

HEADER = "Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode,Start_Time,End_Time"
TIMES = "00:00:03.795,00:00:05.004"
# Utterance 2 before 1, numbers that are skipped, and scene 6 before and after scene 10.
ROWS = [
    f"Thank you.,['Joey Tribbiani'],Neutral,6,2,1,15,{TIMES}",
    f"\"Well, well.\",\"['Monica Geller', 'Joey Tribbiani']\",Joyful,6,1,1,15,{TIMES}",
    f"Hi.,['Rachel Green'],PEACEFUL,10,1,1,15,{TIMES}",
    f"It\u2019s me.,['#ALL#'],Scared,6,9,1,15,{TIMES}",
    f",[],Mad,6,1,1,3,{TIMES}",
]


def write(path: Path, *rows: str, mark: str = "") -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((mark + "\r\n".join([HEADER, *rows]) + "\r\n").encode())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split in ("train", "dev", "test"):
        write(tmp_path / "emorynlp" / f"emorynlp_{split}_final.csv", *ROWS)
    return tmp_path / "emorynlp"


def load(root: Path, **options: Any) -> Any:
    builder = EmoryNlp(data_dir=root, cache_dir=root.parent / "cache", **options)
    builder.download_and_prepare()
    return builder.as_dataset()


def test_dialogue_is_a_scene_with_its_utterances_in_order(root: Path) -> None:
    splits = load(root)
    assert splits["dev"]["dialogue_id"][:] == ["dev_s01_e03_c06", "dev_s01_e15_c06", "dev_s01_e15_c10"]
    names = label_names(splits)
    turns = splits["dev"][1]["utterances"]
    assert [(turn["utterance_id"], turn["speaker"], turn["text"], names[turn["label"]]) for turn in turns] == [
        ("1", "Monica Geller, Joey Tribbiani", "Well, well.", "joyful"),
        ("2", "Joey Tribbiani", "Thank you.", "neutral"),
        ("9", "#ALL#", "It's me.", "scared"),
    ]


def test_scene_that_two_splits_share_has_two_ids(root: Path) -> None:
    splits = load(root)
    assert not set(splits["train"]["dialogue_id"][:]) & set(splits["test"]["dialogue_id"][:])


def test_emotion_is_read_in_any_case_and_nobody_says_nothing(root: Path) -> None:
    splits = load(root)
    assert label_names(splits)[splits["train"][2]["utterances"][0]["label"]] == "peaceful"
    nobody = splits["train"][0]["utterances"][0]
    assert (nobody["speaker"], nobody["text"], nobody["start"], nobody["audio_path"]) == ("", None, None, None)


def test_stream_yields_the_prepared_rows(root: Path) -> None:
    stream = EmoryNlp(data_dir=root, cache_dir=root.parent).as_streaming_dataset()
    assert list(stream["test"]) == list(load(root)["test"])


def test_text_normalization_is_a_setting(root: Path) -> None:
    assert load(root, normalize_text=False)["train"][1]["utterances"][2]["text"] == "It\u2019s me."


def test_byte_order_mark_leaves_no_trace(root: Path) -> None:
    write(root / "emorynlp_train_final.csv", *ROWS, mark="\ufeff")
    assert len(load(root)["train"]) == 3


def test_missing_table_is_named_with_what_the_folder_holds(root: Path) -> None:
    (root / "emorynlp_test_final.csv").rename(root / "._emorynlp_test_final.csv")
    with pytest.raises(FileNotFoundError, match=r"needs emorynlp_test_final\.csv in .*emorynlp_train_final\.csv"):
        load(root)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"Hm.,['Ann'],Bored,6,3,1,15,{TIMES}", "Emotion 'Bored' is none of joyful, mad, .*scared"),
        (f"Hm.,Ann,Sad,6,3,1,15,{TIMES}", "Speaker 'Ann' is no list of names"),
        (f"Hm.,[1],Sad,6,3,1,15,{TIMES}", r"Speaker '\[1\]' is no list of names"),
        (f"Hm.,__import__('os').abort(),Sad,6,3,1,15,{TIMES}", "Speaker .* is no list of names"),
        (f"Hm.,{'[' * 5000},Sad,6,3,1,15,{TIMES}", r"Speaker '\[{80}' is no list of names"),
        (f"Hm.,['Ann'],Sad,6,9,1,15,{TIMES}", "s01_e15_c06, Utterance_ID 9 stands in row 5 already"),
        (f"Hm.,['Ann'],Sad,x,9,1,15,{TIMES}", "Season '1', Episode '15', Scene_ID 'x'"),
        ("Hm.,['Ann'],Sad", "ends before Scene_ID, Utterance_ID"),
    ],
)
def test_bad_row_is_refused_with_file_row_and_value(root: Path, row: str, message: str) -> None:
    write(root / "emorynlp_dev_final.csv", *ROWS, row)
    with pytest.raises(CorpusError, match=rf"emorynlp_dev_final\.csv, row 7:? {message}"):
        load(root)
