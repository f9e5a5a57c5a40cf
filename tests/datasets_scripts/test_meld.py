import collections
import csv
import logging
from pathlib import Path
from typing import Any

import pytest

from datasets_scripts import CorpusError, label_names
from datasets_scripts.meld import Meld
from datasets_scripts.text_normalization import normalize_text

COLUMNS = ["Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "StartTime"]
# Out of order, with a gap in the ids, with the ids of another split.
ROWS = [
    ("I\u2019m fine\u2026", "Ann", "joy", 0, 3),
    ("Hi.", "Bob", "neutral", 0, 0),
    ("\u201cNo\u201d", "Bob", "anger", 2, 1),
]
MELD = Path(__file__).parents[2] / "../shared/data/meld"


def write_csv(path: Path, rows: list[tuple[Any, ...]], encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file)  # writes CRLF, as the official files do
        writer.writerow(COLUMNS)
        for text, speaker, emotion, dialogue, number in rows:
            writer.writerow([1, text, speaker, emotion, "neutral", dialogue, number, "00:16:16,059"])


def write_clips(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split in ("train", "dev", "test"):
        write_csv(tmp_path / "meld" / f"{split}_sent_emo.csv", ROWS)
    return tmp_path / "meld"


def load(root: Path, **options: Any) -> Any:
    builder = Meld(data_dir=root, cache_dir=root.parent / "cache", **options)
    builder.download_and_prepare()
    return builder.as_dataset()


def turns(root: Path, split: str = "train", **options: Any) -> dict[str, dict[str, Any]]:
    return {
        f"{row['dialogue_id']}/{turn['utterance_id']}": turn
        for row in load(root, **options)[split]
        for turn in row["utterances"]
    }


def test_one_row_is_one_dialogue_ordered_by_utterance_id(root: Path) -> None:
    splits = load(root)
    assert list(splits) == ["train", "dev", "test"]
    assert splits["dev"]["dialogue_id"][:] == ["dev_0", "dev_2"]
    names = label_names(splits)
    first = splits["train"][0]["utterances"]
    assert [(turn["utterance_id"], turn["speaker"], names[turn["label"]]) for turn in first] == [
        ("0", "Bob", "neutral"),
        ("3", "Ann", "joy"),
    ]


def test_times_in_the_episode_are_not_taken_for_times_in_the_clip(root: Path) -> None:
    assert {(turn["start"], turn["end"]) for turn in turns(root).values()} == {(None, None)}


def test_clips_are_found_by_name_and_other_files_are_none(root: Path) -> None:
    write_clips(root / "train_splits", "dia0_utt3.mp4", "._dia0_utt0.mp4", "final_videos_testdia2_utt1.mp4")
    rows = turns(root)
    clip = str(root / "train_splits" / "dia0_utt3.mp4")
    assert {key: turn["video_path"] for key, turn in rows.items()} == {
        "train_0/0": None,
        "train_0/3": clip,
        "train_2/1": None,
    }
    assert all(turn["audio_path"] == turn["video_path"] for turn in rows.values())


def test_extracted_wav_files_are_the_audio(root: Path) -> None:
    folder = root / "train_splits"
    write_clips(folder, "dia0_utt0.wav", "dia0_utt3.wav", "dia0_utt3.mp4", "dia2_utt1.mp4", "._dia2_utt1.wav")
    wanted = {
        "train_0/0": ("dia0_utt0.wav", None),
        "train_0/3": ("dia0_utt3.wav", "dia0_utt3.mp4"),
        "train_2/1": ("dia2_utt1.mp4", "dia2_utt1.mp4"),
    }
    found = {key: (turn["audio_path"], turn["video_path"]) for key, turn in turns(root).items()}
    assert found == {key: tuple(name and str(folder / name) for name in names) for key, names in wanted.items()}
    assert folder / "dia0_utt0.wav" in Meld.raw_files(root)


def test_links_that_lead_nowhere_and_folders_are_no_clips(root: Path) -> None:
    clips = root / "train_splits"
    write_clips(clips, "dia0_utt3.mp4")
    (clips / "dia0_utt0.mp4").symlink_to(clips / "dia0_utt0.mp4")
    (clips / "dia2_utt1.mp4").symlink_to(clips / "nowhere.mp4")
    (clips / "dia2_utt2.mp4").mkdir()
    (root / "dev_splits_complete").symlink_to(root / "dev_splits_complete")
    assert [key for key, turn in turns(root).items() if turn["video_path"]] == ["train_0/3"]


@pytest.mark.parametrize(
    ("split", "folder"),
    [("train", "train_splits"), ("dev", "dev_splits_complete"), ("test", "output_repeated_splits_test")],
)
def test_nesting_of_the_release_is_found(root: Path, split: str, folder: str) -> None:
    (root / split).mkdir()
    (root / f"{split}_sent_emo.csv").rename(root / split / f"{split}_sent_emo.csv")
    write_clips(root / split / folder, "dia2_utt1.mp4")
    assert turns(root, split)[f"{split}_2/1"]["audio_path"] == str(root / split / folder / "dia2_utt1.mp4")


def test_byte_order_mark_and_crlf_leave_no_trace(root: Path) -> None:
    path = root / "train_sent_emo.csv"
    lines = path.read_bytes().replace(b"Sr No.,Utterance,", b"Utterance,Sr No.,")
    path.write_bytes(b"\xef\xbb\xbf" + lines.replace(b"1,Hi.,", b"Hi.,1,"))
    assert turns(root)["train_0/0"]["text"] == "Hi."


def test_text_normalization_is_a_setting(root: Path) -> None:
    assert turns(root)["train_0/3"]["text"] == "I'm fine..."
    assert turns(root, normalize_text=False)["train_0/3"]["text"] == "I\u2019m fine\u2026"


def test_utterance_without_words_has_null_text(root: Path) -> None:
    write_csv(root / "train_sent_emo.csv", [("", "Ann", "joy", 0, 0)])
    assert turns(root)["train_0/0"]["text"] is None


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("You must\u2019ve", "You must've"),
        ("You must\x92ve \x93had\x94\x85", 'You must\'ve "had"...'),
        ("You must\u00e2\u20ac\u2122ve", "You must've"),
        ("You must\u00e2\x80\x99ve", "You must've"),
        ("\u00e2\u20ac\u0153had\u00e2\u20ac\x9d", '"had"'),
        ("caf\u00c3\u00a9\u00c2\u00a0noir", "caf\u00e9 noir"),
        ("\u201cCAF\u00c9\u201d, fianc\u00e9\u2019s", '"CAF\u00c9", fianc\u00e9\'s'),
        ("no \u2014  wait \u2013 what", "no -- wait - what"),
        (' plain ascii, it\'s "fine" ', 'plain ascii, it\'s "fine"'),
    ],
)
def test_accidents_of_encoding_and_typography_are_undone(raw: str, clean: str) -> None:
    assert normalize_text(raw) == clean
    assert normalize_text(clean) == clean


