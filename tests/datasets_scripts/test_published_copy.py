"""A copy that `--out` wrote is read again under the name of its corpus."""

import logging
from pathlib import Path
from typing import Any

import datasets
import pytest

from datasets_scripts import CorpusError, erc_builder, load_erc_dataset
from datasets_scripts.publishing.publish import write_dataset

HEADER = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\n"
CLIP = Path("train_splits/dia0_utt0.wav")


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    raw = tmp_path / "raw"
    (raw / CLIP).parent.mkdir(parents=True)
    (raw / CLIP).write_bytes(b"0")
    for split in ("train", "dev", "test"):
        (raw / f"{split}_sent_emo.csv").write_text(HEADER + "Hi.,Ann,joy,0,0\nHo.,Bo,fear,0,2\n")
    return write_dataset(erc_builder("meld", raw), tmp_path / "copy", command="by hand")


def rows(data: Any) -> dict[str, list[Any]]:
    return {split: list(dialogues) for split, dialogues in data.items()}


@pytest.mark.parametrize("name", ["meld", "table"])
def test_a_copy_is_its_corpus(copy: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    raw = copy.parent / "raw"
    first = load_erc_dataset("meld", raw)
    again = load_erc_dataset(name, copy, media_dir=str(raw))
    assert rows(again) == rows(first)
    assert again["train"].features == first["train"].features
    assert again["train"][0]["utterances"][0]["audio_path"] == str(raw / CLIP)
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        without = load_erc_dataset(name, copy, streaming=True)
        assert rows(without)["train"][0]["utterances"][0]["audio_path"] is None
    assert "1 media files are not there" in caplog.text and "as media_dir" in caplog.text
    assert erc_builder(name, copy).label_set.shared["joy"] == "joy"


def test_columns_of_a_corpus_of_its_own_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    turns = tmp_path / "t.jsonl"
    turns.write_text(
        '{"dialogue_id": "a", "audio_features": [0.5, 1.5], "label": "Joy", "split": "train"}\n'
        '{"dialogue_id": "b", "audio_features": null, "label": "sad", "split": "dev"}\n'
    )
    first = load_erc_dataset("table", turns)
    copy = write_dataset(erc_builder("table", turns), tmp_path / "copy", command="by hand")
    assert rows(load_erc_dataset("table", copy)) == rows(first)
    mapped = load_erc_dataset("table", copy, label_map={"sad": "blue"}, split_by="none")
    assert mapped["train"].features["utterances"].feature["label"].names == ["Joy", "blue"]


def test_the_draw_of_a_run_is_that_of_the_copy_and_other_options_are_refused(copy: Path) -> None:
    with pytest.raises(CorpusError, match="is a copy of Meld, not of Iemocap: name that corpus"):
        erc_builder("iemocap", copy, dev_seed=3)
    with pytest.raises(ValueError, match="is a copy that --out wrote with its own options: leave out setting"):
        erc_builder("iemocap", copy, setting="4way")
