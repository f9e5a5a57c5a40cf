"""IEMOCAP (Busso et al. 2008): two actors in improvised and scripted scenes, read from the official release tree."""

import collections
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets

from .builder import CorpusError, ErcBuilder, hold_out, warn_once
from .iemocap_files import RAW_LABELS, SESSIONS, DialogueFiles, TurnLine, find_dialogues, read_labels, read_transcript
from .labels import LABEL_SETS, LabelSet
from .schema import VIDEO_COLUMNS, Dialogue, Utterance
from .text_normalization import normalize_text

# The class of each raw label; those not named are "other labels".
CLASSES: dict[str, dict[str, str]] = {
    "6way": {
        "hap": "happy",
        "sad": "sad",
        "neu": "neutral",
        "ang": "angry",
        "exc": "excited",
        "fru": "frustrated",
    },
    "4way": {"ang": "angry", "hap": "happy", "exc": "happy", "neu": "neutral", "sad": "sad"},
}
LABEL_SET_OF = {"6way": "iemocap6", "4way": "iemocap4"}
CHOICES: dict[str, tuple[Any, ...]] = {
    "setting": tuple(CLASSES),
    "test_session": SESSIONS,
    "other_labels": ("drop", "context"),
    "video_half": ("marked_left", "marked_right", "whole"),
}
# What the full release holds, counted over its label files.
EXPECTED_COUNTS = {
    "dialogues": 151,
    "labelled turns": 10039,
    "6way turns": 7380,
    "4way turns": 5531,
    "fru": 1849,
    "neu": 1708,
    "ang": 1103,
    "sad": 1084,
    "exc": 1041,
    "hap": 595,
    "sur": 107,
    "fea": 40,
    "oth": 3,
    "dis": 2,
    "xxx": 2507,
}


@dataclass
class IemocapConfig(datasets.BuilderConfig):
    """Options of IEMOCAP.

    Args:
        setting: `"6way"` (happy, sad, neutral, angry, excited, frustrated; 7,380 turns) or `"4way"` (angry, happy with
            excited, neutral, sad; 5,531 turns).
        test_session: 1 to 5. The official split tests on 5; each in turn gives leave-one-session-out.
        dev_dialogues: how many dialogues of the other sessions are dev. Of the official split 12 leave 108 to train
            on, 20 leave 100. The draw knows only names, so it is the same for every setting.
        dev_seed: which dialogues these are.
        other_labels: `"drop"` leaves out the turns of other labels, as the literature does; `"context"` keeps them
            with label None, and with them the transcribed turns that have times but no label (`..._FXX0`).
        video_half: the recording shows both actors side by side. `"marked_left"`: the one who wears the motion-capture
            markers, whom the sixth letter of the dialogue's name tells (F in Ses01F_impro01), is on the left, so a turn
            of that speaker takes the left half and one of the partner the right. `"marked_right"` is the mirror image,
            `"whole"` takes the whole picture. The side is this project's setting: check it by eye on your own copy.
        normalize_text: undo encoding accidents and curly punctuation in what is said.

    Raises:
        ValueError: for a value that is none of its choices, or no dialogue for dev.
    """

    setting: str = "6way"
    test_session: int = 5
    dev_dialogues: int = 12
    dev_seed: int = 0
    other_labels: str = "drop"
    video_half: str = "marked_left"
    normalize_text: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for option, choices in CHOICES.items():
            if getattr(self, option) not in choices:
                allowed = ", ".join(map(repr, choices))
                raise ValueError(f"{option} is {getattr(self, option)!r}: choose one of {allowed}")
        if self.dev_dialogues < 1:
            raise ValueError(f"dev_dialogues is {self.dev_dialogues}: at least 1, for the checkpoint is chosen on dev")


