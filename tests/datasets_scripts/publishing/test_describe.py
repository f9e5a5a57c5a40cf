import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import IterableDataset

from datasets_scripts import dialogue_features, load_erc_dataset
from datasets_scripts.publishing.describe import describe, probe, report
from datasets_scripts.schema import VIDEO_COLUMNS

HEADER = "Utterance,Speaker,Emotion,Dialogue_ID,Utterance_ID\n"
MELD = Path(__file__).parents[3].parent / "shared/data/meld"
Splits = dict[str, list[list[dict[str, Any]]]]


def corpus(splits: Splits, sizes: dict[str, int] | None = None) -> dict[str, IterableDataset]:
    """A stream of dialogues given as lists of what their utterances have; dialogues are named train_0, train_1, ..."""
    features = dialogue_features(["calm", "glad"], sizes, VIDEO_COLUMNS)
    empty = {"speaker": "Ann", **dict.fromkeys(features["utterances"].feature)}

    def rows(split: str) -> Iterator[dict[str, Any]]:
        for number, turns in enumerate(splits[split]):
            spoken = [{**empty, "utterance_id": str(i), "speaker": "Ann", **turn} for i, turn in enumerate(turns)]
            yield {"dialogue_id": f"{split}_{number}", "utterances": spoken}

    return {split: IterableDataset.from_generator(rows, features, gen_kwargs={"split": split}) for split in splits}


def only(turns: list[dict[str, Any]], sizes: dict[str, int] | None = None) -> Any:
    """The facts of one dialogue."""
    return describe(corpus({"train": [turns]}, sizes))


def states(facts: Any) -> dict[str, Counter[str]]:
    """How often the clips of each media column are usable, missing or broken."""
    return {column: Counter(facts.splits["train"][column]) for column in ("audio_path", "video_path")}


def problems(facts: Any) -> list[str]:
    """The broken clips that the report names."""
    _, _, listed = report(facts).partition("broken media (opened, not decoded), the first:\n  ")
    return listed.split("\n  ") if listed else []


def test_counts_are_those_of_the_rows() -> None:
    turns: list[dict[str, Any]] = [{"label": 1, "text": "oh no no"}, {"label": None}, {"label": 1, "text": "hi"}]
    facts = describe(corpus({"train": [turns, turns[:1]] * 70, "dev": [turns[1:2]]}))
    train, dev = facts.splits["train"], facts.splits["dev"]
    assert (train["dialogue"].nunique(), len(train), train["label"].count()) == (140, 280, 210)
    assert (dev["dialogue"].nunique(), len(dev), dev["label"].count()) == (1, 1, 0)
    assert Counter(train["dialogue"].value_counts()) == {3: 70, 1: 70}
    assert Counter(train["words"].dropna()) == {3: 140, 1: 70}
    assert facts.label_counts() == {"train": {"calm": 0, "glad": 210}, "dev": {"calm": 0, "glad": 0}}
    assert report(facts).splitlines()[7].startswith("words an utterance *")
    assert list(describe(corpus({"train": [turns], "dev": []})).splits) == ["train"]
    assert " 1 / 3 / 3 " in report(facts).splitlines()[7]


def test_stream_and_prepared_copy_give_the_same_report(tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}_sent_emo.csv").write_text(
            HEADER + "Hi.,Ann,joy,0,0\nHo ho.,Bob,fear,0,2\nHm.,B,joy,1,0\n"
        )
    texts = [
        report(describe(load_erc_dataset("meld", tmp_path, cache_dir=tmp_path / "cache", streaming=streaming)))
        for streaming in (True, False)
    ]
    assert texts[0] == texts[1]
    assert "There are no audio and no video files." in texts[0]


