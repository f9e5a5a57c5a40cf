import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import datasets
import pytest
import yaml

from datasets_scripts import CorpusError, Dialogue, ErcBuilder, LabelSet
from datasets_scripts.meld import Meld
from datasets_scripts.publishing.dataset_card import license_id, source_hash
from datasets_scripts.publishing.publish import MARKER, ROWS_AT_ONCE, write_dataset, written_files
from datasets_scripts.table import Table

HEADER = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\n"
MELD = Path(__file__).parents[3].parent / "shared/data/meld"


class Tiny(ErcBuilder):
    """A corpus whose dialogues a test sets: split -> dialogue id -> utterances."""

    label_set = LabelSet("tiny", ("calm", "a|b"), {"calm": None, "a|b": "joy"})
    feature_sizes: ClassVar[dict[str, int]] = {"audio": 2}
    spoken: ClassVar[dict[str, dict[str, list[dict[str, Any]]]]] = {}

    @classmethod
    def raw_files(cls, root: Path) -> list[Path]:
        return []

    def dialogues(self, split: str) -> Iterator[Dialogue]:
        empty = dict.fromkeys(("text", "audio_path", "video_path", "start", "end", "label", "audio_features"))
        for dialogue, spoken in self.spoken.get(split, {}).items():
            turns: Any = [{"utterance_id": str(i), "speaker": "Ann", **empty, **turn} for i, turn in enumerate(spoken)]
            yield Dialogue(dialogue_id=dialogue, utterances=turns)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "meld"
    folder.mkdir()
    for split, rows in (("train", "Hi.,Ann,joy,0,0\nHo.,Bob,fear,0,2\n"), ("dev", ""), ("test", "")):
        (folder / f"{split}_sent_emo.csv").write_text(HEADER + rows + "Hm.,Bob,joy,1,0\n")
    return folder


def prepared(builder: ErcBuilder) -> Any:
    builder.download_and_prepare()
    return builder.as_dataset()


def meld(root: Path) -> Meld:
    return Meld(data_dir=root, cache_dir=root.parent / "cache")


def tiny(folder: Path) -> Tiny:
    return Tiny(data_dir=folder, cache_dir=folder.parent / "cache")


def read_back(folder: Path) -> Any:
    return datasets.load_dataset(str(folder), cache_dir=str(folder.parent / "read"))


def write(builder: ErcBuilder, folder: Path, **options: Any) -> Any:
    write_dataset(builder, folder, command="by a test", **options)
    return read_back(folder)


def front_matter(folder: Path) -> Any:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_copy_reads_back_equal(root: Path) -> None:
    copy, original = write(meld(root), root.parent / "out"), prepared(meld(root))
    assert list(copy) == ["train", "dev", "test"]
    for split in original:
        assert copy[split].features == original[split].features
        assert list(copy[split]) == list(original[split])


@pytest.mark.skipif(not MELD.is_dir(), reason="the official MELD CSVs are not beside this checkout")
def test_copy_of_the_official_release_reads_back_equal(tmp_path: Path) -> None:
    builder = Meld(data_dir=MELD, cache_dir=tmp_path / "cache")
    copy, original = write(builder, tmp_path / "out"), prepared(builder)
    assert {split: rows.num_rows for split, rows in copy.items()} == {"train": 1038, "dev": 114, "test": 280}
    for split in original:
        assert copy[split].features == original[split].features
        assert list(copy[split]) == list(original[split])


def test_media_paths_are_relative_and_all_else_is_equal(root: Path) -> None:
    (root / "train_splits").mkdir()
    (root / "train_splits" / "dia0_utt2.mp4").write_bytes(b"")
    copy, original = write(meld(root), root.parent / "out"), prepared(meld(root))
    clip = {"audio_path": "train_splits/dia0_utt2.mp4", "video_path": "train_splits/dia0_utt2.mp4"}
    rows = list(original["train"])
    assert rows[0]["utterances"][1]["audio_path"] == str(root / clip["audio_path"])
    rows[0]["utterances"][1] |= clip
    assert list(copy["train"]) == rows
    assert copy["train"].features == original["train"].features
    assert "## Media\n\nNot included." in (root.parent / "out/README.md").read_text()


def test_copy_without_media_says_nothing_of_media(root: Path) -> None:
    write(meld(root), root.parent / "out")
    assert "## Media" not in (root.parent / "out/README.md").read_text()


