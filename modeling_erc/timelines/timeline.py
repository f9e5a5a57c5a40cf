"""Joins utterances with the predictions of the pipeline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Turn:
    """One utterance with its predicted emotion.

    Args:
        start: start in seconds, None in a conversation without times.
        end: end in seconds, None in a conversation without times.
        speaker: name of the speaker, None if unknown.
        text: text of the utterance, None if there is only a clip.
        label: predicted emotion; empty for a model of several labels or of targets only.
        score: probability of the predicted emotion.
        scores: probability of each label, in the order of the model.
        modalities: modalities that the model used.
        labels: predicted emotions of a model of several labels, None for any other.
        targets: predicted numbers by name, such as valence.
    """

    start: float | None
    end: float | None
    speaker: str | None
    text: str | None
    label: str
    score: float
    scores: dict[str, float]
    modalities: tuple[str, ...]
    labels: tuple[str, ...] | None = None
    targets: dict[str, float] = field(default_factory=dict)

    @property
    def emotions(self) -> tuple[str, ...]:
        """All predicted emotions: one, or any number from a model of several labels; none from one of targets only."""
        return self.labels if self.labels is not None else (self.label,) if self.label else ()


def is_timed(turns: Sequence[Turn]) -> bool:
    """Whether every turn has its start and end."""
    return all(turn.start is not None and turn.end is not None for turn in turns)


def spans_of(turns: Sequence[Turn]) -> list[tuple[float, float]]:
    """Returns start and end of each turn on the time axis of a figure: seconds, or 1 to 2, 2 to 3 ... without times."""
    if is_timed(turns):
        return [(turn.start or 0.0, turn.end or 0.0) for turn in turns]
    return [(float(number), number + 1.0) for number in range(1, len(turns) + 1)]


def timeline(utterances: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """Joins a dialogue with the pipeline's results for it.

    Args:
        utterances: input of the pipeline.
        results: output of the pipeline, one result per utterance.

    Raises:
        ValueError: the numbers of results and utterances differ.
    """
    if len(utterances) != len(results):
        raise ValueError(f"{len(results)} results for {len(utterances)} utterances: pass those of one dialogue")
    return [
        Turn(
            start=utterance.get("start"),
            end=utterance.get("end"),
            speaker=_writable(utterance.get("speaker")),
            text=_writable(utterance.get("text")),
            label=result.get("label", ""),
            score=result.get("score", 0.0),
            scores=dict(result.get("scores", {})),
            modalities=tuple(result.get("modalities", ())),
            labels=tuple(result["labels"]) if "labels" in result else None,
            targets=dict(result.get("targets", {})),
        )
        for utterance, result in zip(utterances, results, strict=True)
    ]


def _writable(text: str | None) -> str | None:
    """Returns text with `?` for half of an emoji, which JSON may hold and UTF-8 cannot."""
    return None if text is None else text.encode("utf-8", "replace").decode()
