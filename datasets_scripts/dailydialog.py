"""DailyDialog (Li et al. 2017): everyday dialogues of two people, in plain text files."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import datasets

from .builder import CorpusError, ErcBuilder, warn_once
from .labels import LABEL_SETS, LabelSet
from .schema import Dialogue, Utterance
from .split_files import find_split_files
from .text_normalization import normalize_text

END_OF_UTTERANCE = "__eou__"
FOLDERS = {"train": "train", "dev": "validation", "test": "test"}
# More lines than this that do not fit are no slips: the two files are not of one release, or one has lost a line.
MOST_LEFT_OUT = 10


@dataclass
class DailyDialogConfig(datasets.BuilderConfig):
    """Options of DailyDialog.

    Args:
        normalize_text: undo encoding accidents and curly punctuation; the blanks before punctuation stay.
    """

    normalize_text: bool = True


class DailyDialog(ErcBuilder):
    """DailyDialog as released: the zip, and the three zips in it, unpacked.

    ```
    root/train/dialogues_train.txt             root/train/dialogues_emotion_train.txt
    root/validation/dialogues_validation.txt   root/validation/dialogues_emotion_validation.txt
    root/test/dialogues_test.txt               root/test/dialogues_emotion_test.txt
    ```

    Line 7 of a pair of files is dialogue `train_7`; its two people, whom the files leave unnamed, are "A" and "B" in
    turns. A line with more or fewer emotions than utterances is left out, with a warning that counts and names such
    lines; the released files have none (11,118, 1,000 and 1,000 dialogues; 87,170, 8,069 and 7,740 utterances).

    Raises:
        FileNotFoundError: where one of the six files is missing.
        CorpusError: where an emotion is no number from 0 to 6, or the two files of a split do not fit each other.
    """

    BUILDER_CONFIG_CLASS = DailyDialogConfig
    HOMEPAGE: ClassVar[str] = "http://yanran.li/dailydialog"
    LICENSE: ClassVar[str] = "CC BY-NC-SA 4.0"
    GAPS: ClassVar[dict[str, str]] = {"text": "text"}

    @property
    def label_set(self) -> LabelSet:
        """The seven emotions of DailyDialog; their numbers in the files are their indices here."""
        return LABEL_SETS["dailydialog"]

    @classmethod
    def raw_files(cls, root: Path) -> list[Path]:
        """The dialogues and the emotions of each split."""
        return [*find_files(root, "dialogues").values(), *find_files(root, "dialogues_emotion").values()]

    def dialogues(self, split: str) -> Iterator[Dialogue]:
        """Dialogues of a split, line by line."""
        clean: Callable[[str], str] = normalize_text if self.config.normalize_text else str.strip
        texts = find_files(self.root, "dialogues")[split]
        emotions = find_files(self.root, "dialogues_emotion")[split]
        left_out: list[str] = []
        empty = True
        for number, text_line, emotion_line in read_pairs(texts, emotions):
            said = split_utterances(text_line)
            labels = [self._label(value, f"{emotions}, line {number}") for value in emotion_line.split()]
            if len(said) != len(labels):
                left_out.append(f"line {number}: {len(said)} utterances, {len(labels)} emotions")
                if len(left_out) > MOST_LEFT_OUT:
                    raise CorpusError(
                        f"{texts} and {emotions} do not fit each other: {'; '.join(left_out[:3])} and more: "
                        "take both from one release"
                    )
                continue
            utterances = [
                to_utterance(position, clean(text), label)
                for position, (text, label) in enumerate(zip(said, labels, strict=True))
            ]
            if utterances:
                empty = False
                yield Dialogue(dialogue_id=f"{split}_{number}", utterances=utterances)
        if empty:
            raise CorpusError(f"{texts} has no dialogue: unpack the zip anew")
        if left_out:
            warn_once(
                f"{texts}: {len(left_out)} dialogues are left out, as they do not fit {emotions.name}: "
                f"{'; '.join(left_out)}"
            )

    def _label(self, value: str, place: str) -> str:
        names = self.label_set.names
        if value not in map(str, range(len(names))):
            raise CorpusError(f"{place}: emotion {value!r} is no number from 0 to {len(names) - 1}: correct the line")
        return names[int(value)]


def find_files(root: Path, kind: str) -> dict[str, Path]:
    """The file of each split; `kind` is "dialogues" or "dialogues_emotion"."""
    names = {split: f"{kind}_{folder}.txt" for split, folder in FOLDERS.items()}
    candidates = {
        # Unpacking train.zip into a folder of its name gives the folder twice.
        split: [f"{folder}/{names[split]}", f"{folder}/{folder}/{names[split]}", names[split]]
        for split, folder in FOLDERS.items()
    }
    remedy = "Unpack the zip of yanran.li/dailydialog, then train.zip, validation.zip and test.zip, which are in it."
    return find_split_files(root, candidates, "DailyDialog", remedy)


def read_pairs(texts: Path, emotions: Path) -> Iterator[tuple[int, str, str]]:
    """(line number from 1, dialogue, emotions) of two files; one may have empty lines at its end."""
    try:
        with texts.open(encoding="utf-8-sig") as text_file, emotions.open(encoding="utf-8-sig") as emotion_file:
            for number, pair in enumerate(itertools.zip_longest(text_file, emotion_file, fillvalue=""), start=1):
                # Only the end of a file has no line end.
                if "" in pair and "".join(pair).strip():
                    ended, other = (texts, emotions) if pair[0] == "" else (emotions, texts)
                    raise CorpusError(f"{ended} ends before line {number} of {other.name}: take both from one release")
                yield number, *pair
    except UnicodeDecodeError as error:
        raise CorpusError(f"{texts} or {emotions.name} is no text in UTF-8 ({error}): unpack them again") from error
    except OSError as error:
        raise CorpusError(
            f"{error.filename or texts} cannot be read ({error.strerror}): check the file and its permissions"
        ) from error


def split_utterances(line: str) -> list[str]:
    """Utterances of a line, each of which ends with `__eou__`."""
    pieces = line.strip().split(END_OF_UTTERANCE)
    return pieces if pieces[-1].strip() else pieces[:-1]


def to_utterance(position: int, text: str, label: str) -> Utterance:
    """One utterance of the schema."""
    return Utterance(
        utterance_id=str(position),
        speaker="AB"[position % 2],
        text=text or None,
        audio_path=None,
        video_path=None,
        start=None,
        end=None,
        label=label,
    )
