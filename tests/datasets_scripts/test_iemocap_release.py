"""A tree with the size, the label counts and the known oddities of the official IEMOCAP release."""

import collections
import itertools
import logging
from pathlib import Path
from typing import Any

import pytest

from datasets_scripts.iemocap import EXPECTED_COUNTS, Iemocap
from datasets_scripts.iemocap_files import RAW_LABELS

DIALOGUES = {1: 28, 2: 30, 3: 32, 4: 30, 5: 31}
# Turns without a majority that a rater called happy, as a second emotion.
TIED = 53


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("iemocap")
    root = folder / "IEMOCAP_full_release"
    names = [f"Ses0{session}F_impro{n:02d}" for session, count in DIALOGUES.items() for n in range(count)]
    raw = [label for label in RAW_LABELS for _ in range(EXPECTED_COUNTS[label])]
    # Spread over the dialogues, so that every dialogue has several labels.
    labels: dict[str, list[str]] = {name: raw[n :: len(names)] for n, name in enumerate(names)}
    tied = itertools.count()
    listed = []
    for name, values in labels.items():
        dialog = root / f"Session{name[4]}" / "dialog"
        lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
        words = ["M: Yeah.", f"{name}_MXX0: [LAUGHTER]", f"{name}_FXX3 [000.1000-000.2000]: Mhm."]
        for number, label in enumerate(values):
            turn = f"{name}_{'FM'[number % 2]}{number:03d}"
            happy = label == "xxx" and next(tied) < TIED
            if happy or label in ("hap", "sad", "neu", "ang", "exc", "fru"):
                listed.append(turn)
            lines += [
                f"[{number:.4f} - {number + 1:.4f}]\t{turn}\t{label}\t[2.5000, 2.5000, 2.5000]",
                f"C-E2:\tNeutral state{'; Happiness' * happy};\t(not happy)",
                "A-E3:\tval 3; act 2; dom  2;\t()",
                "",
            ]
            words.append(f"{turn} [{number:08.4f}-{number + 1:08.4f}]: I\u2019m fine\u2026")
        words += [f"{name}_FXX3 [000.5000-000.6000]: Other words.", "F: Oh.", f"{name}_MXX1 [broken"]
        for kind, text in (("EmoEvaluation", lines), ("transcriptions", words)):
            (dialog / kind).mkdir(parents=True, exist_ok=True)
            (dialog / kind / f"{name}.txt").write_bytes("\r\n".join(text).encode("cp1252"))
            (dialog / kind / f"._{name}.txt").write_bytes(b"\x00\x05\x16\x07")
    (folder / "community.txt").write_text("\n".join(listed))
    return folder


def classes(root: Path, **options: Any) -> collections.Counter[str]:
    builder = Iemocap(data_dir=root, **options)
    names = builder.label_set.names
    splits = builder.as_streaming_dataset()
    return collections.Counter(
        names[turn["label"]] for rows in splits.values() for row in rows for turn in row["utterances"]
    )


def test_official_tree_has_the_published_counts(release: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="datasets_scripts"):
        six, four = classes(release), classes(release, setting="4way")
    assert six == {"frustrated": 1849, "neutral": 1708, "angry": 1103, "sad": 1084, "excited": 1041, "happy": 595}
    assert (six.total(), four.total()) == (7380, 5531)
    assert "is not the full release" not in caplog.text
    # The second FXX3 and the broken MXX1 of each of the 151 dialogues, once in this process.
    assert caplog.text.count("302 repeated or malformed lines of IEMOCAP that change no labelled turn") == 1


def test_list_of_the_community_gives_its_set(release: Path) -> None:
    counts = classes(release, turn_list=str(release / "community.txt"))
    assert (counts.total(), counts["happy"]) == (7433, 648)