def test_length_is_that_of_the_file_or_of_the_part_that_is_used(clips: dict[str, Path]) -> None:
    sound, video = str(clips["long.wav"]), str(clips["long.mp4"])
    turns: list[tuple[dict[str, Any], float | None]] = [
        ({"audio_path": sound}, 1.5),
        ({"audio_path": sound, "start": 0.25, "end": 1.0}, 0.75),
        ({"audio_path": sound, "start": 1.0, "end": 9.0}, 0.5),
        ({"audio_path": sound, "start": 0.5}, 1.0),
        ({"video_path": video}, 1.5),
        # The sound is a file of its own, the picture a part of a longer recording.
        ({"audio_path": str(clips["short.wav"]), "video_path": video, "video_start": 0.5, "video_end": 1.4}, 0.75),
        ({"video_path": video, "video_start": 0.5, "video_end": 1.4, "start": 0.0, "end": 0.1}, 0.9),
        ({"start": 2.0, "end": 5.0}, 3.0),
        ({"text": "no times, no media"}, None),
    ]
    for turn, seconds in turns:
        facts = only([turn])
        assert not problems(facts)
        assert facts.splits["train"]["seconds"].dropna().tolist() == pytest.approx(
            [] if seconds is None else [seconds], abs=0.08
        )
    facts = only([turn for turn, _ in turns])
    assert facts.splits["train"]["seconds"].sum() == pytest.approx(sum(seconds or 0 for _, seconds in turns), abs=0.2)
    assert "longest utterance\n  train: train_0/7, 3.0 s" in report(facts)


def test_missing_and_broken_media_are_told_apart_with_their_reasons(clips: dict[str, Path], tmp_path: Path) -> None:
    for name, content in {
        "text.mp4": b"not a video " * 50,
        "empty.wav": b"",
        "head.wav": clips["long.wav"].read_bytes()[:44],
        "cut.mp4": clips["long.mp4"].read_bytes()[:2000],
    }.items():
        (tmp_path / name).write_bytes(content)
    sound = str(clips["long.wav"])
    cases: list[tuple[dict[str, Any], str]] = [
        ({"audio_path": str(tmp_path / "text.mp4")}, "not media"),
        ({"audio_path": str(tmp_path / "empty.wav")}, "empty"),
        ({"audio_path": str(tmp_path / "head.wav")}, "0 s long"),
        ({"audio_path": str(tmp_path / "cut.mp4")}, "not media"),
        ({"audio_path": str(tmp_path)}, "no such file"),
        ({"audio_path": sound, "start": 1.5, "end": 2.0}, r"range 1\.5-2\.0 s lies past the end \(1\.5 s\)"),
        ({"audio_path": sound, "start": 1.0, "end": 1.0}, "is empty"),
        ({"audio_path": sound, "start": -1.0, "end": 1.0}, "starts before 0"),
        ({"audio_path": sound, "start": float("nan"), "end": 1.0}, "is empty"),
    ]
    for turn, reason in cases:
        facts = only([turn])
        assert states(facts)["audio_path"] == {"broken": 1}
        (said,) = problems(facts)
        assert said.startswith(f"train_0/0: {turn['audio_path']}: ")
        assert re.search(reason, said), said
    facts = only([{"video_path": sound}, {"audio_path": str(tmp_path / "gone.wav")}, {}, {"audio_path": sound}])
    assert problems(facts) == [f"train_0/0: {sound}: no video in it"]
    assert states(facts) == {
        "audio_path": {"missing": 3, "usable": 1},
        "video_path": {"missing": 3, "broken": 1},
    }
    gone = f"train_0/1: {tmp_path / 'gone.wav'}: no such file"
    assert facts.examples("audio_path", "missing") == ["train_0/0", gone, "train_0/2"]


def test_wrong_extension_is_no_fault(clips: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "sound.wav").write_bytes(clips["long.mp4"].read_bytes())
    (tmp_path / "sound.mp4").write_bytes(clips["long.wav"].read_bytes())
    for name in ("sound.wav", "sound.mp4"):
        clip: Any = probe(str(tmp_path / name))
        assert (clip.has_audio, clip.duration) == (True, pytest.approx(1.5, abs=0.08))


