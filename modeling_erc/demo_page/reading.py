"""Emotions of a conversation, predicted with all modalities and with some of them switched off."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..configuration_erc import MODALITIES
from ..pipeline_erc import EmotionRecognitionPipeline, synthetic_note
from ..timelines import Turn, is_timed, timeline, write_timeline
from .limits import LIMITS, Limits, PageError
from .script import read_script
from .upload import with_recording

NAMES = {"text": "words", "audio": "voice", "vision": "face"}
DOWNLOADS = (".csv", ".json", ".vtt")


@dataclass(frozen=True)
class Reading:
    """A conversation and its predicted emotions.

    Args:
        utterances: the input of the pipeline.
        whole: predictions with all modalities.
        shown: predictions with the modalities that are switched on.
        notes: guesses and omissions while reading, one sentence each.
        recording: audio or video file of the conversation.
    """

    utterances: list[dict[str, Any]]
    whole: list[Turn]
    shown: list[Turn]
    notes: list[str]
    recording: Path | None = None

    @property
    def changed(self) -> list[int]:
        """Indices of the turns whose emotions differ from those with all modalities."""
        pairs = zip(self.whole, self.shown, strict=True)
        return [place for place, (before, now) in enumerate(pairs) if before.emotions != now.emotions]

    @property
    def timed(self) -> bool:
        """Whether every turn has times; subtitles need them."""
        return is_timed(self.shown)


class Reader:
    """Predicts the emotions of conversations with one model.

    Args:
        pipe: pipeline with the model.
        limits: maximum sizes of the input.

    Attributes:
        modalities: modalities that can be typed or uploaded.
        labels: labels of the model, in its order; none where it predicts numbers only.
        predicted: what the model predicts of a turn, such as `the emotion` or `valence`.
        origin: a sentence about a model of synthetic data, else None.

    Raises:
        ValueError: the model takes precomputed features only, which cannot be typed or uploaded.
    """

    def __init__(self, pipe: EmotionRecognitionPipeline, limits: Limits = LIMITS) -> None:
        raw = set(pipe.model.erc_model.encoders)
        if not raw:
            raise ValueError("the checkpoint takes precomputed features: the page needs one with backbones")
        self.pipe, self.limits = pipe, limits
        self.modalities: list[str] = [m for m in pipe.model.config.modalities if m in raw]
        self.origin: str | None = synthetic_note(pipe.model.config)
        config = pipe.model.config
        self.labels: list[str] = [config.id2label[index] for index in range(config.num_classes)]
        emotion = "every emotion" if config.problem_type == "multi_label_classification" else "the emotion"
        self.predicted: list[str] = [*([emotion] if self.labels else []), *(config.target_names or ())]

    def read(self, script: str, recording: Path | None, modalities: Sequence[str]) -> Reading:
        """Predicts the emotions of a typed conversation.

        Args:
            script: lines in the form of `read_script`.
            recording: audio or video file of the whole conversation.
            modalities: modalities that are switched on.

        Raises:
            PageError: the input is empty, too large, or cannot be read.
        """
        self.limits.check_script(script)
        conversation = read_script(script)
        self.limits.check_conversation(conversation)
        if recording is not None:
            conversation = with_recording(conversation, recording, self.limits)
        whole = self._turns(conversation.utterances, self.modalities)
        doubts = [note for note in self.pipe.notes(conversation.utterances) if note != self.origin]
        notes = [*conversation.notes, *doubts, *self._unusable(conversation.utterances, whole)]
        reading = Reading(conversation.utterances, whole, whole, notes, recording)
        return self.switch(reading, modalities)

    def switch(self, reading: Reading, modalities: Sequence[str]) -> Reading:
        """Predicts the emotions of the same conversation again with a subset of the modalities.

        Raises:
            PageError: no modality is switched on.
        """
        chosen = [m for m in self.modalities if m in modalities]
        if not chosen:
            raise PageError("Everything is switched off: leave one on.")
        shown = reading.whole if chosen == self.modalities else self._turns(reading.utterances, chosen)
        return replace(reading, shown=shown)

    def _turns(self, utterances: list[dict[str, Any]], modalities: Sequence[str]) -> list[Turn]:
        try:
            with self.limits.computing():
                return timeline(utterances, self.pipe(utterances, modalities=list(modalities)))
        except PageError:
            raise
        except ValueError as error:
            raise PageError(f"The model cannot read this: {error}") from error

    def _unusable(self, utterances: Sequence[dict[str, Any]], turns: Sequence[Turn]) -> list[str]:
        """Notes the turns whose clip the model could not use, such as a silent one."""
        notes = []
        for modality in self.modalities:
            source = MODALITIES[modality].raw[0]
            pairs = zip(utterances, turns, strict=True)
            lost = [str(n) for n, (u, t) in enumerate(pairs, 1) if u.get(source) and modality not in t.modalities]
            if lost:
                more = "" if len(lost) < 9 else f" and {len(lost) - 8} more"
                notes.append(f"No usable {NAMES[modality]} in turn {', '.join(lost[:8])}{more}.")
        return notes


def joined(words: Sequence[str]) -> str:
    """Joins words to a phrase.

    Example:
        >>> joined(["words", "voice", "face"])
        'words, voice and face'
    """
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def write_downloads(reading: Reading, folder: Path) -> dict[str, Path | None]:
    """Writes the shown predictions as files, `{suffix: path}`; subtitles without times are None."""
    paths: dict[str, Path | None] = dict.fromkeys(DOWNLOADS)
    for suffix in DOWNLOADS:
        if suffix != ".vtt" or reading.timed:
            paths[suffix] = path = folder / f"emotions{suffix}"
            write_timeline(reading.shown, path)
    return paths
