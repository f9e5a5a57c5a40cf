"""Tables of other shapes: a dialogue in each row, nested JSON, published copies, single clips, audio, own features."""

import json
import logging
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from safetensors.numpy import save_file

from datasets_scripts import CorpusError, DialogueRows, label_names
from datasets_scripts.meld import Meld
from datasets_scripts.publishing.publish import write_dataset
from datasets_scripts.table import Table

TURNS = [
    {"text": "Good morning.", "speaker": "A", "label": "neu"},
    {"text": "Morning.", "speaker": "B"},
    {"text": "You are late.", "speaker": "A", "label": "fru"},
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


def load(path: Path, **options: Any) -> Any:
    builder = Table(path, cache_dir=path.parent / "cache", **{"split_by": "none", **options})
    builder.download_and_prepare()
    return builder.as_dataset()


def shown(data: Any, split: str = "train") -> list[tuple[str, list[tuple[str, str, str | None]]]]:
    names = label_names(data)
    return [
        (
            row["dialogue_id"],
            [(t["speaker"], t["text"], None if t["label"] is None else names[t["label"]]) for t in row["utterances"]],
        )
        for row in data[split]
    ]


SPOKEN = [("A", "Good morning.", "neu"), ("B", "Morning.", None), ("A", "You are late.", "fru")]
COLUMNS = {name: [turn.get(name) for turn in TURNS] for name in ("text", "speaker", "label")}


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        ([TURNS, TURNS], ["0", "1"]),
        ([{"dialogue_id": "x", "utterances": TURNS}, {"dialogue_id": "y", "utterances": TURNS}], ["x", "y"]),
        ([{"id": 7, "turns": TURNS}, {"id": 8, "turns": TURNS}], ["7", "8"]),
        ({"x": TURNS, "y": TURNS}, ["x", "y"]),
        ({"data": [{"conversation_id": "x", "utterances": TURNS}]}, ["x"]),
        ({"dialogue_id": "x", "utterances": TURNS}, ["x"]),
        ([{"dialogue_id": "x", **COLUMNS}], ["x"]),
        ([{"dialogue_id": "x", "utterances": COLUMNS}], ["x"]),
        ({"a": 1, "episodes": [{"b": 2, "scenes": [{"scene_id": "s1", "utterances": TURNS}]}]}, ["s1"]),
    ],
)
def test_dialogues_in_json_are_found(tmp_path: Path, content: Any, ids: list[str]) -> None:
    (tmp_path / "t.json").write_text(json.dumps(content))
    assert shown(load(tmp_path / "t.json")) == [(name, SPOKEN) for name in ids]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("cells", [{"utterances": TURNS}, COLUMNS])
def test_a_row_may_be_a_dialogue(tmp_path: Path, suffix: str, cells: Any) -> None:
    rows = [{"dialogue_id": name, **cells} for name in "xy"]
    path = tmp_path / f"t{suffix}"
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    assert shown(load(path)) == [("x", SPOKEN), ("y", SPOKEN)]


def test_json_of_splits(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps({"train": [{"turns": TURNS}], "test": [{"turns": TURNS}]}))
    data = load(tmp_path / "t.json")
    assert [[turns for _, turns in shown(data, split)] for split in ("train", "test")] == [[SPOKEN], [SPOKEN]]


def test_dailydialog_of_the_hub(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"dialog": ["We did it. ", "Really?"], "act": [1, 2], "emotion": [4, 6]}]
    rows += [{"dialog": ["Oh no. ", "What?"], "act": [1, 2], "emotion": [5, 0]}]
    (tmp_path / "hf.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        data = load(tmp_path / "hf.jsonl")
    labels = [[label for _, _, label in turns] for _, turns in shown(data)]
    assert labels == [["4", "6"], ["5", "0"]]
    assert "column dialog is read as text" in caplog.text and "column emotion is read as label" in caplog.text


def test_original_json_of_emorynlp(tmp_path: Path) -> None:
    turn = {"utterance_id": "u1", "speakers": ["Ann", "Bo"], "transcript": "Good morning.", "tokens": [["Good"]]}
    scenes = [{"scene_id": f"s01_c0{n}", "utterances": [{**turn, "emotion": "Neutral"}]} for n in (1, 2)]
    episodes = [{"episode_id": "s01", "scenes": scenes[:1]}, {"episode_id": "s02", "scenes": scenes[1:]}]
    (tmp_path / "emotion-detection-trn.json").write_text(json.dumps({"season_id": "trn", "episodes": episodes}))
    found = shown(load(tmp_path))
    assert found == [(name, [("Ann, Bo", "Good morning.", "Neutral")]) for name in ("s01_c01", "s01_c02")]


def test_lists_of_other_lengths_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"dialogue_id": "a", "text": ["Hi.", "Ho."], "label": ["joy"]}\n')
    with pytest.raises(
        CorpusError, match=r"t\.jsonl, row 1: the lists of the dialogue differ in length \(text 2, label"
    ):
        load(tmp_path / "t.jsonl")


