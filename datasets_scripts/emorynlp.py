"""EmoryNLP (Zahiri and Choi 2018): scenes of a television series in seven emotions, from its CSVs."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from .builder import CorpusError, ErcBuilder
from .labels import LABEL_SETS
from .schema import Dialogue, Utterance
from .split_files import find_split_files, with_endings
from .table_labels import LabelReader
from .table_rows import class_of, group_rows, index_rows, whole_numbers
from .text_files import Row, read_csv

SCENE = ("Season", "Episode", "Scene_ID")
COLUMNS = ("Utterance", "Speaker", "Emotion", "Scene_ID", "Utterance_ID", "Season", "Episode")
READER = LabelReader(LABEL_SETS["emorynlp"].names)


class EmoryNlp(ErcBuilder):
    """EmoryNLP as CSVs: `emorynlp_train_final.csv`, `emorynlp_dev_final.csv`, `emorynlp_test_final.csv` in one folder.

    A dialogue is one scene; `dev_s01_e15_c06` is scene 6 of episode 15 of season 1. The corpus has text only:
    Start_Time and End_Time are times in the episode, which is not part of it, so `start` and `end` are None. Where
    several people speak at once, `speaker` joins their names by ", ".

    Raises:
        FileNotFoundError: if one of the CSVs is missing.
        CorpusError: if a CSV lacks a column, or a row has an unknown emotion, a malformed or repeated id, or speakers
            that are no list.
    """

    HOMEPAGE: ClassVar[str] = "https://github.com/emorynlp/emotion-detection"
    LICENSE: ClassVar[str] = "unknown; the transcripts are of a television series, whose owners hold them"
    GAPS: ClassVar[dict[str, str]] = {"text": "text", "label": "label"}
    label_set = LABEL_SETS["emorynlp"]

    @classmethod
    def raw_files(cls, root: Path) -> list[Path]:
        """Returns the three CSVs."""
        return list(find_tables(root).values())

    def dialogues(self, split: str) -> Iterator[Dialogue]:
        """Yields the scenes of a split in the order of the series, their utterances in the order of their ids."""
        rows = read_csv(find_tables(self.root)[split], COLUMNS, "take it from declare-lab/MELD unchanged")
        # Sorted, as the rows of a scene need not be grouped; a split is small enough for memory.
        for scene, members in group_rows(sorted(rows, key=scene_of), scene_of):
            name = "s{:02d}_e{:02d}_c{:02d}".format(*scene)
            by_id = index_rows(members, lambda row: whole_numbers(row, ["Utterance_ID"])[0], f"{name}, Utterance_ID")
            utterances = [self._utterance(number, by_id[number]) for number in sorted(by_id)]
            yield Dialogue(dialogue_id=f"{split}_{name}", utterances=utterances)

    def _utterance(self, number: int, row: Row) -> Utterance:
        return Utterance(
            utterance_id=str(number),
            speaker=self.clean(", ".join(speakers_of(row))),
            text=self.clean(row.cells["Utterance"]) or None,
            label=class_of(row, "Emotion", READER),
        )


def find_tables(root: Path) -> dict[str, Path]:
    """Returns the CSV of each split."""
    candidates = {split: with_endings(f"emorynlp_{split}_final") for split in EmoryNlp.SPLITS}
    remedy = "The CSVs are in data/emorynlp of the repository declare-lab/MELD."
    return find_split_files(root, candidates, "EmoryNLP", remedy)


def scene_of(row: Row) -> tuple[int, ...]:
    """Returns (season, episode, scene) of a row."""
    return whole_numbers(row, SCENE)


def speakers_of(row: Row) -> list[str]:
    """Returns the names in a cell such as `['Monica Geller', 'Joey Tribbiani']`."""
    cell = row.cells["Speaker"]
    try:
        # Evaluates literals only, so that a downloaded cell is never run.
        speakers = ast.literal_eval(cell.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        speakers = None
    if not isinstance(speakers, list) or not all(isinstance(name, str) for name in speakers):
        raise CorpusError(f"{row.place}: Speaker {cell[:80]!r} is no list of names such as ['Monica Geller']")
    return speakers