def test_file_outside_the_corpus_is_named_without_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, elsewhere = tmp_path / "corpus", tmp_path / "elsewhere"
    corpus.mkdir()
    (elsewhere / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(corpus)
    spoken = {"audio_path": str(elsewhere / "inner/a.wav"), "video_path": str(tmp_path / "link/clips/b.mp4")}
    monkeypatch.setattr(Tiny, "spoken", {"train": {"d": [spoken]}})
    turn = write(tiny(corpus), tmp_path / "out")["train"][0]["utterances"][0]
    assert (turn["audio_path"], turn["video_path"]) == ("a.wav", "clips/b.mp4")


@pytest.mark.parametrize("options", [{}, {"media_dir": "there"}])
def test_media_of_a_table_are_named_from_where_its_paths_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / options.get("media_dir", "here")
    (tmp_path / "here").mkdir()
    for speaker in ("ann", "bo"):
        (folder / speaker).mkdir(parents=True)
        (folder / speaker / "1.wav").write_bytes(b"")
    table = tmp_path / "here/t.csv"
    table.write_text("dialogue_id,audio,label\na,ann/1.wav,x\na,bo/1.wav,x\n")
    copy = write(Table(table, tmp_path / "cache", **options), tmp_path / "out")
    assert [turn["audio_path"] for turn in copy["train"][0]["utterances"]] == ["ann/1.wav", "bo/1.wav"]


def test_folder_that_could_not_be_read_back_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match=r"out \[1\]: `load_dataset` takes"):
        write(meld(root), root.parent / "out [1]")
    assert not (root.parent / "out [1]").exists()


def test_no_file_of_the_copy_names_this_machine(root: Path) -> None:
    (root / "dev_splits_complete").mkdir()
    (root / "dev_splits_complete" / "dia1_utt0.mp4").write_bytes(b"")
    copy = write(meld(root), root.parent / "out")
    said = [str(list(rows)) for rows in copy.values()]
    said += [(root.parent / "out" / name).read_text() for name in ("README.md", MARKER)]
    assert not [text for text in said if str(root.parent) in text]


def test_features_and_nulls_read_back_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Context first and a missing vector first are what a list of a fixed width is easily lost on.
    turns = [{}, {"label": "a|b", "audio_features": [0.5, -1.0]}, {"label": "calm"}]
    many = {f"d{number}": [{"label": "calm", "audio_features": [float(number), 0.0]}] for number in range(600)}
    monkeypatch.setattr(Tiny, "spoken", {"train": {"first": turns, **many}, "test": {"e": [{}]}, "dev": {"f": [{}]}})
    (tmp_path / "raw").mkdir()
    copy, original = write(tiny(tmp_path / "raw"), tmp_path / "out"), prepared(tiny(tmp_path / "raw"))
    assert len(many) > 2 * ROWS_AT_ONCE
    for split in ("train", "dev", "test"):
        assert copy[split].features == original[split].features
        assert list(copy[split]) == list(original[split])
    assert [turn["label"] for turn in copy["train"][0]["utterances"]] == [None, 1, 0]


def test_split_without_dialogues_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tiny, "spoken", {"train": {"d": [{}]}, "test": {"e": [{}]}})
    (tmp_path / "raw").mkdir()
    assert list(write(tiny(tmp_path / "raw"), tmp_path / "out")) == ["train", "test"]
    monkeypatch.setattr(Tiny, "spoken", {})
    with pytest.raises(CorpusError, match=r"raw holds no dialogue"):
        write(tiny(tmp_path / "raw"), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_dialogue_id_that_comes_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tiny, "spoken", {"train": {"d": [{}]}, "test": {"d": [{}]}})
    (tmp_path / "raw").mkdir()
    with pytest.raises(CorpusError, match=r"dialogue 'd' of test is also in train"):
        write(tiny(tmp_path / "raw"), tmp_path / "out")


def test_folder_that_is_not_empty_is_refused(root: Path) -> None:
    out = root.parent / "out"
    out.mkdir()
    write(meld(root), out)
    with pytest.raises(FileExistsError, match=r"out is not empty: .*--overwrite"):
        write(meld(root), out)
    (root.parent / "file").write_text("")
    with pytest.raises(FileExistsError, match="file is a file"):
        write(meld(root), root.parent / "file", overwrite=True)


def test_strangers_folder_is_never_overwritten(root: Path) -> None:
    out = root.parent / "out"
    (out / "data").mkdir(parents=True)
    (out / "README.md").write_text("mine")
    (out / "data" / "train.parquet").write_text("mine")
    with pytest.raises(FileExistsError, match="was not written by this command"):
        write(meld(root), out, overwrite=True)
    assert {path.read_text() for path in out.rglob("*.*")} == {"mine"}


def test_overwriting_replaces_its_own_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raw").mkdir()
    out = tmp_path / "out"
    monkeypatch.setattr(Tiny, "spoken", {"train": {"d": [{}]}, "test": {"e": [{}]}})
    write(tiny(tmp_path / "raw"), out)
    (out / "notes.txt").write_text("mine")
    (out / "data" / "extra.parquet").write_text("mine")
    monkeypatch.setattr(Tiny, "spoken", {"train": {"new": [{}]}})
    assert write(tiny(tmp_path / "raw"), out, overwrite=True)["train"]["dialogue_id"][:] == ["new"]
    found = sorted(path.name for path in out.rglob("*") if path.is_file())
    assert found == [MARKER, "README.md", "extra.parquet", "notes.txt", written_files(out)[1].removeprefix("data/")]
    # Its own file under a name that the list of its files has lost is a stranger's.
    (out / MARKER).write_text(json.dumps({"files": []}))
    with pytest.raises(
        FileExistsError, match=r"holds README\.md, data/train-\w+\.parquet, not written by this command"
    ):
        write(tiny(tmp_path / "raw"), out, overwrite=True)


