"""What the model makes of a conversation, with all that it can use and with some of it switched off."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..configuration_erc import MODALITIES
from ..pipeline_erc import EmotionRecognitionPipeline
from ..timelines import Turn, timeline, write_timeline
from .limits import LIMITS, Limits, PageError
from .script import read_script
from .upload import with_recording

NAMES = {"text": "words", "audio": "voice", "vision": "face"}
DOWNLOADS = (".csv", ".json", ".vtt")


@dataclass(frozen=True)
class Reading:
    """A conversation and its emotions.

    Args:
        utterances: as the pipeline takes them.
        whole: with all modalities.
        shown: with those that are switched on.
        notes: what was left out, a sentence each.
    """

    utterances: list[dict[str, Any]]
    whole: list[Turn]
    shown: list[Turn]
    notes: list[str]

    @property
    def changed(self) -> list[int]:
        """Places of the turns whose label is another than with all modalities."""
        pairs = zip(self.whole, self.shown, strict=True)
        return [place for place, (before, now) in enumerate(pairs) if before.label != now.label]

    @property
    def timed(self) -> bool:
        """Whether every turn has times, which subtitles need."""
        return all(turn.start is not None and turn.end is not None for turn in self.shown)


class Reader:
    """Reads conversations with one model.

    Args:
        pipe: the model.
        limits: of what is handed in.

    Raises:
        ValueError: the model reads precomputed features, which nobody can paste.
    """

    def __init__(self, pipe: EmotionRecognitionPipeline, limits: Limits = LIMITS) -> None:
        raw = set(pipe.model.erc_model.encoders)
        if not raw:
            raise ValueError("the checkpoint reads precomputed features: the page needs one that brings its backbones")
        self.pipe, self.limits = pipe, limits
        self.modalities: list[str] = [m for m in pipe.model.config.modalities if m in raw]
        self.labels: list[str] = [name for _, name in sorted(pipe.model.config.id2label.items())]

    def read(self, script: str, recording: Path | None, modalities: Sequence[str]) -> Reading:
        """Reads the lines of a page.

        Args:
            script: lines, as `read_script` takes them.
            recording: sound or video of all of the conversation.
            modalities: those that are switched on.

        Raises:
            PageError: something is missing, too large, or cannot be read.
        """
        self.limits.check_script(script)
        conversation = read_script(script)
        self.limits.check_conversation(conversation)
        if recording is not None:
            conversation = with_recording(conversation, recording, self.limits)
        whole = self._turns(conversation.utterances, self.modalities)
        reading = Reading(
            conversation.utterances, whole, whole, [*conversation.notes, *self._masked(conversation, whole)]
        )
        return self.switch(reading, modalities)

    def switch(self, reading: Reading, modalities: Sequence[str]) -> Reading:
        """Reads the same conversation again, with some modalities.

        Raises:
            PageError: none is switched on.
        """
        chosen = [m for m in self.modalities if m in modalities]
        if not chosen:
            raise PageError("Everything is switched off: leave one on.")
        shown = reading.whole if chosen == self.modalities else self._turns(reading.utterances, chosen)
        return Reading(reading.utterances, reading.whole, shown, reading.notes)

    def _turns(self, utterances: list[dict[str, Any]], modalities: Sequence[str]) -> list[Turn]:
        try:
            return timeline(utterances, self.pipe(utterances, modalities=list(modalities)))
        except ValueError as error:
            raise PageError(f"The model cannot read this: {error}") from error

    def _masked(self, conversation: Any, turns: Sequence[Turn]) -> list[str]:
        """Tells of clips that were handed in and could not be used, such as silent ones."""
        notes = []
        for modality in self.modalities:
            source = MODALITIES[modality].raw[0]
            pairs = zip(conversation.utterances, turns, strict=True)
            lost = [str(n) for n, (u, t) in enumerate(pairs, 1) if u.get(source) and modality not in t.modalities]
            if lost:
                more = "" if len(lost) < 9 else f" and {len(lost) - 8} more"
                notes.append(f"No usable {NAMES[modality]} in turn {', '.join(lost[:8])}{more}.")
        return notes


def write_downloads(reading: Reading, folder: Path) -> dict[str, Path | None]:
    """Writes what is shown as files, `{suffix: path}`; None where the form needs times that are not there."""
    paths: dict[str, Path | None] = {}
    for suffix in DOWNLOADS:
        paths[suffix] = None if suffix == ".vtt" and not reading.timed else folder / f"emotions{suffix}"
        if path := paths[suffix]:
            write_timeline(reading.shown, path)
    return paths
