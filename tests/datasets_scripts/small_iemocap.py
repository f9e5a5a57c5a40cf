"""A small IEMOCAP in the layout of the release, and its rows as the builder reads them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets_scripts.iemocap import Iemocap

# Name without the dialogue's, start, end, raw label, words.
Turn = tuple[str, float, float, str, str]


DIALOGUES: dict[str, list[Turn]] = {
    # The woman wears the markers. Not in the order of time, two at once.
    "Ses01F_impro01": [
        ("M000", 1.0, 2.0, "fru", "No."),
        ("F001", 2.25, 3.0, "xxx", "Well."),
        ("F000", 0.0, 1.0, "neu", "I\u2019m here."),
        ("F002", 1.0, 1.5, "hap", "Oh."),
    ],
    "Ses02M_script01_1": [("M000", 0.5, 1.5, "exc", "Great!")],
    "Ses03F_impro02": [("F000", 0.5, 1.5, "xxx", "Hm."), ("M000", 1.5, 2.5, "oth", "Hm?")],
    "Ses04M_impro03": [("M000", 0.5, 1.5, "sad", "Gone."), ("F000", 2.0, 2.5, "fru", "Gone?")],
    # The man wears the markers.
    "Ses05M_script01_1b": [("F000", 0.5, 1.5, "ang", "Out!"), ("M000", 1.5, 2.5, "sur", "What?")],
}


OTHERS = (
    "M: Yeah.\n"
    "Ses01F_impro01_FXX0 [000.5000-000.7500]: [LAUGHTER]\n"
    "Ses01F_impro01_MXX0: Mhm.\n"
)  # fmt: skip


def write_dialogue(root: Path, name: str, turns: list[Turn], others: str = "") -> None:
    """The label file and the transcript of a dialogue."""
    dialog = root / f"Session{name[4]}" / "dialog"
    labels = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n" + "".join(
        f"[{start:.4f} - {end:.4f}]\t{name}_{turn}\t{label}\t[2.5000, 2.5000, 2.5000]\nC-E2:\tNeutral;\t()\n\n"
        for turn, start, end, label, _ in turns
    )
    transcript = others + "".join(
        f"{name}_{turn} [{start:08.4f}-{end:08.4f}]: {words}\n" for turn, start, end, _, words in turns
    )
    for folder, text in (("EmoEvaluation", labels), ("transcriptions", transcript)):
        (dialog / folder).mkdir(parents=True, exist_ok=True)
        (dialog / folder / f"{name}.txt").write_text(text, encoding="utf-8")


def write_empty(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def label_file(root: Path, name: str) -> Path:
    return root / f"Session{name[4]}" / "dialog" / "EmoEvaluation" / f"{name}.txt"


def wav_of(root: Path, turn: str) -> Path:
    return root / f"Session{turn[4]}" / "sentences" / "wav" / turn.rsplit("_", 1)[0] / f"{turn}.wav"


def write_release(folder: Path) -> Path:
    for name, turns in DIALOGUES.items():
        write_dialogue(folder, name, turns, OTHERS if name == "Ses01F_impro01" else "")
    return folder


def load(root: Path, **options: Any) -> Any:
    builder = Iemocap(data_dir=root, cache_dir=root.parent / "cache", **{"dev_dialogues": 1, **options})
    builder.download_and_prepare()
    return builder.as_dataset()


def stream(root: Path, **options: Any) -> Any:
    return Iemocap(data_dir=root, **{"dev_dialogues": 1, **options}).as_streaming_dataset()


def all_rows(splits: Any) -> Iterator[dict[str, Any]]:
    for rows in splits.values():
        yield from rows


def turns(root: Path, **options: Any) -> dict[str, dict[str, Any]]:
    """Utterances of all splits by id, in the order in which the rows have them."""
    return {
        turn["utterance_id"]: turn for row in all_rows(stream(root, **options)) for turn in row["utterances"]
    }  # fmt: skip
