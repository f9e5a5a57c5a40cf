import csv
import subprocess
import sys
from pathlib import Path

import pytest

from datasets_scripts.table import Table

REPOSITORY = Path(__file__).parents[2]
RAVDESS = REPOSITORY.parent / "shared" / "data" / "ravdess_speech_16k"


def run(data_dir: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "examples" / "ravdess_table.py"), str(data_dir), str(out)]
    return subprocess.run(command, capture_output=True, text=True)


def test_speech_files_become_rows_and_other_files_do_not(tmp_path: Path) -> None:
    names = {
        "Actor_01/03-01-05-02-01-02-01.wav": ("angry", "actor_01", "train", -0.6, 0.8),
        "Actor_13/03-01-02-01-02-01-13.flac": ("calm", "actor_13", "dev", 0.3, -0.4),
        "Actor_16/03-01-08-01-02-01-16.wav": ("surprised", "actor_16", "test", 0.15, 0.45),
        "Actor_01/._03-01-05-02-01-02-01.wav": None,
        "Actor_01/03-02-05-02-01-02-01.wav": None,
        "Actor_17/03-01-05-02-01-02-17.wav": ("angry", "actor_17", "test", -0.6, 0.8),
    }
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    shown = run(tmp_path, tmp_path / "out.csv")
    assert shown.stdout == f"{tmp_path / 'out.csv'}: 1 train, 1 dev, 2 test\n"
    with (tmp_path / "out.csv").open(newline="") as file:
        found = {
            row["audio"]: (
                *(row[name] for name in ("label", "speaker", "split")),
                *(float(row[name]) for name in ("valence", "activation")),
            )
            for row in csv.DictReader(file)
        }
    assert found == {str(tmp_path / name): values for name, values in names.items() if values}


def test_folder_without_speech_files_ends_with_a_message_and_no_table(tmp_path: Path) -> None:
    shown = run(tmp_path, tmp_path / "out.csv")
    assert shown.returncode == 1
    assert shown.stderr == f"no files like Actor_01/03-01-01-01-01-01-01.wav in {tmp_path}\n"
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.skipif(not RAVDESS.is_dir(), reason="the RAVDESS speech files are not beside this checkout")
def test_ravdess_loads_as_one_utterance_dialogues(tmp_path: Path) -> None:
    run(RAVDESS, tmp_path / "ravdess.csv")
    splits = Table(data_dir=tmp_path / "ravdess.csv", cache_dir=tmp_path / "cache").as_streaming_dataset()
    rows = {split: list(data) for split, data in splits.items()}
    assert {split: len(dialogues) for split, dialogues in rows.items()} == {"train": 720, "dev": 120, "test": 120}
    turns = [turn for dialogues in rows.values() for row in dialogues for turn in row["utterances"]]
    assert len(turns) == 960
    assert all(turn["audio_path"] and turn["text"] is None and turn["label"] is not None for turn in turns)
    assert len({turn["label"] for turn in turns}) == 8