def test_a_broken_file_of_sound_and_picture_is_one_example(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x" * 99)
    path = str(tmp_path / "a.mp4")
    facts = only([{"audio_path": path, "video_path": path}])
    assert len(problems(facts)) == 1
    assert states(facts) == {"audio_path": {"broken": 1}, "video_path": {"broken": 1}}


def test_examples_are_few_and_counts_are_complete(tmp_path: Path) -> None:
    facts = only([{"audio_path": str(tmp_path / f"{number}.wav")} for number in range(30)])
    assert states(facts)["audio_path"]["missing"] == 30
    assert len(facts.examples("audio_path", "missing")) == 5


def test_every_file_is_opened_once(clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def remember(path: str) -> Any:
        opened.append(path)
        return probe(path)

    monkeypatch.setattr("datasets_scripts.publishing.describe.probe", remember)
    one, two = str(clips["long.mp4"]), str(clips["long.wav"])
    turns = [{"audio_path": one, "video_path": one}, {"audio_path": two}, {"audio_path": two}]
    describe(corpus({"train": [turns] * 100, "dev": [turns]}))
    assert sorted(opened) == sorted([one, two])


def test_features_are_checked_for_width_gaps_and_numbers() -> None:
    vectors: list[list[float] | None] = [[0.5, 1.0], [0.5, float("nan")], [float("inf"), 0.0], None]
    turns = [{"audio_features": vector, "text_features": [1.0]} for vector in vectors]
    facts = only(turns, {"text": 1, "audio": 2})
    train = facts.splits["train"]
    assert Counter(train["audio_features width"].dropna()) == {2: 3}
    assert Counter(train["text_features width"]) == {1: 4}
    assert ((~train["audio_features finite"]).sum(), (~train["text_features finite"]).sum()) == (2, 0)
    said = [line.split() for line in report(facts).splitlines()]
    at = said.index(["audio_features:", "width", "2"])
    assert said[at + 1 : at + 3] == [["missing", "1"], ["with", "NaN", "or", "infinity", "2"]]


def test_speakers_of_two_splits_are_counted_and_named() -> None:
    def say(*names: str) -> list[list[dict[str, Any]]]:
        return [[{"speaker": name, "label": 0} for name in names]]

    facts = describe(corpus({"train": say("A", "B", "C"), "dev": say("B", "C", "C", "D"), "test": say("E")}))
    text = report(facts)
    assert "  train and dev: 2 (C, B), who speak 75.0 % of dev\n" in text
    assert "  train and test: 0\n" in text
    assert "  dev and test: 0\n" in text
    assert "no speaker overlap" in report(describe(corpus({"train": say("A")})))


def test_columns_of_the_report_line_up(clips: dict[str, Path]) -> None:
    turns: list[dict[str, Any]] = [{"label": 0, "text": "a b"}, {"label": 1, "audio_path": str(clips["long.wav"])}]
    text = report(describe(corpus({"train": [turns] * 1200, "dev": [turns], "test": [turns[:1]]})))
    tables = [part.splitlines() for part in text.split("\n\n")[:2]]
    tables[0].remove("* min / median / max")
    for lines in tables:
        assert len({len(line) for line in lines}) == 1
    assert [line.split() for line in tables[1]] == [
        ["label", "train", "dev", "test"],
        ["calm", "1,200", "50.0", "%", "1", "50.0", "%", "1", "100.0", "%"],
        ["glad", "1,200", "50.0", "%", "1", "50.0", "%", "0", "0.0", "%"],
    ]
    assert ["hours", "0.50", "0.00", "0.00"] in [line.split() for line in tables[0]]
    assert ["audio:", "usable", "1,200", "1", "0"] in [line.split() for line in tables[0]]


@pytest.mark.skipif(not MELD.is_dir(), reason="the official MELD CSVs are not beside this checkout")
def test_official_release_is_counted_in_one_pass(tmp_path: Path) -> None:
    facts = describe(load_erc_dataset("meld", MELD, streaming=True))
    assert {split: (turns["dialogue"].nunique(), len(turns)) for split, turns in facts.splits.items()} == {
        "train": (1038, 9989),
        "dev": (114, 1109),
        "test": (280, 2610),
    }
    # neutral, surprise, fear, sadness, joy, disgust, anger
    assert list(facts.label_counts()["dev"].values()) == [470, 150, 40, 111, 163, 22, 153]