def test_copies_of_the_same_name_and_size_are_not_taken_for_one_another(root: Path) -> None:
    # `load_dataset` tells cached folders apart by their name and their card alone.
    texts = []
    for place, text in (("one", "Hi."), ("two", "Ho."), ("two", "Ha.")):
        path = root / "dev_sent_emo.csv"
        path.write_text(HEADER + f"{text},Bob,joy,1,0\n")
        out = root.parent / place / "out"
        write_dataset(meld(root), out, command="by a test", overwrite=True)
        copy: Any = datasets.load_dataset(str(out), cache_dir=str(root.parent / "read"))
        texts.append(copy["dev"][0]["utterances"][0]["text"])
    assert texts == ["Hi.", "Ho.", "Ha."]


def test_failed_writing_leaves_the_earlier_copy_and_no_rest(root: Path) -> None:
    out = root.parent / "out"
    write(meld(root), out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (root / "test_sent_emo.csv").write_text(HEADER + "Hm.,Bob,rage,1,0\n")
    with pytest.raises(CorpusError, match="'rage'"):
        write(meld(root), out, overwrite=True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert not list(root.parent.glob(".out*"))


def test_list_of_files_that_leads_out_of_the_folder_is_not_followed(root: Path) -> None:
    out, other = root.parent / "out", root.parent / "other.parquet"
    write(meld(root), out)
    other.write_text("mine")
    (out / "notes.txt").write_text("mine")
    names = ["../other.parquet", "data/../../other.parquet", str(other), "notes.txt", "README.md"]
    (out / MARKER).write_text(json.dumps({"files": [*names, *written_files(out)]}))
    write(meld(root), out, overwrite=True)
    assert other.read_text() == (out / "notes.txt").read_text() == "mine"


def test_card_tells_counts_labels_terms_and_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tiny, "LICENSE", "CC BY-NC 4.0, for those who ask")
    monkeypatch.setattr(Tiny, "HOMEPAGE", "https://example.org/tiny")
    turns = [{"text": "Hi."}, {"label": "a|b", "audio_features": [0.5, -1.0]}]
    monkeypatch.setattr(Tiny, "spoken", {"train": {"d": turns}, "test": {"e": [{"label": "calm"}]}})
    (tmp_path / "raw").mkdir()
    write(tiny(tmp_path / "raw"), tmp_path / "out")
    front = front_matter(tmp_path / "out")
    assert front["license"] == "cc-by-nc-4.0"
    assert front["task_categories"] == ["text-classification", "audio-classification"]
    files = [
        {"split": split, "path": path}
        for split, path in zip(("train", "test"), written_files(tmp_path / "out")[1:], strict=True)
    ]
    assert front["configs"] == [{"config_name": "default", "data_files": files}]
    card = (tmp_path / "out/README.md").read_text()
    for line in (
        "| index | label | shared emotion | train | test |",
        "| 0 | calm | - | 0 | 1 |",
        "| 1 | a\\|b | joy | 1 | 0 |",
        "|  | context only |  | 1 | 0 |",
        "|  | utterances |  | 2 | 1 |",
        "|  | dialogues |  | 1 | 1 |",
        "Terms of Tiny (https://example.org/tiny): CC BY-NC 4.0, for those who ask.",
        "```bash\nby a test\n```",
        source_hash(tiny(tmp_path / "raw"))[0],
    ):
        assert line in card
    assert "By modeling-erc " in card


def test_source_hash_follows_the_contents_and_not_the_place(root: Path) -> None:
    (root / "train_splits").mkdir()
    clip = root / "train_splits" / "dia0_utt0.mp4"
    clip.write_bytes(b"12345")
    other = root.parent / "other"
    shutil.copytree(root, other)
    os.utime(other / "dev_sent_emo.csv", (1, 1))
    assert source_hash(meld(root)) == source_hash(meld(other))
    assert source_hash(meld(root))[1] == 4
    (other / "train_splits" / "dia0_utt0.mp4").write_bytes(b"123456")
    assert source_hash(meld(root)) != source_hash(meld(other))
    (other / "train_splits" / "dia0_utt0.mp4").write_bytes(b"12345")
    table = other / "dev_sent_emo.csv"
    table.write_text(table.read_text().replace("Hm.", "Mh."))
    assert source_hash(meld(root)) != source_hash(meld(other))


@pytest.mark.parametrize(
    ("terms", "known"),
    [
        ("Apache-2.0, as this package, which writes it", "apache-2.0"),
        ("CC BY-NC-SA 4.0", "cc-by-nc-sa-4.0"),
        ("CC BY 4.0 (text only)", "cc-by-4.0"),
        ("GPL-3.0 for the annotations; the clips are of others", "other"),
        ("by signed agreement", "other"),
        ("unknown", "unknown"),
    ],
)
def test_only_a_licence_of_the_whole_gets_its_name(terms: str, known: str) -> None:
    assert license_id(terms) == known
