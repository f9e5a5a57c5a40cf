"""Sections on groups of utterances: emotion shift, speaker, position, length."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from ..losses_erc import IGNORE_INDEX
from .html_report import Section, Table, number, with_interval
from .scores import Evaluated, interval, resampled_scores, scores_of

SHIFTS = ("the speaker's first", "same emotion as before", "another emotion than before")


def emotion_shift(labels: np.ndarray, dialogue: np.ndarray, speakers: Sequence[str]) -> np.ndarray:
    """Whether a speaker's emotion has changed since their previous labelled utterance in the dialogue.

    Args:
        labels: `(n,)` class indices, -100 where an utterance has none; dialogues in order, utterances as spoken.
        dialogue: `(n,)`, which dialogue an utterance is of.
        speakers: n names.

    Returns:
        `(n,)` indices into `SHIFTS`: 0 the speaker's first labelled utterance, 1 the same emotion as in their last, 2
        another; -1 for utterances without label.

    Example:
        >>> emotion_shift(np.array([0, 1, 0, 0]), np.zeros(4), ["Ann", "Bo", "Ann", "Bo"]).tolist()
        [0, 0, 1, 2]
    """
    last: dict[tuple[int, str], int] = {}
    groups = np.full(len(labels), -1)
    for index, (label, row, speaker) in enumerate(zip(labels.tolist(), dialogue.tolist(), speakers, strict=True)):
        if label != IGNORE_INDEX:
            before = last.get((row, speaker))
            groups[index] = 0 if before is None else 1 if before == label else 2
            last[row, speaker] = label
    return groups


def quantile_bins(values: np.ndarray, bins: int = 5) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Groups of about equal size by a number; equal numbers are in one group, so that there may be fewer groups.

    Args:
        values: `(n,)`; NaN is in no group.
        bins: groups at most.

    Returns:
        `(n,)` group indices, -1 for NaN, and the smallest and largest value of each group.

    Example:
        >>> quantile_bins(np.array([1, 1, 1, 2, 3, 9]), bins=3)
        (array([0, 0, 0, 1, 2, 2]), [(1.0, 1.0), (2.0, 2.0), (3.0, 9.0)])
    """
    known = ~np.isnan(values)
    groups = np.full(len(values), -1)
    if not known.any():
        return groups, []
    steps = np.arange(1, bins) / bins
    edges = np.unique(np.quantile(values[known], steps, method="inverted_cdf"))
    # Up to and including its edge; numbered anew, since the last group is empty where the edge is the largest value.
    places = np.searchsorted(edges, values[known], side="left")
    groups[known] = np.unique(places, return_inverse=True)[1]
    ends = [values[groups == group] for group in range(groups.max() + 1)]
    return groups, [(float(part.min()), float(part.max())) for part in ends]


def most_frequent(names: Sequence[str], limit: int = 10) -> tuple[np.ndarray, list[str]]:
    """A group for each of the most frequent names, and one for all others.

    Args:
        names: n of them.
        limit: names with a group of their own.

    Returns:
        `(n,)` group indices and the groups' names, the most frequent first.
    """
    counts = Counter(names)
    chosen = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]]
    numbers = {name: number for number, name in enumerate(chosen)}
    groups = np.array([numbers.get(name, len(chosen)) for name in names])
    others = len(counts) - len(chosen)
    return groups, [*chosen, f"{others} others"] if others else chosen


COLUMNS_TEXT = (
    "Brackets hold 95 % intervals. Groups differ in their mix of classes, so the last column names the most frequent "
    "class of each group with its share, which is the accuracy of always naming it."
)


def shift_section(found: Evaluated) -> Section:
    """Utterances whose speaker's emotion has changed, against those where it has not."""
    groups = emotion_shift(found.labels, found.dialogue, [str(u["speaker"]) for u in found.utterances])
    return Section(
        "Emotion shift",
        "Whether the speaker's emotion is the one of their previous labelled utterance in the dialogue. "
        + COLUMNS_TEXT,
        _group_table(found, "group", groups, SHIFTS),
    )


def speaker_section(found: Evaluated) -> Section:
    """Speakers by name, the ten with the most utterances."""
    names = [str(u["speaker"]) for u in found.utterances]
    groups = np.full(len(names), -1)
    scored = np.flatnonzero(found.scored)
    groups[scored], titles = most_frequent([names[i] for i in scored])
    if len(titles) == 1:
        return Section("By speaker", f"Left out: all labelled utterances have one speaker name, {titles[0]!r}.")
    text = "The speaker names with the most labelled utterances, over all dialogues; columns as above."
    return Section("By speaker", text, _group_table(found, "speaker", groups, titles))


def position_section(found: Evaluated) -> Section:
    """By how many utterances came before."""
    groups, titles = _bins(np.where(found.scored, found.position + 1.0, np.nan), "{:.0f}")
    if len(titles) == 1:
        return Section("By position in the dialogue", f"Left out: every labelled utterance is number {titles[0]}.")
    text = "The number of the utterance in its dialogue, in up to five groups of about equal size; columns as above."
    return Section("By position in the dialogue", text, _group_table(found, "utterance number", groups, titles))


def length_section(found: Evaluated) -> Section:
    """By words; where nothing has any, by seconds."""
    words = [np.nan if not u.get("text") else float(len(u["text"].split())) for u in found.utterances]
    times = [(u.get("start"), u.get("end")) for u in found.utterances]
    seconds = [np.nan if start is None or end is None else end - start for start, end in times]
    for values, unit, form in ((words, "words", "{:.0f}"), (seconds, "seconds", "{:.1f}")):
        groups, titles = _bins(np.where(found.scored, values, np.nan), form)
        if titles:
            missing = int((found.scored & (groups < 0)).sum())
            text = f"{unit.capitalize()} of the utterance, in up to five groups of about equal size; columns as above."
            text += f" {missing} without are left out." if missing else ""
            return Section("By utterance length", text, _group_table(found, unit, groups, titles))
    return Section("By utterance length", "Left out: the rows have neither words nor times of start and end.")


def _group_table(found: Evaluated, name: str, groups: np.ndarray, titles: Sequence[str]) -> Table:
    rows = []
    for group, title in enumerate(titles):
        chosen = found.scored & (groups == group)
        if not chosen.any():
            continue
        by_dialogue = found.by_dialogue(chosen)
        scores, resampled = scores_of(by_dialogue.sum(axis=0)), resampled_scores(by_dialogue)
        largest = int(scores.support.argmax())
        rows.append(
            [
                title,
                str(chosen.sum()),
                number(scores.accuracy),
                with_interval(scores.weighted_f1, interval(resampled.weighted_f1)),
                f"{found.class_names[largest]} {scores.support[largest] / chosen.sum():.2f}",
            ]
        )
    return Table([name, "utterances", "accuracy", "weighted F1", "largest class"], rows)


def _bins(values: np.ndarray, form: str) -> tuple[np.ndarray, list[str]]:
    groups, ends = quantile_bins(values)
    write: Callable[[float], str] = form.format
    return groups, [write(low) if low == high else f"{write(low)} to {write(high)}" for low, high in ends]
