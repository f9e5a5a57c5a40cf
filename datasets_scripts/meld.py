"""MELD (Poria et al. 2019): dialogues of a television series, official CSVs and, where they are there, the clips."""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import datasets

from .builder import CorpusError, ErcBuilder
from .labels import LABEL_SETS, LabelSet
from .schema import Dialogue, Utterance
from .text_normalization import normalize_text

COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
CLIP_FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
# The whole name has to match: the release also holds `._dia0_utt0.mp4` and `final_videos_testdia0_utt0.mp4`.
CLIP_NAME = re.compile(r"dia(\d+)_utt(\d+)\.mp4")


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
        CorpusError: where a CSV lacks a column, or a row has an unknown emotion, a broken id or an id taken before.
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
        for dialogue, rows in read_table(find_tables(self.root)[split], self.label_set).items():
            utterances = [
                to_utterance(number, row, clips.get((dialogue, number)), clean) for number, row in sorted(rows.items())
            ]
            yield Dialogue(dialogue_id=f"{split}_{dialogue}", utterances=utterances)


def find_tables(root: Path) -> dict[str, Path]:
    """The CSV of each split."""
    found: dict[str, Path] = {}
    for split in CLIP_FOLDERS:
        for folder in (root, root / split):
            if (folder / f"{split}_sent_emo.csv").is_file():
                found.setdefault(split, folder / f"{split}_sent_emo.csv")
    missing = [f"{split}_sent_emo.csv" for split in CLIP_FOLDERS if split not in found]
    if missing:
        held = sorted(entry.name for entry in root.iterdir())
        raise FileNotFoundError(
            f"MELD needs {', '.join(missing)} in {root}, which holds {', '.join(held[:20]) or 'nothing'}"
            f"{', ...' * (len(held) > 20)}. The CSVs are in data/MELD of the repository declare-lab/MELD."
        )
    return found


def find_clips(root: Path, split: str) -> dict[tuple[int, int], Path]:
    """Clips of a split by (dialogue id, utterance id)."""
    clips: dict[tuple[int, int], Path] = {}
    for folder in (root / CLIP_FOLDERS[split], root / split / CLIP_FOLDERS[split]):
        for clip in folder.iterdir() if folder.is_dir() else ():
            match = CLIP_NAME.fullmatch(clip.name)
            if match:
                clips.setdefault((int(match[1]), int(match[2])), clip)
    return clips


def read_table(path: Path, label_set: LabelSet) -> dict[int, dict[int, dict[str, str]]]:
    """Checked rows of a CSV by dialogue id and utterance id; in errors a row's number is its line in the file."""
    dialogues: dict[int, dict[int, dict[str, str]]] = {}
    row_of: dict[tuple[int, int], int] = {}
    try:
        # utf-8-sig drops the mark that spreadsheet programs put first; newline="" leaves CRLF to the csv module.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            lacking = [name for name in COLUMNS if name not in reader.fieldnames]
            if lacking:
                raise CorpusError(
                    f"{path}: no column {', '.join(lacking)}; found {', '.join(reader.fieldnames) or 'none'}, "
                    f"needed {', '.join(COLUMNS)}. Take the file from declare-lab/MELD unchanged."
                )
            for row in reader:
                place = f"{path}, row {reader.line_num}"
                key = parse_ids(row, place)
                if row["Emotion"] not in label_set.names:
                    allowed = ", ".join(label_set.names)
                    raise CorpusError(f"{place}: Emotion {row['Emotion']!r} is none of {allowed}: correct the row")
                if key in row_of:
                    raise CorpusError(
                        f"{place}: Dialogue_ID {key[0]}, Utterance_ID {key[1]} stands in row {row_of[key]} already: "
                        "keep one of the two rows"
                    )
                row_of[key] = reader.line_num
                dialogues.setdefault(key[0], {})[key[1]] = row
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} is no CSV in UTF-8 ({error}): take it from declare-lab/MELD unchanged") from error
    if not dialogues:
        raise CorpusError(f"{path} has a header and no rows: take it from declare-lab/MELD unchanged")
    return dialogues


def parse_ids(row: dict[str, str], place: str) -> tuple[int, int]:
    """(dialogue id, utterance id) of a row that has all its columns."""
    short = [name for name in COLUMNS if row[name] is None]
    if short:
        raise CorpusError(f"{place} ends before {', '.join(short)}: is a quotation mark open, or the file cut off?")
    try:
        return int(row["Dialogue_ID"]), int(row["Utterance_ID"])
    except ValueError:
        found = f"Dialogue_ID {row['Dialogue_ID']!r}, Utterance_ID {row['Utterance_ID']!r}"
        raise CorpusError(f"{place}: {found}: both have to be whole numbers") from None


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
