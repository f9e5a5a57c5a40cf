from pathlib import Path

import datasets
import pytest

from modeling_erc.training.arguments import ErcArgumentParser
from modeling_erc.training.clips_by_speaker import SIZE, clips_by_speaker
from modeling_erc.training.data import load_splits
from modeling_erc.training.folds import fold_groups


def clips(speakers: dict[str, str]) -> datasets.Dataset:
    """Dialogues by id, each with its speakers as letters."""
    rows = [
        {
            "dialogue_id": name,
            "utterances": [{"utterance_id": str(place), "speaker": who} for place, who in enumerate(letters)],
        }
        for name, letters in speakers.items()
    ]
    split = datasets.Dataset.from_list(rows)
    split.info.description = "dev was drawn"
    return split


def content(split: datasets.Dataset) -> dict[str, list[str]]:
    return {row["dialogue_id"]: [u["utterance_id"] for u in row["utterances"]] for row in split}


def test_clips_of_a_speaker_come_together_and_conversations_stay() -> None:
    joined = clips_by_speaker("dev", clips({"c1": "a", "talk": "ab", "c2": "b", "c3": "a"}))
    found = content(joined)
    assert {name: sorted(ids) for name, ids in found.items()} == {
        "talk": ["0", "1"],
        "dev_a_0": ["c1", "c3"],
        "dev_b_0": ["c2"],
    }
    assert joined.info.description == "dev was drawn"


def test_clips_without_a_speaker_stay_alone() -> None:
    split = datasets.Dataset.from_list(
        [{"dialogue_id": name, "utterances": [{"utterance_id": "0", "speaker": ""}]} for name in "xy"]
    )
    assert content(clips_by_speaker("train", split)) == {"x": ["0"], "y": ["0"]}


def test_many_clips_are_mixed_into_dialogues_of_similar_size() -> None:
    # Sorted by emotion, as files usually are.
    split = clips({f"{place:03}": "a" for place in range(4 * SIZE + 1)})
    found = content(clips_by_speaker("train", split))
    sizes = sorted(map(len, found.values()))
    assert len(sizes) == 5 and sizes[-1] - sizes[0] <= 1 and sizes[-1] <= SIZE
    assert sorted(name for ids in found.values() for name in ids) == sorted(split["dialogue_id"])
    assert all(max(map(int, ids)) - min(map(int, ids)) > 2 * SIZE for ids in found.values())
    assert content(clips_by_speaker("train", split)) == found


def test_each_speaker_has_an_order_of_its_own() -> None:
    # The same names for every speaker, as in RAVDESS: groups of equal emotions would repeat in all splits.
    found = content(clips_by_speaker("train", clips({f"{place:02}{who}": who for who in "ab" for place in range(40)})))
    first, second = ([name[:2] for name in found[f"train_{who}_0"]] for who in "ab")
    assert first != second


def test_a_name_that_is_taken_is_not_given_twice() -> None:
    found = content(clips_by_speaker("dev", clips({"dev_a_0": "ab", "c1": "a", "c2": "a"})))
    assert {name: sorted(ids) for name, ids in found.items()} == {"dev_a_0": ["0", "1"], "dev_a_1": ["c1", "c2"]}


def table(folder: Path) -> Path:
    lines = [f"c{place}.wav,{('joy', 'anger')[place % 2]},p{place % 6}" for place in range(36)]
    path = folder / "clips.csv"
    path.write_text("\n".join(["path,label,speaker", *lines]) + "\n", encoding="utf-8")
    for place in range(36):
        (folder / f"c{place}.wav").write_bytes(b"")
    return path


def test_a_list_of_clips_in_any_order_has_folds_of_speakers(tmp_path: Path) -> None:
    options = ["--dataset", "table", "--data_dir", str(table(tmp_path)), "--context", "none", "--clips_by_speaker"]
    options += ["--modalities", "audio", "--centered_modalities", "audio"]
    _, data, training, _ = ErcArgumentParser().parse([*options, "--output_dir", str(tmp_path)], default_config="demo")
    splits = load_splits(data, training.seed)
    speakers = {name: [{u["speaker"] for u in row["utterances"]} for row in split] for name, split in splits.items()}
    assert all(len(who) == 1 for split in speakers.values() for who in split)
    drawn = [set.union(*split) for split in speakers.values()]
    assert len(set.union(*drawn)) == 6 and sum(map(len, drawn)) == 6
    known = datasets.concatenate_datasets([splits["train"], splits["dev"]])
    assert len(fold_groups(known, "speaker")) == len(drawn[0]) + len(drawn[1])


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("--context gru", "--context none"),
        ("--text_past 4", "--text_past 0"),
        ("--text_context dialogue", "--text_context neighbours"),
        ("--centered_modalities=", "--clips_by_speaker false"),
    ],
)
def test_what_would_read_clips_as_a_conversation_is_refused(words: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        ErcArgumentParser().parse(["ravdess_audio", *words.split()], default_config="demo")


def test_a_table_without_speakers_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = table(tmp_path)
    path.write_text("path,label\n" + "".join(f"c{place}.wav,{('joy', 'anger')[place % 2]}\n" for place in range(36)))
    _, data, training, _ = ErcArgumentParser().parse(["ravdess_audio", "--data_dir", str(path)], default_config="demo")
    assert {len(u) for split in load_splits(data, training.seed).values() for u in split["utterances"]} == {1}
    assert "clips_by_speaker joins nothing" in caplog.text