def test_missing_table_is_named_with_what_the_folder_holds(root: Path) -> None:
    (root / "dev_sent_emo.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"needs dev_sent_emo\.csv .*test_sent_emo\.csv, train_sent_emo\.csv"):
        load(root)


def test_missing_column_is_named_with_the_columns_found(root: Path) -> None:
    path = root / "test_sent_emo.csv"
    path.write_bytes(path.read_bytes().replace(b"Emotion", b"Feeling"))
    with pytest.raises(CorpusError, match=r"test_sent_emo\.csv: no column Emotion; found .*Feeling.*needed .*Speaker"):
        load(root)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("Hm.", "Ann", "rage", 5, 0), "Emotion 'rage' is none of neutral, surprise, .*anger"),
        (("Hm.", "Ann", "joy", 2, 1), "Dialogue_ID 2, Utterance_ID 1 stands in row 4 already"),
        (("Hm.", "Ann", "joy", 5, "x"), "Dialogue_ID '5', Utterance_ID 'x'.* whole numbers"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_bad_row_is_refused_with_file_row_and_value(
    root: Path, row: tuple[Any, ...], message: str, streaming: bool
) -> None:
    write_csv(root / "dev_sent_emo.csv", [*ROWS, row])
    read = (lambda: list(Meld(root, root.parent).as_streaming_dataset()["dev"])) if streaming else (lambda: load(root))
    with pytest.raises(CorpusError, match=rf"dev_sent_emo\.csv, row 5: {message}"):
        read()


def test_other_spellings_of_emotions_and_ids_are_read(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [("Hi.", "Ann", "Neutral", "0.0", "0.0"), ("Ho.", "Bob", "JOY ", "0.0", " 1.0"), ("Hm.", "Ann", "n/a", 0, 2)]
    write_csv(root / "train_sent_emo.csv", rows)
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        assert [(name, turn["label"]) for name, turn in turns(root).items()] == [
            ("train_0/0", 0),
            ("train_0/1", 4),
            ("train_0/2", None),
        ]
    assert "1 have no label (train_0/2)" in caplog.text


def test_file_cut_off_inside_a_row_is_refused(root: Path) -> None:
    path = root / "train_sent_emo.csv"
    path.write_bytes(path.read_bytes() + b"4,Hm.,Ann\r\n")
    with pytest.raises(CorpusError, match=r"train_sent_emo\.csv, row 5 ends before Emotion, .*Dialogue_ID"):
        load(root)


def test_comma_without_quotation_marks_is_refused(root: Path) -> None:
    path = root / "train_sent_emo.csv"
    path.write_bytes(path.read_bytes() + b"4,Well, no.,Ann,joy,neutral,5,0,00:16:16\r\n")
    with pytest.raises(CorpusError, match=r"train_sent_emo\.csv, row 5 has more cells than the header"):
        load(root)


def test_column_that_occurs_twice_is_refused(root: Path) -> None:
    path = root / "dev_sent_emo.csv"
    path.write_bytes(path.read_bytes().replace(b"Sentiment", b"Emotion"))
    with pytest.raises(CorpusError, match=r"dev_sent_emo\.csv: two columns are called Emotion"):
        load(root)


def test_dialogue_that_comes_back_is_refused_with_both_rows(root: Path) -> None:
    write_csv(root / "test_sent_emo.csv", [*ROWS, ("Hm.", "Ann", "joy", 0, 1)])
    with pytest.raises(CorpusError, match=r"row 5: dialogue 0 comes back after it ended in row 3; .* sort the file"):
        load(root)


def test_stream_yields_a_dialogue_before_the_next_one_is_read(root: Path) -> None:
    write_csv(root / "train_sent_emo.csv", [*ROWS, ("Hm.", "Ann", "rage", 5, 0)])
    rows = iter(Meld(root, root.parent).as_streaming_dataset()["train"])
    assert next(rows)["dialogue_id"] == "train_0"
    with pytest.raises(CorpusError, match="row 5"):
        list(rows)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_copies_in_other_encodings_and_delimiters_give_the_same_rows(root: Path, encoding: str, delimiter: str) -> None:
    expected = list(load(root)["dev"])
    path = root / "dev_sent_emo.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    path.unlink()
    path = path.with_suffix(".tsv" if delimiter == "\t" else ".csv")
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    assert list(load(root)["dev"]) == expected


def test_translated_copy_with_other_column_spellings_is_read(root: Path) -> None:
    text = "utterance,SPEAKER,emotion,Dialogue ID,Utterance_Id\n\u4f60\u597d\uff0c\u5f88\u9ad8\u5174,\u5b89,joy,0,0\n"
    (root / "train_sent_emo.csv").write_bytes(text.encode("gb18030"))
    turn = turns(root)["train_0/0"]
    assert (turn["text"], turn["speaker"]) == ("\u4f60\u597d\uff0c\u5f88\u9ad8\u5174", "\u5b89")


def test_empty_table_is_refused(root: Path) -> None:
    write_csv(root / "train_sent_emo.csv", [])
    with pytest.raises(CorpusError, match=r"train_sent_emo\.csv has a header and no rows"):
        load(root)


@pytest.mark.skipif(not MELD.is_dir(), reason="the official MELD CSVs are not beside this checkout")
def test_official_release_has_the_published_counts(tmp_path: Path) -> None:
    splits = Meld(data_dir=MELD, cache_dir=tmp_path)
    splits.download_and_prepare()
    data = splits.as_dataset()
    counts = {
        split: (
            len(rows),
            sum(len(row["utterances"]) for row in rows),
            [collections.Counter(turn["label"] for row in rows for turn in row["utterances"])[i] for i in range(7)],
        )
        for split, rows in data.items()
    }
    # neutral, surprise, fear, sadness, joy, disgust, anger
    assert counts == {
        "train": (1038, 9989, [4710, 1205, 268, 683, 1743, 271, 1109]),
        "dev": (114, 1109, [470, 150, 40, 111, 163, 22, 153]),
        "test": (280, 2610, [1256, 281, 50, 208, 402, 68, 345]),
    }
    texts = [turn["text"] for rows in data.values() for row in rows for turn in row["utterances"]]
    assert {char for text in texts for char in text if not char.isascii()} == {"\u00e9", "\u00f3"}
