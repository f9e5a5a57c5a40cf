"""Forms of the files of a user's corpus: pandas' JSON, JSON lines, stray quotation marks, shards, folders of clips."""

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import soundfile

from datasets_scripts import CorpusError, label_names
from datasets_scripts.table import Table

TURNS = [
    {"dialogue_id": "a", "speaker": "A", "text": "Good morning.", "label": "neu"},
    {"dialogue_id": "a", "speaker": "B", "text": "You are late.", "label": "fru"},
    {"dialogue_id": "b", "speaker": "B", "text": "Sorry.", "label": "neu"},
]


def read(path: Path, **options: Any) -> dict[str, list[tuple[str, str, str, str | None]]]:
    """Returns dialogue, speaker, text and label of each utterance by split."""
    builder = Table(path, cache_dir=path.parent / "cache", **{"split_by": "none", **options})
    splits = builder.as_streaming_dataset()
    names: dict[int | None, str] = dict(enumerate(label_names(builder.info.features)))
    return {
        split: [
            (row["dialogue_id"], turn["speaker"], turn["text"], names.get(turn["label"]))
            for row in rows
            for turn in row["utterances"]
        ]
        for split, rows in splits.items()
    }


EXPECTED = {"train": [tuple(turn.values()) for turn in TURNS]}
TEXT_BY_ID = {
    name: {"utterances": [{k: v for k, v in turn.items() if k != "dialogue_id"} for turn in turns]}
    for name, turns in (("a", TURNS[:2]), ("b", TURNS[2:]))
}


@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "list", "lines", "by id"])
@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_json_of_pandas_and_of_lines(tmp_path: Path, orient: str, suffix: str) -> None:
    frame, path = pd.DataFrame(TURNS), tmp_path / f"t{suffix}"
    if orient == "lines":
        frame.to_json(path, orient="records", lines=True)
    elif orient in ("list", "by id"):
        path.write_text(json.dumps(frame.to_dict("list") if orient == "list" else TEXT_BY_ID, indent=1))
    else:
        frame.to_json(path, orient=orient)  # type: ignore[call-overload]
    if suffix == ".jsonl" and orient not in ("records", "lines"):
        with pytest.raises(CorpusError):
            read(path)
    else:
        assert read(path) == EXPECTED


def test_utterances_by_id_and_labels_in_an_object(tmp_path: Path) -> None:
    turns = {
        str(n): {"Text": t["text"], "Speaker": t["speaker"], "Emo": {"main": t["label"]}} for n, t in enumerate(TURNS)
    }
    (tmp_path / "t.json").write_text(json.dumps({"ep1": {"TV": "x", "Dialog": turns}}))
    found = read(tmp_path / "t.json", columns={"label": "Emo.main"})
    assert found == {"train": [("ep1", *cells[1:]) for cells in EXPECTED["train"]]}


