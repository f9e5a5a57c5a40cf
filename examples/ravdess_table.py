"""Writes RAVDESS speech as a table of one-utterance dialogues for `load_erc_dataset("table", ...)`.

    python examples/ravdess_table.py DATA_DIR OUT.csv

DATA_DIR is the folder of `Actor_01`, `Actor_02`, ... with their wav or flac files. Actors 1 to 12 are for training,
13 and 14 for dev, 15, 16 and any further ones for test. There is no text column, because all actors say the same two
sentences. The columns `valence` and `activation`, from -1 to 1, place the emotion as the circumplex of Russell 1980
does, half as far from the centre where it is spoken with normal intensity. They are our reading of it, not ratings.
"""

import argparse
import collections
import csv
import re
import sys
from pathlib import Path

# Modality 03 (sound only), channel 01 (speech), emotion, intensity, statement, repetition, actor.
NAME = re.compile(r"03-01-0([1-8])-0([12])-\d\d-\d\d-(\d\d)\.(wav|flac)")
# Valence and activation, in the order of the codes, 01 to 08.
EMOTIONS = {
    "neutral": (0.0, 0.0),
    "calm": (0.6, -0.8),
    "happy": (0.9, 0.4),
    "sad": (-0.9, -0.4),
    "angry": (-0.6, 0.8),
    "fearful": (-0.4, 0.9),
    "disgust": (-0.8, 0.4),
    "surprised": (0.3, 0.9),
}
SPLITS = {**dict.fromkeys(range(1, 13), "train"), 13: "dev", 14: "dev"}  # all others are for test


def rows(data_dir: Path) -> list[dict[str, str | float]]:
    """Returns one row per speech file, sorted by actor and name; files with other names are skipped."""
    table: list[dict[str, str | float]] = []
    for path in sorted(data_dir.glob("Actor_*/*")):
        match = NAME.fullmatch(path.name)
        if match:
            emotion = list(EMOTIONS)[int(match[1]) - 1]
            valence, activation = (coordinate * int(match[2]) / 2 for coordinate in EMOTIONS[emotion])
            table.append(
                {
                    "dialogue_id": path.stem,
                    "speaker": f"actor_{match[3]}",
                    "audio": str(path.absolute()),
                    "label": emotion,
                    "valence": valence,
                    "activation": activation,
                    "split": SPLITS.get(int(match[3]), "test"),
                }
            )
    return table


def main() -> None:
    """Writes the table and prints the number of rows of each split."""
    parser = argparse.ArgumentParser(description="Write a table of the RAVDESS speech files.")
    parser.add_argument("data_dir", type=Path, help="folder of Actor_01, Actor_02, ...")
    parser.add_argument("out", type=Path, help="CSV to write")
    arguments = parser.parse_args()
    table = rows(arguments.data_dir)
    if not table:
        sys.exit(f"no files like Actor_01/03-01-01-01-01-01-01.wav in {arguments.data_dir}")
    with arguments.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    counts = collections.Counter(row["split"] for row in table)
    print(f"{arguments.out}: {', '.join(f'{count} {split}' for split, count in counts.items())}")


if __name__ == "__main__":
    main()
