"""IEMOCAP (Busso et al. 2008): two actors in improvised and scripted scenes, from the official release."""

import collections
import functools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets

from .builder import CorpusError, ErcBuilder, TextConfig, check_names, first_few, hold_out, warn_once
from .iemocap_files import (
    RAW_LABELS,
    SESSIONS,
    DialogueFiles,
    TurnLine,
    find_dialogues,
    read_labels,
    read_transcript,
    read_turn_list,
    scene_kind,
)
from .labels import LABEL_SETS, LabelSet
from .schema import VIDEO_COLUMNS, Dialogue, Utterance

# The class of each raw label; the labels that are not listed are the "other labels".
CLASSES: dict[str, dict[str, str]] = {
    "6way": {"hap": "happy", "sad": "sad", "neu": "neutral", "ang": "angry", "exc": "excited", "fru": "frustrated"},
    "4way": {"ang": "angry", "hap": "happy", "exc": "happy", "neu": "neutral", "sad": "sad"},
}
# Ratings of a label line, in this order.
RATINGS = ("valence", "activation", "dominance")
LABEL_SET_OF = {"6way": "iemocap6", "4way": "iemocap4"}
CHOICES: dict[str, tuple[Any, ...]] = {
    "setting": tuple(CLASSES),
    "test_session": SESSIONS,
    "other_labels": ("drop", "context"),
    "video_half": ("marked_left", "marked_right", "whole"),
}
# Counts of the full release, from its label files.
_LABEL_COUNTS = {"fru": 1849, "neu": 1708, "ang": 1103, "sad": 1084, "exc": 1041, "hap": 595}
_OTHER_COUNTS = {"sur": 107, "fea": 40, "oth": 3, "dis": 2, "xxx": 2507}
_TURN_COUNTS = {"labelled turns": 10039, "6way turns": 7380, "4way turns": 5531}
EXPECTED_COUNTS = {"dialogues": 151, **_TURN_COUNTS, **_LABEL_COUNTS, **_OTHER_COUNTS}


@dataclass
class IemocapConfig(TextConfig):
    """Options of IEMOCAP.

    Args:
        setting: `"6way"` (happy, sad, neutral, angry, excited, frustrated; 7,380 turns) or `"4way"` (angry, happy with
            excited, neutral, sad; 5,531 turns).
        test_session: session to test on, 1 to 5. The official split tests on 5; each session in turn gives
            leave-one-session-out cross-validation.
        dev_dialogues: number of dialogues of the other sessions that become dev. In the official split 12 leave 108 to
            train on, 20 leave 100. The draw depends on the names only, so it is the same for every setting.
        dev_seed: seed of the draw.
        other_labels: `"drop"` leaves out the turns with other labels, as in the literature; `"context"` keeps them with
            label None, and also the transcribed turns that have times but no label (`..._FXX0`).
        video_half: half of the picture that shows the speaker, as the recording shows both actors side by side. The
            sixth letter of the dialogue's name (F in Ses01F_impro01) is the actor with the motion-capture markers.
            `"marked_left"`: this actor is on the left and the partner on the right; `"marked_right"`: the opposite;
            `"whole"`: the whole picture. The default is this project's setting: check it by eye on your copy.
        turn_list: text file of turn names (`Ses01F_impro01_F000`); only these turns are labelled. A listed turn without
            a class of the setting is happy if a rater chose happiness, as the 53 turns are that the community's set of
            7,433 turns has beyond the majority vote; a list of that set gives that set.
        targets: any of "valence", "activation" and "dominance", the mean ratings (1 to 5) of the label files. With
            `other_labels="context"` the turns of other labels have them too.

    Raises:
        ValueError: if a value is none of its choices, or `dev_dialogues` is below 1.
    """

    setting: str = "6way"
    test_session: int = 5
    dev_dialogues: int = 12
    dev_seed: int = 0
    other_labels: str = "drop"
    video_half: str = "marked_left"
    turn_list: str | None = None
    targets: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for option, choices in CHOICES.items():
            if getattr(self, option) not in choices:
                allowed = ", ".join(map(repr, choices))
                raise ValueError(f"{option} is {getattr(self, option)!r}: choose one of {allowed}")
        check_names("targets", self.targets)
        if unknown := [name for name in self.targets or () if name not in RATINGS]:
            raise ValueError(f"targets has {', '.join(unknown)}: choose among {', '.join(RATINGS)}")
        if self.dev_dialogues < 1:
            raise ValueError(f"dev_dialogues is {self.dev_dialogues}: at least 1, for the checkpoint is chosen on dev")


