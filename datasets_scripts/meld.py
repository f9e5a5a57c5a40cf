"""MELD (Poria et al. 2019): dialogues of a television series, official CSVs and, where they are there, the clips."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import datasets

from .builder import CorpusError, ErcBuilder
from .csv_rows import Row, group_rows, index_rows, read_csv, whole_numbers
from .labels import LABEL_SETS, LabelSet
from .schema import Dialogue, Utterance
from .split_files import files_in, find_split_files
from .text_normalization import normalize_text

COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
CLIP_FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
# The whole name has to match: the release also holds `._dia0_utt0.mp4` and `final_videos_testdia0_utt0.mp4`.
CLIP_NAME = re.compile(r"dia(\d+)_utt(\d+)")


@dataclass
class MeldConfig(datasets.BuilderConfig):
    """Options of MELD.

    Args:
        normalize_text: undo encoding accidents and curly punctuation in what is said and who says it.
    """

    normalize_text: bool = True


class Meld(ErcBuilder):
    """MELD as released: three CSVs and up to three folders of clips, unpacked flat or into one folder a split.

    ```
    root/train_sent_emo.csv   root/train_splits/dia0_utt0.mp4            or under root/train/
    root/dev_sent_emo.csv     root/dev_splits_complete/...               or under root/dev/
    root/test_sent_emo.csv    root/output_repeated_splits_test/...       or under root/test/
    ```

    A clip is one utterance, so `start` and `end` are None; the CSV's StartTime and EndTime are times in the episode.

    Raises:
        FileNotFoundError: where one of the CSVs is missing.
        CorpusError: where a CSV lacks a column, a row has an unknown emotion, a broken id or an id taken before, or the
            rows of a dialogue do not stand together.
    """

    BUILDER_CONFIG_CLASS = MeldConfig
    HOMEPAGE: ClassVar[str] = "https://github.com/declare-lab/MELD"
    LICENSE: ClassVar[str] = "GPL-3.0 for the annotations; the clips are of a television series, whose owners hold them"
    # One file carries both picture and sound.
    GAPS: ClassVar[dict[str, str]] = {"text": "text", "video_path": "clip"}

    @property
    def label_set(self) -> LabelSet:
        """The seven emotions of MELD."""
        return LABEL_SETS["meld"]

    @classmethod
    def raw_files(cls, root: Path) -> list[Path]:
        """The three CSVs and every clip."""
        clips = (clip for split in cls.SPLITS for clip in find_clips(root, split).values())
        return [*find_tables(root).values(), *clips]

    def dialogues(self, split: str) -> Iterator[Dialogue]:
        """Dialogues of a split in the order of the CSV, utterances in the order of their ids."""
        clean: Callable[[str], str] = normalize_text if self.config.normalize_text else str
        clips = find_clips(self.root, split)
        for dialogue, rows in read_dialogues(find_tables(self.root)[split], self.label_set):
            utterances = [
                to_utterance(number, rows[number].cells, clips.get((dialogue, number)), clean)
                for number in sorted(rows)
            ]
            yield Dialogue(dialogue_id=f"{split}_{dialogue}", utterances=utterances)


def find_tables(root: Path) -> dict[str, Path]:
    """The CSV of each split."""
    names = {split: f"{split}_sent_emo.csv" for split in CLIP_FOLDERS}
    candidates = {split: [name, f"{split}/{name}"] for split, name in names.items()}
    remedy = "The CSVs are in data/MELD of the repository declare-lab/MELD."
    return find_split_files(root, candidates, "MELD", remedy)


def find_clips(root: Path, split: str) -> dict[tuple[int, int], Path]:
    """Clips of a split by (dialogue id, utterance id)."""
    clips: dict[tuple[int, int], Path] = {}
    for folder in (root / CLIP_FOLDERS[split], root / split / CLIP_FOLDERS[split]):
        for name, clip in files_in(folder, ".mp4").items():
            match = CLIP_NAME.fullmatch(name)
            if match:
                clips.setdefault((int(match[1]), int(match[2])), clip)
    return clips


def read_dialogues(path: Path, label_set: LabelSet) -> Iterator[tuple[int, dict[int, Row]]]:
    """Dialogue id and rows by utterance id, one dialogue of a CSV at a time; the release keeps their rows together."""
    rows = (checked(row, label_set) for row in read_csv(path, COLUMNS, "take it from declare-lab/MELD unchanged"))
    for dialogue, members in group_rows(rows, lambda row: row_ids(row)[0]):
        yield dialogue, index_rows(members, lambda row: row_ids(row)[1], f"Dialogue_ID {dialogue}, Utterance_ID")


def checked(row: Row, label_set: LabelSet) -> Row:
    """The row, if its emotion is one of the corpus."""
    if row.cells["Emotion"] not in label_set.names:
        allowed = ", ".join(label_set.names)
        raise CorpusError(f"{row.place}: Emotion {row.cells['Emotion']!r} is none of {allowed}: correct the row")
    return row


def row_ids(row: Row) -> tuple[int, ...]:
    """(dialogue id, utterance id) of a row."""
    return whole_numbers(row, ("Dialogue_ID", "Utterance_ID"))


def to_utterance(number: int, row: dict[str, str], clip: Path | None, clean: Callable[[str], str]) -> Utterance:
    """One utterance of the schema."""
    media = None if clip is None else str(clip)
    return Utterance(
        utterance_id=str(number),
        speaker=clean(row["Speaker"]),
        text=clean(row["Utterance"]) or None,
        audio_path=media,
        video_path=media,
        start=None,
        end=None,
        label=row["Emotion"],
    )
