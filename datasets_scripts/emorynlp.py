"""EmoryNLP (Zahiri and Choi 2018): scenes of a television series in seven emotions, from its CSVs."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import datasets

from .builder import CorpusError, ErcBuilder
from .csv_rows import Row, group_rows, index_rows, read_csv, whole_numbers
from .labels import LABEL_SETS, LabelSet
from .schema import Dialogue, Utterance
from .split_files import find_split_files
from .text_normalization import normalize_text

SCENE = ("Season", "Episode", "Scene_ID")
COLUMNS = ("Utterance", "Speaker", "Emotion", "Scene_ID", "Utterance_ID", "Season", "Episode")


@dataclass
class EmoryNlpConfig(datasets.BuilderConfig):
    """Options of EmoryNLP.

    Args:
        normalize_text: undo encoding accidents and curly punctuation in what is said and who says it.
    """

    normalize_text: bool = True


class EmoryNlp(ErcBuilder):
    """EmoryNLP as CSVs: `emorynlp_train_final.csv`, `emorynlp_dev_final.csv`, `emorynlp_test_final.csv` in one folder.

    A dialogue is one scene; `dev_s01_e15_c06` is scene 6 of episode 15 of season 1. It is text only: Start_Time and
    End_Time are times in the episode, which is not part of the corpus, so `start` and `end` are None. Where several
    people speak at once, `speaker` joins their names by ", ".

    Raises:
        FileNotFoundError: where one of the CSVs is missing.
        CorpusError: where a CSV lacks a column, or a row has an unknown emotion, a broken id, an id taken before or
            speakers that are no list.
    """

    BUILDER_CONFIG_CLASS = EmoryNlpConfig
    HOMEPAGE: ClassVar[str] = "https://github.com/emorynlp/emotion-detection"
    LICENSE: ClassVar[str] = "unknown; the transcripts are of a television series, whose owners hold them"
    GAPS: ClassVar[dict[str, str]] = {"text": "text"}

    @property
    def label_set(self) -> LabelSet:
        """The seven emotions of EmoryNLP."""
        return LABEL_SETS["emorynlp"]

    @classmethod
    def raw_files(cls, root: Path) -> list[Path]:
        """The three CSVs."""
        return list(find_tables(root).values())

    def dialogues(self, split: str) -> Iterator[Dialogue]:
        """Scenes of a split in the order of the series, utterances in the order of their ids."""
        clean: Callable[[str], str] = normalize_text if self.config.normalize_text else str
        rows = read_csv(find_tables(self.root)[split], COLUMNS, "take it from declare-lab/MELD unchanged")
        # Sorted, as nothing says that a scene's rows stand together; a split is small enough to be held.
        for scene, members in group_rows(sorted(rows, key=scene_of), scene_of):
            name = "s{:02d}_e{:02d}_c{:02d}".format(*scene)
            by_id = index_rows(members, lambda row: whole_numbers(row, ["Utterance_ID"])[0], f"{name}, Utterance_ID")
            utterances = [self._utterance(number, by_id[number], clean) for number in sorted(by_id)]
            yield Dialogue(dialogue_id=f"{split}_{name}", utterances=utterances)

    def _utterance(self, number: int, row: Row, clean: Callable[[str], str]) -> Utterance:
        label = row.cells["Emotion"].strip().lower()
        if label not in self.label_set.names:
            allowed = ", ".join(self.label_set.names)
            raise CorpusError(f"{row.place}: Emotion {row.cells['Emotion']!r} is none of {allowed}: correct the row")
        return Utterance(
            utterance_id=str(number),
            speaker=clean(", ".join(speakers_of(row))),
            text=clean(row.cells["Utterance"]) or None,
            audio_path=None,
            video_path=None,
            start=None,
            end=None,
            label=label,
        )


def find_tables(root: Path) -> dict[str, Path]:
    """The CSV of each split."""
    candidates = {split: [f"emorynlp_{split}_final.csv"] for split in EmoryNlp.SPLITS}
    remedy = "The CSVs are in data/emorynlp of the repository declare-lab/MELD."
    return find_split_files(root, candidates, "EmoryNLP", remedy)


def scene_of(row: Row) -> tuple[int, ...]:
    """(season, episode, scene) of a row."""
    return whole_numbers(row, SCENE)


def speakers_of(row: Row) -> list[str]:
    """Names of those who speak, from a cell such as `['Monica Geller', 'Joey Tribbiani']`."""
    cell = row.cells["Speaker"]
    try:
        # Reads literals only; a cell from a stranger is never run.
        speakers = ast.literal_eval(cell.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        speakers = None
    if not isinstance(speakers, list) or not all(isinstance(name, str) for name in speakers):
        raise CorpusError(f"{row.place}: Speaker {cell[:80]!r} is no list of names such as ['Monica Geller']")
    return speakers
