import dataclasses
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import datasets
import pytest

from datasets_scripts import (
    CORPORA,
    CorpusError,
    Dialogue,
    ErcBuilder,
    LabelSet,
    known_options,
    label_names,
    load_erc_dataset,
)
from datasets_scripts.meld import Meld

HEADER = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\n"
REPOSITORY = Path(__file__).parents[2]


class Tiny(ErcBuilder):
    """A corpus of one dialogue with features, in which the first utterance is context only."""

    label_set = LabelSet("tiny", ("calm", "glad"), {"calm": None, "glad": "joy"})
    feature_sizes: ClassVar[dict[str, int]] = {"audio": 2}
    GAPS: ClassVar[dict[str, str]] = {"audio_features": "audio features"}
    spoken: ClassVar[list[dict[str, Any]]] = [
        {"label": None, "audio_features": [0.5, -1.0]},
        {"label": "glad", "audio_features": None},
    ]

    @classmethod
    def raw_files(cls, root: Path) -> list[Path]:
        return []

    def dialogues(self, split: str) -> Iterator[Dialogue]:
        empty = dict.fromkeys(("text", "audio_path", "video_path", "start", "end"))
        turns: Any = [
            {"utterance_id": str(number), "speaker": "Ann", **empty, **turn} for number, turn in enumerate(self.spoken)
        ]
        yield Dialogue(dialogue_id=f"{split}_0", utterances=turns)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "meld"
    (folder / "train_splits").mkdir(parents=True)
    for split in ("train", "dev", "test"):
        (folder / f"{split}_sent_emo.csv").write_text(HEADER + "Hi.,Ann,joy,0,0\nHo.,Bob,fear,0,2\nHm.,Bob,joy,1,0\n")
    return folder


def load(root: Path, **options: Any) -> Any:
    return load_erc_dataset("meld", root, cache_dir=root.parent / "cache", **options)


def test_unknown_corpus_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'melt': choose one of .*demo.*meld"):
        load_erc_dataset("melt", ".")


def test_unknown_option_names_the_known_ones(root: Path) -> None:
    with pytest.raises(ValueError, match=r"'meld' has no option normalise: it knows normalize_text, targets$"):
        load(root, normalise=True)


@pytest.mark.parametrize(
    ("option", "value", "like"), [("dev_dialogues", "twelve", "12"), ("dev_seed", None, "0"), ("setting", 4, "'6way'")]
)
def test_option_of_the_wrong_type_is_refused_with_an_example(root: Path, option: str, value: Any, like: str) -> None:
    with pytest.raises(ValueError, match=f"option {option} of corpus 'iemocap' is {value!r}: write it like {like}"):
        load_erc_dataset("iemocap", root, **{option: value})


def test_corpus_that_is_not_shipped_asks_for_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pass data_dir"):
        load_erc_dataset("meld")
    with pytest.raises(FileNotFoundError, match="nowhere is no folder"):
        load_erc_dataset("meld", tmp_path / "nowhere")


def test_stream_yields_the_rows_of_the_prepared_dataset(root: Path) -> None:
    prepared, stream = load(root), load(root, streaming=True)
    assert label_names(stream) == label_names(prepared)
    for split in ("train", "dev", "test"):
        assert list(stream[split]) == list(prepared[split])


@pytest.mark.parametrize("streaming", [False, True])
def test_context_before_a_labelled_utterance_stays_null(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    monkeypatch.setitem(CORPORA, "tiny", Tiny)
    data: Any = load_erc_dataset("tiny", tmp_path, cache_dir=tmp_path, streaming=streaming)
    turns = next(iter(data["dev"]))["utterances"]
    assert [turn["label"] for turn in turns] == [None, 1]
    assert [turn["audio_features"] for turn in turns] == [[0.5, -1.0], None]


@pytest.mark.parametrize("label", ["sad", -100, 1])
def test_label_outside_the_label_set_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str | int
) -> None:
    monkeypatch.setitem(CORPORA, "tiny", Tiny)
    monkeypatch.setattr(Tiny, "spoken", [{"label": label}])
    with pytest.raises(CorpusError, match=f"dialogue train_0, utterance 0: label {label!r} is none of calm, glad"):
        load_erc_dataset("tiny", tmp_path, cache_dir=tmp_path)


