"""DailyDialog (Li et al. 2017): everyday dialogues of two people, from plain text files."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from .builder import CorpusError, ErcBuilder, warn_once
from .labels import LABEL_SETS
from .schema import Dialogue, Utterance
from .split_files import find_split_files
from .text_files import open_text

END_OF_UTTERANCE = "__eou__"
FOLDERS = {"train": "train", "dev": "validation", "test": "test"}
# More lines that do not match mean that the two files are of different releases or that one lacks a line.
MOST_LEFT_OUT = 10


class DailyDialog(ErcBuilder):
    """DailyDialog as released: the zip, and the three zips in it, unpacked.

    ```
    root/train/dialogues_train.txt             root/train/dialogues_emotion_train.txt
    root/validation/dialogues_validation.txt   root/validation/dialogues_emotion_validation.txt
    root/test/dialogues_test.txt               root/test/dialogues_emotion_test.txt
    ```

    Line 7 of a pair of files is dialogue `train_7`. The files do not name the two people, so they are "A" and "B" in
    turns. A line with more or fewer emotions than utterances is left out, and a warning counts and lists such lines;
    the released files have none (11,118, 1,000 and 1,000 dialogues; 87,170, 8,069 and 7,740 utterances).

    Raises:
        FileNotFoundError: if one of the six files is missing.
        CorpusError: if an emotion is no number from 0 to 6, or the two files of a split do not match.
    """

    HOMEPAGE: ClassVar[str] = "http://yanran.li/dailydialog"
    LICENSE: ClassVar[str] = "CC BY-NC-SA 4.0"
    GAPS: ClassVar[dict[str, str]] = {"text": "text"}
    # The numbers in the files are the indices of these classes.
    label_set = LABEL_SETS["dailydialog"]

    @classmethod
    def raw_files(cls, root: Path) -> list[Path]:
        """Returns the dialogues and the emotions of each split."""
        return [*find_files(root, "dialogues").values(), *find_files(root, "dialogues_emotion").values()]

    def dialogues(self, split: str) -> Iterator[Dialogue]:
        """Yields the dialogues of a split, line by line."""
        texts = find_files(self.root, "dialogues")[split]
        emotions = find_files(self.root, "dialogues_emotion")[split]
        left_out: list[str] = []
        empty = True
        for number, text_line, emotion_line in read_pairs(texts, emotions):
            spoken = split_utterances(text_line)
            labels = [self._label(value, f"{emotions}, line {number}") for value in emotion_line.split()]
            if len(spoken) != len(labels):
                left_out.append(f"line {number}: {len(spoken)} utterances, {len(labels)} emotions")
                if len(left_out) > MOST_LEFT_OUT:
                    raise CorpusError(
                        f"{texts} and {emotions} do not match: {'; '.join(left_out[:3])} and more: "
                        "take both from one release"
                    )
                continue
            utterances = [
                Utterance(
                    utterance_id=str(position),
                    speaker="AB"[position % 2],
                    text=self.clean(text) or None,
                    label=label,
                )
                for position, (text, label) in enumerate(zip(spoken, labels, strict=True))
            ]
            if utterances:
                empty = False
                yield Dialogue(dialogue_id=f"{split}_{number}", utterances=utterances)
        if empty:
            raise CorpusError(f"{texts} has no dialogue: unpack the zip anew")
        if left_out:
            warn_once(
                f"{texts}: {len(left_out)} dialogues are left out because they do not match {emotions.name}: "
                f"{'; '.join(left_out)}"
            )

    def _label(self, value: str, place: str) -> str:
        names = self.label_set.names
        if value not in map(str, range(len(names))):
            raise CorpusError(f"{place}: emotion {value!r} is no number from 0 to {len(names) - 1}: correct the line")
        return names[int(value)]


def find_files(root: Path, kind: str) -> dict[str, Path]:
    """Returns the file of each split; `kind` is "dialogues" or "dialogues_emotion"."""
    names = {split: f"{kind}_{folder}.txt" for split, folder in FOLDERS.items()}
    candidates = {
        # Unpacking train.zip into a folder named train gives the folder twice.
        split: [f"{folder}/{names[split]}", f"{folder}/{folder}/{names[split]}", names[split]]
        for split, folder in FOLDERS.items()
    }
    remedy = "Unpack the zip of yanran.li/dailydialog, then train.zip, validation.zip and test.zip, which are in it."
    return find_split_files(root, candidates, "DailyDialog", remedy)


def read_pairs(texts: Path, emotions: Path) -> Iterator[tuple[int, str, str]]:
    """Yields (line number from 1, dialogue, emotions) of two files; one may have empty lines at its end."""
    lines = []
    for path in (texts, emotions):
        with open_text(path) as file:
            lines.append(list(file))
    for number, pair in enumerate(itertools.zip_longest(*lines, fillvalue=""), start=1):
        # Every line read has a line end or text; only the fill value is empty.
        if "" in pair and "".join(pair).strip():
            ended, other = (texts, emotions) if pair[0] == "" else (emotions, texts)
            raise CorpusError(f"{ended} ends before line {number} of {other.name}: take both from one release")
        yield number, pair[0], pair[1]


def split_utterances(line: str) -> list[str]:
    """Returns the utterances of a line, each of which ends with `__eou__`."""
    pieces = line.strip().split(END_OF_UTTERANCE)
    return pieces if pieces[-1].strip() else pieces[:-1]
