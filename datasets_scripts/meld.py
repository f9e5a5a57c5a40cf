"""MELD (Poria et al. 2019): dialogues of a television series, from the official CSVs and, if present, the clips."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from .builder import CorpusError, ErcBuilder, TextConfig
from .labels import LABEL_SETS
from .schema import Dialogue, Utterance
from .split_files import files_in, find_split_files, with_endings
from .table_labels import LabelReader
from .table_rows import class_of, group_rows, index_rows, text_of, whole_numbers
from .text_files import Row, read_csv

IDS = ("Dialogue_ID", "Utterance_ID")
COLUMNS = ("Utterance", "Speaker", "Emotion", *IDS)
SENTIMENTS = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}
READER = LabelReader(LABEL_SETS["meld"].names)
CLIP_FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
# The whole name has to match: the release also holds `._dia0_utt0.mp4` and `final_videos_testdia0_utt0.mp4`.
CLIP_NAME = re.compile(r"dia(\d+)_utt(\d+)")


@dataclass
class MeldConfig(TextConfig):
    """Options of MELD.

    Args:
        targets: `["sentiment"]` to predict the sentiment of each utterance as a number: negative -1, neutral 0,
            positive 1.

    Raises:
        ValueError: if there is another target.
    """

    targets: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.targets not in (None, ["sentiment"]):
            raise ValueError(f"targets is {self.targets!r}: MELD has ['sentiment']")


class Meld(ErcBuilder):
    """MELD as released: three CSVs and up to three folders of clips, in one folder or in one folder for each split.

    ```
    root/train_sent_emo.csv   root/train_splits/dia0_utt0.mp4            or under root/train/
    root/dev_sent_emo.csv     root/dev_splits_complete/...               or under root/dev/
    root/test_sent_emo.csv    root/output_repeated_splits_test/...       or under root/test/
    ```

    Clips whose audio was extracted as `.wav`, with the same names and in the same folders, take the audio from there.
    A clip is one utterance, so `start` and `end` are None; StartTime and EndTime of the CSV are times in the episode.

    Raises:
        FileNotFoundError: if one of the CSVs is missing.
        CorpusError: if a CSV lacks a column, a row has an unknown emotion, a malformed or repeated id, or the rows of a
            dialogue are not grouped.
    """

    BUILDER_CONFIG_CLASS = MeldConfig
    HOMEPAGE: ClassVar[str] = "https://github.com/declare-lab/MELD"
    LICENSE: ClassVar[str] = "GPL-3.0 for the annotations; the clips are of a television series, whose owners hold them"
    # A clip holds both picture and sound; without its sound it is not there at all.
    GAPS: ClassVar[dict[str, str]] = {"text": "text", "audio_path": "clip", "label": "label"}
    label_set = LABEL_SETS["meld"]

    @classmethod
    def raw_files(cls, root: Path) -> list[Path]:
        """Returns the three CSVs and every clip."""
        endings = (".mp4", ".wav")
        clips = (
            clip for split in cls.SPLITS for ending in endings for clip in find_clips(root, split, ending).values()
        )
        return [*find_tables(root).values(), *clips]

    def dialogues(self, split: str) -> Iterator[Dialogue]:
        """Yields the dialogues of a split in the order of the CSV, their utterances in the order of their ids."""
        videos, sounds = (find_clips(self.root, split, ending) for ending in (".mp4", ".wav"))
        rows = read_csv(find_tables(self.root)[split], COLUMNS, "take it from declare-lab/MELD unchanged")
        for dialogue, members in group_rows(rows, lambda row: whole_numbers(row, IDS)[0]):
            by_id = index_rows(members, lambda row: whole_numbers(row, IDS)[1], f"Dialogue_ID {dialogue}, Utterance_ID")
            keys = {number: (dialogue, number) for number in sorted(by_id)}
            utterances = [self._utterance(n, by_id[n], videos.get(key), sounds.get(key)) for n, key in keys.items()]
            yield Dialogue(dialogue_id=f"{split}_{dialogue}", utterances=utterances)

    def _utterance(self, number: int, row: Row, video: Path | None, sound: Path | None) -> Utterance:
        audio = sound or video
        return Utterance(
            utterance_id=str(number),
            speaker=self.clean(row.cells["Speaker"]),
            text=self.clean(row.cells["Utterance"]) or None,
            audio_path=None if audio is None else str(audio),
            video_path=None if video is None else str(video),
            label=class_of(row, "Emotion", READER),
            targets=self._sentiment(row),
        )

    def _sentiment(self, row: Row) -> dict[str, float | None] | None:
        if not self.target_names:
            return None
        sentiment = (text_of(row, "Sentiment") or "").lower()
        if sentiment not in SENTIMENTS:
            raise CorpusError(
                f"{row.place}: Sentiment {sentiment!r} is none of {', '.join(SENTIMENTS)}: correct the row"
            )
        return {"sentiment": SENTIMENTS[sentiment]}


def find_tables(root: Path) -> dict[str, Path]:
    """Returns the CSV of each split."""
    candidates = {split: with_endings(f"{split}_sent_emo", split) for split in CLIP_FOLDERS}
    remedy = "The CSVs are in data/MELD of the repository declare-lab/MELD."
    return find_split_files(root, candidates, "MELD", remedy)


def find_clips(root: Path, split: str, ending: str) -> dict[tuple[int, int], Path]:
    """Returns the files of a split with an ending, `.mp4` or `.wav`, by (dialogue id, utterance id)."""
    clips: dict[tuple[int, int], Path] = {}
    for folder in (root / CLIP_FOLDERS[split], root / split / CLIP_FOLDERS[split]):
        for name, clip in files_in(folder, ending).items():
            match = CLIP_NAME.fullmatch(name)
            if match:
                clips.setdefault((int(match[1]), int(match[2])), clip)
    return clips