@pytest.mark.parametrize("text", ['He said "no" twice', '"Quoted" at first', '"Open', '6" tall', '"all ""of"" it"'])
def test_quotation_marks_in_a_tsv_are_text(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.tsv").write_text(f'dialogue_id\ttext\tlabel\na\t{text}\tjoy\na\tNo.\tsad\nb\t"Yes\tjoy\n')
    plain = 'all "of" it' if text.endswith('it"') else text
    assert [turn[2] for turn in read(tmp_path / "t.tsv")["train"]] == [plain, "No.", '"Yes']


def test_a_tsv_may_hold_tabs_and_line_ends_in_quotation_marks(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text('dialogue_id\ttext\tlabel\na\t"one\ttwo\nthree"\tjoy\n')
    assert read(tmp_path / "t.tsv")["train"][0][2] == "one\ttwo\nthree"


def test_a_stray_quotation_mark_in_a_csv_merges_no_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('dialogue_id,text,label\na,Hi.,joy\na,"Open,sad\nb,Yes.,joy\nb,"Open,joy\n')
    with pytest.raises(CorpusError, match=r"t\.csv is no CSV after row 2 .*: double each quotation mark"):
        read(tmp_path / "t.csv")


def test_empty_and_repeated_rows_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    row = "a,0,Hi.,joy\n"
    (tmp_path / "t.csv").write_text(f"dialogue_id,utterance_id,text,label\n{row}{row},,,\na,1,Ho.,sad\n\n")
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        assert [turn[2] for turn in read(tmp_path / "t.csv")["train"]] == ["Hi.", "Ho."]
    assert "1 rows repeat another one of their dialogue (row 3) and are left out" in caplog.text


def test_columns_without_use_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "t.csv").write_text("Dialog ID;Utterance;Emotion;start time;Scene\na;Hi.;joy;1;2\n")
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        assert read(tmp_path / "t.csv") == {"train": [("a", "", "Hi.", "joy")]}
    assert "t.csv: columns that are not used: start time, Scene" in caplog.text


def test_shards_are_one_table(tmp_path: Path) -> None:
    frame = pd.DataFrame(TURNS)
    for number, rows in enumerate((frame[:1], frame[1:])):
        rows.to_parquet(tmp_path / f"train-0000{number}-of-00002.parquet")
    frame.to_parquet(tmp_path / "test-00000-of-00001.parquet")
    assert read(tmp_path) == {
        split: [(f"{split}_{name}", *cells) for name, *cells in EXPECTED["train"]] for split in ("train", "test")
    }
    (tmp_path / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(CorpusError, match=r"lacks train-00001-of-00002\.parquet of 2 shards: download them too"):
        read(tmp_path)


def test_tables_in_the_only_folder_that_has_some(tmp_path: Path) -> None:
    for folder in ("default", "other"):
        (tmp_path / folder).mkdir()
        pd.DataFrame(TURNS).to_csv(tmp_path / folder / "train.csv")
        if folder == "default":
            assert list(read(tmp_path)) == ["train"]
    with pytest.raises(CorpusError, match=r"has tables in .*default, .*other: pass one of them"):
        read(tmp_path)


def clips(root: Path, names: Iterable[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, [0.0] * 160, 16000)


@pytest.mark.parametrize("splits", [["."], ["train", "Validation", "test"]])
def test_folders_of_clips_are_classes(tmp_path: Path, splits: list[str]) -> None:
    for split in splits:
        clips(tmp_path / split, ["angry/x.wav", "happy/actor 1/x.flac", "happy/.hidden.wav"])
    (tmp_path / "README.md").write_text("clips")
    builder = Table(tmp_path, cache_dir=tmp_path.parent / "cache", split_by="none")
    data = {name: list(rows) for name, rows in builder.as_streaming_dataset().items()}
    assert list(data) == ["train", "dev", "test"][: len(splits)]
    turns = [row["utterances"][0] for row in data["train"]]
    assert [Path(turn["audio_path"]).name for turn in turns] == ["x.wav", "x.flac"]
    assert [builder.label_set.names[turn["label"]] for turn in turns] == ["angry", "happy"]


@pytest.mark.parametrize("names", [["wav/x.wav", "y.wav"], ["Actor_01/x.wav", "Actor_02/x.wav"]])
def test_a_folder_of_clips_without_classes_is_refused(tmp_path: Path, names: list[str]) -> None:
    clips(tmp_path, names)
    with pytest.raises(FileNotFoundError, match=rf"no table .* holds {names[0].split('/')[0]}, "):
        read(tmp_path)


def test_a_clip_that_is_added_to_a_class_is_noticed(tmp_path: Path) -> None:
    clips(tmp_path / "c", ["angry/x.wav", "happy/x.wav"])
    first = Table(tmp_path / "c", cache_dir=tmp_path / "cache").hash
    clips(tmp_path / "c", ["angry/y.wav"])
    assert Table(tmp_path / "c", cache_dir=tmp_path / "cache").hash != first


def test_paths_written_on_windows_are_found(tmp_path: Path) -> None:
    clips(tmp_path, ["c/x.wav"])
    (tmp_path / "t.csv").write_text("dialogue_id,audio,label\na,c\\x.wav,joy\n")
    builder = Table(tmp_path / "t.csv", cache_dir=tmp_path / "cache", split_by="none")
    (row,) = builder.as_streaming_dataset()["train"]
    assert row["utterances"][0]["audio_path"] == str(tmp_path / "c" / "x.wav")