class Iemocap(ErcBuilder):
    """IEMOCAP as released; `data_dir` is the folder of the sessions or the one above it.

    ```
    root/Session1/dialog/EmoEvaluation/Ses01F_impro01.txt                 labels and times: required
    root/Session1/dialog/transcriptions/Ses01F_impro01.txt                words
    root/Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav    audio of a turn
    root/Session1/dialog/avi/DivX/Ses01F_impro01.avi                      video and audio of a dialogue; or in avi/
    ```

    Turns are ordered by their start. `audio_path` is the wav of the turn, or else the avi with `start` and `end`;
    `video_path` is the avi. `video_start` and `video_end` are the times of the turn on the recording, even if there is
    no recording; a turn that does not end after its start has none, and nothing is cut for it. A dialogue without a
    turn of the setting's classes is left out.

    The classes are those of the majority vote in the label files: 7,380 turns 6-way. The community's pickles have 7,433
    turns, with 53 more happy ones whose majority is tied or secondary, so report which set a result is for; the option
    `turn_list` reads the larger one.

    Repeated or malformed lines that change no labelled turn are skipped, and one warning counts them.

    Raises:
        FileNotFoundError: if there are no label files, or none for training or for testing.
        CorpusError: if a label file or a transcript is wrong (the message names file and line), a split would be
            empty, or `turn_list` has a turn that cannot be labelled.
        ValueError: if `dev_dialogues` leaves nothing to train on.

    Example:
        >>> splits = load_erc_dataset("iemocap", "IEMOCAP_full_release", setting="4way", test_session=1)
    """

    BUILDER_CONFIG_CLASS = IemocapConfig
    HOMEPAGE: ClassVar[str] = "https://sail.usc.edu/iemocap/"
    LICENSE: ClassVar[str] = "by signed agreement with the University of Southern California; not to be passed on"
    REDISTRIBUTABLE: ClassVar[bool] = False
    EXTRA_COLUMNS: ClassVar[Mapping[str, datasets.Value]] = VIDEO_COLUMNS

    def __init__(self, data_dir: str | Path | None = None, cache_dir: str | Path | None = None, **options: Any) -> None:
        # Before the base class names the cache folder.
        turn_list = IemocapConfig(**options).turn_list
        self.turn_list = None if turn_list is None else Path(turn_list).expanduser()
        super().__init__(data_dir, cache_dir, **options)

    dialogue_group = staticmethod(scene_kind)

    @classmethod
    def locate(cls, data_dir: str | Path | None, options: Mapping[str, Any]) -> Path:
        """Returns the absolute folder of the sessions."""
        root = super().locate(data_dir, options)
        release = root / "IEMOCAP_full_release"
        return release if release.is_dir() else root

    @classmethod
    def raw_files(cls, root: Path) -> list[Path]:
        """Returns the label files, transcripts, wavs and avis."""
        files: list[Path | None] = []
        for dialogue in find_dialogues(root):
            files += [dialogue.labels, dialogue.transcript, dialogue.avi, *dialogue.wavs().values()]
        return sorted(file for file in files if file is not None)

    def files_behind(self) -> list[Path]:
        """Returns the files of the release and the list of turns."""
        return [*super().files_behind(), *([] if self.turn_list is None else [self.turn_list])]

    @functools.cached_property
    def listed(self) -> set[str] | None:
        """Names in the list of turns, None without one."""
        return None if self.turn_list is None else read_turn_list(self.turn_list)

    @property
    def label_set(self) -> LabelSet:
        """The six or four emotions of the setting."""
        return LABEL_SETS[LABEL_SET_OF[self.config.setting]]

    def dialogues(self, split: str) -> Iterator[Dialogue]:
        """Yields the dialogues of a split by name, their utterances in the order of their starts."""
        uncut: list[str] = []
        empty = True
        members = split_dialogues(find_dialogues(self.root), self.config)[split]
        for files in members:
            utterances = self._utterances(files, uncut)
            if any(utterance["label"] is not None for utterance in utterances):
                empty = False
                yield Dialogue(dialogue_id=files.name, utterances=utterances)
        if empty:
            raise CorpusError(
                f"{split} would be empty: none of its {len(members)} dialogues ({members[0].name}, ...) has a turn of "
                f"the {self.config.setting} classes. Choose another dev_seed or test_session, or complete {self.root}"
            )
        if uncut:
            warn_once(
                f"{self.dataset_name} {split}: {len(uncut)} turns do not end after they start ({first_few(uncut)}). "
                f"They stay, with nothing cut out of the recording. Raw files: {self.root}"
            )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        dialogues = find_dialogues(self.root)
        # Everything is checked before any row is written.
        split_dialogues(dialogues, self.config)
        skipped: list[str] = []
        labelled: dict[str, TurnLine] = {}
        for files in dialogues:
            turns = read_labels(files.labels, skipped)
            labelled |= turns
            if files.transcript is not None:
                read_transcript(files.transcript, turns, skipped)
        warn_of_counts(len(dialogues), labelled.values(), self.root)
        if skipped:
            warn_once(
                f"{len(skipped)} repeated or malformed lines of IEMOCAP that change no labelled turn are skipped: "
                f"{first_few(skipped)}"
            )
        unlabelled = sorted(name for name in self.listed or () if self._class_of(name, labelled) is None)
        if unlabelled:
            raise CorpusError(
                f"{self.turn_list}: {len(unlabelled)} turns ({first_few(unlabelled)}) have neither a class of the "
                f"{self.config.setting} setting in the label files nor a rater who chose happiness: take them out"
            )
        return super()._split_generators(dl_manager)

    def _class_of(self, name: str, labelled: Mapping[str, TurnLine]) -> str | None:
        """Returns the class of a turn, None for a turn that is not scored."""
        if name not in labelled or (self.listed is not None and name not in self.listed):
            return None
        happy = "happy" if self.listed is not None and labelled[name].rated_happy else None
        return CLASSES[self.config.setting].get(labelled[name].value, happy)

    def _utterances(self, files: DialogueFiles, uncut: list[str]) -> list[Utterance]:
        """Returns the utterances of a dialogue; the names of turns with impossible times are added to `uncut`."""
        labelled = read_labels(files.labels)
        spoken = {} if files.transcript is None else read_transcript(files.transcript, labelled)
        wavs = files.wavs()
        turns = labelled
        if self.config.other_labels == "context":
            timed = {name: line for name, line in spoken.items() if line.start is not None}
            turns = {**timed, **labelled}
        utterances = []
        for name, line in sorted(turns.items(), key=lambda item: (item[1].start, item[0])):
            label = self._class_of(name, labelled)
            if label is None and self.config.other_labels == "drop":
                continue
            start, end = line.start, line.end
            if start is None or end is None or not 0 <= start < end:
                start = end = None
                uncut.append(name)
            wav = wavs.get(name)
            recording = None if files.avi is None or start is None else str(files.avi)
            audio_from_recording = wav is None and recording is not None
            utterances.append(
                Utterance(
                    utterance_id=name,
                    speaker=f"Ses{files.session:02d}_{line.speaker}",
                    text=(self.clean(spoken[name].value) or None) if name in spoken else None,
                    audio_path=recording if wav is None else str(wav),
                    video_path=recording,
                    start=start if audio_from_recording else None,
                    end=end if audio_from_recording else None,
                    label=label,
                    targets=dict(zip(RATINGS, labelled[name].ratings, strict=False)) if name in labelled else None,
                    video_start=start,
                    video_end=end,
                    video_half=None if recording is None else self._half(files.name, line.speaker),
                )
            )
        return utterances

    def _half(self, dialogue: str, speaker: str) -> str | None:
        if self.config.video_half == "whole":
            return None
        # Ses01F_impro01: the letter after the session's number is the actor with the markers.
        marked_side, other_side = ("left", "right") if self.config.video_half == "marked_left" else ("right", "left")
        return marked_side if speaker == dialogue[5] else other_side


