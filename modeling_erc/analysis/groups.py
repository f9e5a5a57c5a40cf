"""Scores of groups of utterances: by emotion shift, dialogue group, speaker, position and length."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..losses_erc import IGNORE_INDEX
from ..training.confusion import bootstrap_scores, scores_of
from ..training.intervals import percentile_interval
from .html_report import Section, Table, number, with_interval
from .scores import Evaluated

SHIFTS = ("the speaker's first", "same emotion as before", "another emotion than before")
COLUMNS_TEXT = (
    "Brackets hold 95 % intervals over dialogues. The mix of classes differs between groups, so the last column gives "
    "the most frequent class of each group with its share, which is the accuracy of always predicting it."
)
NO_ORDER = "Left out: the dialogues are clips of a speaker that were joined, in an order that means nothing."
BINS_TEXT = "in up to five groups of about equal size; columns as above."


def shift_section(result: Evaluated) -> Section:
    """Compares utterances after a change of the speaker's emotion with those without a change."""
    title = "Emotion shift"
    if not result.ordered:
        return Section(title, NO_ORDER)
    groups = emotion_shift(result.labels, result.dialogue, [str(u["speaker"]) for u in result.utterances])
    return Section(
        title,
        "Whether the speaker's emotion equals that of their previous labelled utterance in the dialogue. "
        + COLUMNS_TEXT,
        _group_table(result, "group", groups, SHIFTS),
    )


def emotion_shift(labels: np.ndarray, dialogue: np.ndarray, speakers: Sequence[str]) -> np.ndarray:
    """Returns whether a speaker's emotion has changed since their previous labelled utterance in the dialogue.

    Args:
        labels: `(n,)` class indices, -100 where an utterance has none; in spoken order.
        dialogue: `(n,)` index of the utterance's dialogue.
        speakers: n names.

    Returns:
        `(n,)` indices into `SHIFTS`, where the speaker's first utterance is their first labelled one; -1 for utterances
        without a label.

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


def dialogue_group_section(result: Evaluated) -> Section:
    """Scores the groups of dialogues that the corpus has, such as scripted and improvised scenes."""
    names = [utterance.get("group") for utterance in result.utterances]
    titles = sorted({name for name in names if name is not None})
    if not titles:
        return Section("By group of dialogues", "Left out: the corpus has no groups of dialogues.")
    groups = np.array([-1 if name is None else titles.index(name) for name in names])
    text = "The groups of dialogues of the corpus; columns as above."
    return Section("By group of dialogues", text, _group_table(result, "group", groups, titles))


def speaker_section(result: Evaluated, limit: int = 10) -> Section:
    """Scores the `limit` speaker names with the most labelled utterances, and all others together."""
    names = [str(u["speaker"]) for u in result.utterances]
    counts = Counter(sorted(name for name, scored in zip(names, result.scored, strict=True) if scored))
    if len(counts) == 1:
        return Section(
            "By speaker", f"Left out: all labelled utterances have one speaker name, {next(iter(counts))!r}."
        )
    titles = [name for name, _ in counts.most_common(limit)]
    groups = np.array([titles.index(name) if name in titles else len(titles) for name in names])
    titles += [f"{len(counts) - limit} others"] if len(counts) > limit else []
    text = "The speaker names with the most labelled utterances, over all dialogues; columns as above."
    return Section("By speaker", text, _group_table(result, "speaker", groups, titles))


def position_section(result: Evaluated) -> Section:
    """Scores utterances by their position in the dialogue."""
    title = "By position in the dialogue"
    if not result.ordered:
        return Section(title, NO_ORDER)
    groups, titles = _bins(np.where(result.scored, result.position + 1.0, np.nan), "{:.0f}")
    if len(titles) == 1:
        return Section(title, f"Left out: every labelled utterance is number {titles[0]}.")
    text = f"The number of the utterance in its dialogue, {BINS_TEXT}"
    return Section(title, text, _group_table(result, "utterance number", groups, titles))


def length_section(result: Evaluated) -> Section:
    """Scores utterances by their number of words, or by their seconds where there are no words."""
    words = [len(u["text"].split()) if u.get("text") else np.nan for u in result.utterances]
    times = [(u.get("start"), u.get("end")) for u in result.utterances]
    seconds = [np.nan if start is None or end is None else end - start for start, end in times]
    for values, unit, form in ((words, "words", "{:.0f}"), (seconds, "seconds", "{:.1f}")):
        groups, titles = _bins(np.where(result.scored, values, np.nan), form)
        if titles:
            missing = int((result.scored & (groups < 0)).sum())
            text = f"{unit.capitalize()} of the utterance, {BINS_TEXT}"
            text += f" {missing} without are left out." if missing else ""
            return Section("By utterance length", text, _group_table(result, unit, groups, titles))
    return Section("By utterance length", "Left out: the rows have neither words nor times of start and end.")


def quantile_bins(values: np.ndarray, bins: int = 5) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Splits numbers into groups of about equal size; equal numbers stay in one group, so there may be fewer groups.

    Args:
        values: `(n,)`; NaN is in no group.
        bins: maximum number of groups.

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
    edges = np.unique(np.quantile(values[known], np.arange(1, bins) / bins, method="inverted_cdf"))
    # A group includes its upper edge. The last group is empty where that edge is the largest value: renumber.
    places = np.searchsorted(edges, values[known], side="left")
    groups[known] = np.unique(places, return_inverse=True)[1]
    ends = [values[groups == group] for group in range(groups.max() + 1)]
    return groups, [(float(part.min()), float(part.max())) for part in ends]


def _bins(values: np.ndarray, form: str) -> tuple[np.ndarray, list[str]]:
    groups, ends = quantile_bins(values)
    titles = [(form.format(low), form.format(high)) for low, high in ends]
    return groups, [low if low == high else f"{low} to {high}" for low, high in titles]


def _group_table(result: Evaluated, name: str, groups: np.ndarray, titles: Sequence[str]) -> Table:
    rows = []
    for group, title in enumerate(titles):
        chosen = result.scored & (groups == group)
        if not chosen.any():
            continue
        by_dialogue = result.by_dialogue(chosen)
        scores = scores_of(by_dialogue.sum(axis=0))
        bounds = percentile_interval(bootstrap_scores(by_dialogue).weighted_f1)
        largest = int(scores.support.argmax())
        share = scores.support[largest] / chosen.sum()
        weighted = with_interval(scores.weighted_f1, bounds)
        row = [title, str(chosen.sum()), number(scores.accuracy), weighted]
        rows.append([*row, f"{result.class_names[largest]} {share:.2f}"])
    return Table([name, "utterances", "accuracy", "weighted F1", "largest class"], rows)