def test_a_published_copy_loads_again(tmp_path: Path) -> None:
    header = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\n"
    for split in ("train", "dev", "test"):
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "raw" / f"{split}_sent_emo.csv").write_text(header + "Hi.,Ann,joy,0,0\nHo.,Bo,fear,0,2\n")
    meld = Meld(tmp_path / "raw", cache_dir=tmp_path / "cache")
    write_dataset(meld, tmp_path / "copy", command="by hand")
    meld.download_and_prepare()
    first, again = meld.as_dataset(), load(tmp_path / "copy")
    assert list(again) == list(first)
    assert label_names(again) == label_names(first)
    for split in first:
        assert [row["utterances"] for row in again[split]] == [row["utterances"] for row in first[split]]


def test_class_names_stored_in_parquet_are_the_labels(tmp_path: Path) -> None:
    features = datasets.Features(
        {
            "dialogue_id": datasets.Value("string"),
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["sad", "joy"]),
        }
    )
    rows = {"dialogue_id": ["a", "b", "c"], "text": ["x", "y", "z"], "label": [1, 0, None]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "t.parquet"))
    data = load(tmp_path / "t.parquet")
    assert label_names(data) == ["sad", "joy"]
    assert [turns[0][2] for _, turns in shown(data)] == ["joy", "sad", None]


def clip(path: Path, pitch: float = 440.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.sin(2 * np.pi * pitch * np.arange(16000) / 16000).astype(np.float32), 16000)
    return path


@pytest.mark.parametrize("header", ["path,label,speaker", "Emotions,Path", "file_name,label"])
def test_a_list_of_single_clips_needs_no_dialogue(
    tmp_path: Path, header: str, caplog: pytest.LogCaptureFixture
) -> None:
    rows = []
    for number, label in enumerate(("joy", "sad", "joy")):
        file = clip(tmp_path / "clips" / f"{number}.wav").relative_to(tmp_path).as_posix()
        cells = {"path": file, "file_name": file, "label": label, "emotions": label, "speaker": f"s{number % 2}"}
        rows.append(",".join(cells[name.lower()] for name in header.split(",")))
    (tmp_path / "metadata.csv").write_text("\n".join([header, *rows]) + "\n")
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        data = load(tmp_path)
    turns = [row["utterances"] for row in data["train"]]
    assert [len(dialogue) for dialogue in turns] == [1, 1, 1]
    assert [Path(t["audio_path"]).name for (t,) in turns] == ["0.wav", "1.wav", "2.wav"]
    assert [label_names(data)[t["label"]] for (t,) in turns] == ["joy", "sad", "joy"]
    assert "has no column dialogue_id: each row is read as a dialogue of its own" in caplog.text


def test_splits_of_single_clips_are_drawn_by_speaker(tmp_path: Path) -> None:
    for number in range(20):
        clip(tmp_path / f"{number}.wav")
    rows = [f"{number}.wav,{'joy' if number % 3 else 'sad'},s{number % 10}" for number in range(20)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,speaker", *rows]) + "\n")
    data = load(tmp_path / "list.csv", split_by="auto")
    speakers = [{t["speaker"] for row in data[split] for t in row["utterances"]} for split in ("train", "dev", "test")]
    assert all(speakers) and len(set.union(*speakers)) == sum(map(len, speakers)) == 10


def test_an_audiofolder_has_a_table_in_each_split(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        clip(tmp_path / split / "a.wav")
        (tmp_path / split / "metadata.jsonl").write_text('{"file_name": "a.wav", "label": "joy"}\n')
    data = load(tmp_path)
    assert list(data) == ["train", "dev", "test"]
    assert data["dev"][0]["utterances"][0]["audio_path"] == str(tmp_path / "validation" / "a.wav")


@pytest.mark.parametrize(
    "header", ["text,speaker,label", "id,text,label", "Scene,text,label", "path,start,end,label", "path,session,label"]
)
def test_a_table_that_may_hold_conversations_needs_their_ids(tmp_path: Path, header: str) -> None:
    values = {"path": "a.wav", "start": "0", "end": "1"}
    (tmp_path / "t.csv").write_text(f"{header}\n{','.join(values.get(name, 'x') for name in header.split(','))}\n")
    with pytest.raises(CorpusError, match=r"no column dialogue_id; found .*map that column"):
        load(tmp_path / "t.csv")


@pytest.mark.parametrize("form", ["bytes", "array"])
def test_audio_of_datasets_is_written_into_the_cache(tmp_path: Path, form: str) -> None:
    source = clip(tmp_path / "x.wav")
    wave, rate = soundfile.read(source, dtype="float32")
    audio: dict[str, Any] = {"bytes": source.read_bytes(), "path": "../../x.wav"}
    if form == "array":
        audio = {"array": wave.tolist(), "sampling_rate": rate, "path": "x.wav"}
    table = pa.Table.from_pylist([{"dialogue_id": "a", "audio": audio, "label": "joy"}])
    pq.write_table(table, tmp_path / "t.parquet")
    (turn,) = load(tmp_path / "t.parquet")["train"][0]["utterances"]
    path = Path(turn["audio_path"])
    assert path.name == "x.wav" and path.is_relative_to(tmp_path / "hf" / "erc-media")
    assert np.allclose(soundfile.read(path)[0], wave)


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".csv"])
@pytest.mark.parametrize("with_text", [True, False])
def test_own_features_are_read(tmp_path: Path, suffix: str, with_text: bool) -> None:
    rows: list[dict[str, Any]] = [
        {"dialogue_id": "a", "audio_features": [0.5, 1.0], "visual_features": [1, 2, 3], "label": "joy"},
        {"dialogue_id": "a", "audio_features": None, "visual_features": [4, 5, 6], "label": "sad"},
    ]
    rows = [{**row, "text": "Hi."} for row in rows] if with_text else rows
    path = tmp_path / f"t{suffix}"
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        lines = ["dialogue_id;audio_features;visual_features;label" + ";text" * with_text]
        for row in rows:
            audio = "" if row["audio_features"] is None else json.dumps(row["audio_features"])
            lines.append(f"a;{audio};{row['visual_features']};{row['label']}" + ";Hi." * with_text)
        path.write_text("\n".join(lines) + "\n")
    data = load(path)
    first, second = DialogueRows(data["train"])[0]["utterances"]
    assert first["audio_features"].tolist() == [0.5, 1.0] and second["audio_features"] is None
    assert second["visual_features"].tolist() == [4.0, 5.0, 6.0]
    assert first["text"] == ("Hi." if with_text else None)
    assert "text_features" not in first