def split_dialogues(dialogues: list[DialogueFiles], config: IemocapConfig) -> dict[str, list[DialogueFiles]]:
    """Returns train, dev and test; the dev dialogues are drawn from all sessions but the test session.

    Raises:
        FileNotFoundError: if the test session has no dialogue, or all others have none.
        ValueError: if nothing would be left to train on.
    """
    test = [files for files in dialogues if files.session == config.test_session]
    rest = [files for files in dialogues if files.session != config.test_session]
    if not rest or not test:
        sessions = ", ".join(map(str, sorted({files.session for files in dialogues})))
        raise FileNotFoundError(
            f"test_session is {config.test_session} and there are label files of session {sessions} only: "
            "put the other sessions beside it, or choose another test_session"
        )
    drawn = hold_out([files.name for files in rest], config.dev_dialogues, config.dev_seed)
    dev = [files for files in rest if files.name in drawn]
    return {"train": [files for files in rest if files.name not in drawn], "dev": dev, "test": test}


def warn_of_counts(dialogues: int, turns: Collection[TurnLine], root: Path) -> None:
    """Warns, once in a process, of every count that differs from the full release."""
    raw = collections.Counter(line.value for line in turns)
    settings = {f"{setting} turns": sum(raw[label] for label in classes) for setting, classes in CLASSES.items()}
    counts = {
        "dialogues": dialogues,
        "labelled turns": raw.total(),
        **settings,
        **{name: raw[name] for name in RAW_LABELS},
    }
    differences = [
        f"{name} {counts[name]:,} instead of {expected:,}"
        for name, expected in EXPECTED_COUNTS.items()
        if counts[name] != expected
    ]
    if differences:
        warn_once(f"{root} is not the full release of IEMOCAP: {', '.join(differences)}. It is read as it is.")
