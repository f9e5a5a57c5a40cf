"""Utterances and what the pipeline said of them, joined."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Turn:
    """One utterance with its emotion.

    Args:
        start: seconds, None where the conversation has no times.
        end: likewise.
        speaker: None where nobody is named.
        text: what is said, None where only a clip is known.
        label: the emotion.
        score: its probability.
        scores: of all labels, in the model's order.
        modalities: what the model could use.
    """

    start: float | None
    end: float | None
    speaker: str | None
    text: str | None
    label: str
    score: float
    scores: dict[str, float]
    modalities: tuple[str, ...]


def timeline(utterances: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """Joins a dialogue with the pipeline's results for it.

    Args:
        utterances: what the pipeline was given.
        results: what it returned, one for each.

    Raises:
        ValueError: there are not as many results as utterances.
    """
    if len(utterances) != len(results):
        raise ValueError(f"{len(results)} results for {len(utterances)} utterances: pass those of one dialogue")
    return [
        Turn(
            start=utterance.get("start"),
            end=utterance.get("end"),
            speaker=utterance.get("speaker"),
            text=utterance.get("text"),
            label=result["label"],
            score=result["score"],
            scores=dict(result["scores"]),
            modalities=tuple(result.get("modalities", ())),
        )
        for utterance, result in zip(utterances, results, strict=True)
    ]