def save_features(path: Path, array: np.ndarray) -> str:
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        save_file({"audio_features": array, "length": np.array([1])}, path)
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
@pytest.mark.parametrize("with_text", [True, False])
def test_own_features_are_read_from_files(
    tmp_path: Path, suffix: str, with_text: bool, caplog: pytest.LogCaptureFixture
) -> None:
    arrays = [np.array([0.5, 1.0]), np.array([[0.0, 1.0], [1.0, 2.0]], np.float32), np.array([[[4, 6]]])]
    paths = [save_features(tmp_path / "f" / f"{n}{suffix}", array) for n, array in enumerate(arrays)]
    lines = [f"a,{path},joy{',Hi.' * with_text}" for path in [*paths, "f/gone.npy", ""]]
    (tmp_path / "t.csv").write_text(
        "\n".join(["dialogue_id,audio_features,label" + ",text" * with_text, *lines]) + "\n"
    )
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        turns = DialogueRows(load(tmp_path / "t.csv")["train"])[0]["utterances"]
    vectors = [None if turn["audio_features"] is None else turn["audio_features"].tolist() for turn in turns]
    assert vectors == [[0.5, 1.0], [0.5, 1.5], [4.0, 6.0], None, None]
    assert "1 files are not there" in caplog.text and "gone.npy" in caplog.text
    save_features(tmp_path / "f" / f"0{suffix}", np.array([9.0, 9.0]))
    assert DialogueRows(load(tmp_path / "t.csv")["train"])[0]["utterances"][0]["audio_features"].tolist() == [9.0, 9.0]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([{}]), "cannot be read"),
        (np.array(["a"]), "is <U1 of shape"),
        (np.zeros((2, 2, 2)), r"float64 of shape \(2, 2, 2\): save numbers \(width,\) or \(tokens, width\)"),
        (np.array([1.0, np.nan]), "not finite"),
        (np.zeros(3), "has 3 numbers, earlier rows have 2"),
    ],
)
def test_broken_feature_files_are_refused_by_row(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "good.npy", np.zeros(2))
    np.save(tmp_path / "bad.npy", array, allow_pickle=True)
    (tmp_path / "t.csv").write_text("dialogue_id,text_features,label\na,good.npy,joy\na,bad.npy,sad\n")
    with pytest.raises(CorpusError, match=rf"t\.csv, row 3: .*{message}"):
        load(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("vector", "message"),
    [([1.0], "row 2: audio_features has 1 numbers, earlier rows have 2"), (["a", 1], "no list of numbers")],
)
def test_broken_features_are_refused_by_row(tmp_path: Path, vector: list[Any], message: str) -> None:
    rows = [{"dialogue_id": "a", "label": "joy", "audio_features": v} for v in ([0.5, 1.0], vector)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(CorpusError, match=message):
        load(tmp_path / "t.jsonl")


@pytest.mark.parametrize("name", ["dialogue", "Conversation"])
def test_a_bare_name_is_the_dialogue_id_beside_a_text(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{name: number, "utterance": "Hi.", "emotion": label} for number in "xy" for label in ("joy", "anger")]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        data = load(tmp_path / "t.jsonl")
    assert [identity for identity, _ in shown(data)] == ["x", "y"]
    assert f"column {name} is read as dialogue_id" in caplog.text


def test_a_bare_name_without_a_text_beside_it_is_no_id(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("speaker,dialogue,label\nAnn,Hi there.,joy\nBo,Go away.,anger\n")
    with pytest.raises(CorpusError, match="no column dialogue_id"):
        load(tmp_path / "t.csv")