class Iemocap(ErcBuilder):
    """IEMOCAP as released; `data_dir` is the folder of the sessions or the one above it.

    ```
    root/Session1/dialog/EmoEvaluation/Ses01F_impro01.txt                 labels and times: needed
    root/Session1/dialog/transcriptions/Ses01F_impro01.txt                words
    root/Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav    sound, a file a turn
    root/Session1/dialog/avi/DivX/Ses01F_impro01.avi                      picture and sound of a dialogue; or in avi/
    ```

    Turns are ordered by when they start. `audio_path` is the turn's wav, or else the avi with `start` and `end`;
    `video_path` is the avi. `video_start` and `video_end` are the turn's times on the recording whether it is there or
    not; a turn that does not end after it starts has none, and nothing is cut for it. A dialogue without a turn of the
    setting's classes is left out.

    The classes are those of the majority vote in the label files: 7,380 turns 6-way. The community's pickles hold
    7,433, with 53 more happy ones whose majority is tied or secondary, so say which a number was made with.

    Raises:
        FileNotFoundError: where there are no label files, or none for training or for testing.
        CorpusError: where a label file or a transcript cannot be right, naming file and line, or a split would be
            empty.
        ValueError: where `dev_dialogues` leaves nothing to train on.

    Example:
        >>> splits = load_erc_dataset("iemocap", "IEMOCAP_full_release", setting="4way", test_session=1)
    """

    BUILDER_CONFIG_CLASS = IemocapConfig
    HOMEPAGE: ClassVar[str] = "https://sail.usc.edu/iemocap/"
    LICENSE: ClassVar[str] = "by signed agreement with the University of Southern California; not to be passed on"
    REDISTRIBUTABLE: ClassVar[bool] = False
    EXTRA_COLUMNS: ClassVar[Mapping[str, datasets.Value]] = VIDEO_COLUMNS

    @classmethod
    def locate(cls, data_dir: str | Path | None, options: Mapping[str, Any]) -> Path:
        """Absolute folder of the sessions."""
        root = super().locate(data_dir, options)
        release = root / "IEMOCAP_full_release"
        return release if release.is_dir() else root

    @classmethod
    def raw_files(cls, root: Path) -> list[Path]:
        """Label files, transcripts, wavs and avis."""
        files: list[Path | None] = []
        for dialogue in find_dialogues(root):
            files += [dialogue.labels, dialogue.transcript, dialogue.avi, *dialogue.wavs().values()]
        return sorted(file for file in files if file is not None)

    @property
    def label_set(self) -> LabelSet:
        """The six or four emotions of the setting."""
        return LABEL_SETS[LABEL_SET_OF[self.config.setting]]

    def dialogues(self, split: str) -> Iterator[Dialogue]:
        """Dialogues of a split by name, utterances in the order in which they start."""
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
                f"{self.dataset_name} {split}: {len(uncut)} turns do not end after they start ({', '.join(uncut[:3])}"
                f"{', ...' * (len(uncut) > 3)}). They stay, with nothing cut out of the recording. "
                f"Raw files: {self.root}"
            )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        found = find_dialogues(self.root)
        # Asked before any row is written: of an error later on `datasets` would only say that there was one.
        split_dialogues(found, self.config)
        report_counts(found, self.root)
        return super()._split_generators(dl_manager)

    def _utterances(self, files: DialogueFiles, uncut: list[str]) -> list[Utterance]:
        """The utterances of a dialogue; names of turns whose times cannot be right are added to `uncut`."""
        clean: Callable[[str], str] = normalize_text if self.config.normalize_text else str
        classes = CLASSES[self.config.setting]
        labelled = read_labels(files.labels)
        spoken = {} if files.transcript is None else read_transcript(files.transcript)
        wavs = files.wavs()
        turns = labelled
        if self.config.other_labels == "context":
            timed = {name: line for name, line in spoken.items() if line.start is not None}
            turns = {**timed, **labelled}
        utterances = []
        for name, line in sorted(turns.items(), key=lambda item: (item[1].start, item[0])):
            label = classes.get(labelled[name].value) if name in labelled else None
            if label is None and self.config.other_labels == "drop":
                continue
            start, end = usable_times(line)
            if start is None:
                uncut.append(name)
            wav = wavs.get(name)
            recording = None if files.avi is None or start is None else str(files.avi)
            utterances.append(
                Utterance(
                    utterance_id=name,
                    speaker=f"Ses{files.session:02d}_{line.speaker}",
                    text=(clean(spoken[name].value) or None) if name in spoken else None,
                    audio_path=recording if wav is None else str(wav),
                    video_path=recording,
                    start=start if wav is None and recording else None,
                    end=end if wav is None and recording else None,
                    label=label,
                    video_start=start,
                    video_end=end,
                    video_half=None if recording is None else self._half(files.name, line.speaker),
                )
            )
        return utterances

    def _half(self, dialogue: str, speaker: str) -> str | None:
        if self.config.video_half == "whole":
            return None
        # Ses01F_impro01: the letter after the session's number tells who wears the markers.
        marked_side, other_side = ("left", "right") if self.config.video_half == "marked_left" else ("right", "left")
        return marked_side if speaker == dialogue[5] else other_side


def usable_times(line: TurnLine) -> tuple[float, float] | tuple[None, None]:
    """Start and end of a turn (seconds), or None twice where nothing can be cut by them."""
    if line.start is None or line.end is None or not 0 <= line.start < line.end:
        return None, None
    return line.start, line.end


def split_dialogues(found: list[DialogueFiles], config: IemocapConfig) -> dict[str, list[DialogueFiles]]:
    """Train, dev and test: the dev dialogues are drawn from all sessions but the test session.

    Raises:
        FileNotFoundError: where the test session, or all the others, have no dialogue.
        ValueError: where nothing would be left to train on.
    """
    by_split: dict[str, list[DialogueFiles]] = {"train": [], "dev": [], "test": []}
    rest = [files.name for files in found if files.session != config.test_session]
    if not rest or len(rest) == len(found):
        held = ", ".join(map(str, sorted({files.session for files in found})))
        raise FileNotFoundError(
            f"test_session is {config.test_session} and there are label files of session {held} alone: "
            "put the other sessions beside it, or choose another test_session"
        )
    dev = hold_out(rest, config.dev_dialogues, config.dev_seed)
    for files in found:
        kept = "dev" if files.name in dev else "train"
        by_split["test" if files.session == config.test_session else kept].append(files)
    return by_split


def count_turns(found: list[DialogueFiles]) -> dict[str, int]:
    """The counts of `EXPECTED_COUNTS` as the label files give them."""
    raw = collections.Counter(line.value for files in found for line in read_labels(files.labels).values())
    settings = {f"{setting} turns": sum(raw[label] for label in classes) for setting, classes in CLASSES.items()}
    labels = {label: raw[label] for label in RAW_LABELS}
    return {"dialogues": len(found), "labelled turns": raw.total(), **settings, **labels}


def report_counts(found: list[DialogueFiles], root: Path) -> None:
    """Warn, once a process, of every count that is not the full release's."""
    counts = count_turns(found)
    differences = [
        f"{name} {counts[name]:,} instead of {expected:,}"
        for name, expected in EXPECTED_COUNTS.items()
        if counts[name] != expected
    ]
    if differences:
        warn_once(f"{root} is not the full release of IEMOCAP: {', '.join(differences)}. It is read as it is.")