def test_reason_why_a_file_cannot_be_read_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Tiny, split: str) -> Iterator[Dialogue]:
        raise PermissionError(13, "Permission denied", "raw.txt")

    monkeypatch.setitem(CORPORA, "tiny", Tiny)
    monkeypatch.setattr(Tiny, "dialogues", refuse)
    with pytest.raises(PermissionError, match=r"Permission denied: 'raw\.txt'"):
        load_erc_dataset("tiny", tmp_path, cache_dir=tmp_path)


def test_second_load_reads_the_cache(root: Path) -> None:
    files = [load(root)["train"].cache_files[0]["filename"] for _ in range(2)]
    assert files[0] == files[1]
    assert len(list((root.parent / "cache").rglob("meld-train.arrow"))) == 1


def test_changed_table_of_the_same_size_is_read_anew(root: Path) -> None:
    path = root / "dev_sent_emo.csv"

    def text() -> str:
        found: str = load(root)["dev"][0]["utterances"][1]["text"]
        return found

    assert text() == "Ho."
    path.write_text(path.read_text().replace("Ho.", "Oh."))
    assert text() == "Oh."


def test_new_and_removed_clip_is_noticed(root: Path) -> None:
    clip = root / "train_splits" / "dia0_utt2.mp4"

    def path() -> str | None:
        found: str | None = load(root)["train"][0]["utterances"][1]["video_path"]
        return found

    assert path() is None
    clip.write_bytes(b"")
    assert path() == str(clip)
    clip.unlink()
    assert path() is None


def test_options_do_not_share_a_cache(root: Path) -> None:
    (root / "train_sent_emo.csv").write_text(HEADER + "I\u2019m,Ann,joy,0,0\n", encoding="utf-8")
    texts = {option: load(root, normalize_text=option)["train"][0]["utterances"][0]["text"] for option in (True, False)}
    assert texts == {True: "I'm", False: "I\u2019m"}


def test_missing_clips_are_counted_in_one_warning_per_split(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "train_splits" / "dia0_utt0.mp4").write_bytes(b"")
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        load(root)
        load(root)
    messages = [record.getMessage() for record in caplog.records if str(root) in record.getMessage()]
    assert len(messages) == 3
    assert messages[0].startswith("meld train: of 3 utterances, 2 have no clip (train_0/2, train_1/0).")
    assert messages[1].startswith("meld dev: of 3 utterances, 3 have no clip (dev_0/0, dev_0/2, dev_1/0).")


def test_warning_of_a_slice_names_its_own_utterances(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    builder = Meld(data_dir=root, cache_dir=root.parent / "cache")
    builder.download_and_prepare()
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        builder.as_dataset(split="test[1:]")
    assert "of 1 utterances, 1 have no clip (test_1/0)" in caplog.text


def test_relative_folder_gives_absolute_media_paths(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "train_splits" / "dia0_utt0.mp4").write_bytes(b"")
    monkeypatch.chdir(root)
    assert load(Path("../meld"))["train"][0]["utterances"][0]["audio_path"].endswith("/train_splits/dia0_utt0.mp4")
    assert os.path.isabs(load(Path("."))["train"][0]["utterances"][0]["audio_path"])


def test_every_corpus_has_options_beyond_those_of_datasets() -> None:
    inherited = {field.name for field in dataclasses.fields(datasets.BuilderConfig)}
    assert all({*known_options(name)} - inherited for name in CORPORA)


@pytest.mark.slow
def test_demo_is_generated_under_the_hugging_face_home(tmp_path: Path) -> None:
    code = "from datasets_scripts import load_erc_dataset as load; print(load('demo')['dev'][0]['utterances'][0])"
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_DATASETS_CACHE": str(tmp_path / "datasets")}
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    assert str(tmp_path / "erc" / "demo-0") in shown.stdout
    assert (tmp_path / "erc" / "demo-0" / "dev_sent_emo.csv").is_file()
