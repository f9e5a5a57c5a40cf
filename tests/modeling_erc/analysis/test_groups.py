from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from modeling_erc.analysis.groups import (
    dialogue_group_section,
    emotion_shift,
    length_section,
    position_section,
    quantile_bins,
    shift_section,
    speaker_section,
)
from modeling_erc.analysis.html_report import Section
from modeling_erc.analysis.scores import Evaluated

# Two dialogues; what is -100 has no label. Columns: dialogue, speaker, label, prediction, text, start, end.
ROWS: list[tuple[int, str, int, int, str | None, float | None, float | None]] = [
    (0, "Ann", 0, 0, "one", 0.0, 0.5),
    (0, "Bo", 1, 1, "one two", 0.5, 1.5),
    (0, "Ann", 0, 0, None, 1.5, 2.0),
    (0, "Ann", 1, 0, "one two three", 2.0, 5.0),
    (0, "Bo", -100, 1, "one two three four five six", 5.0, 9.0),
    (0, "Bo", 0, 1, "one two", 9.0, None),
    (1, "Ann", 1, 1, "one", None, None),
    (1, "Ann", 1, 1, "one two three", 0.0, 3.0),
]


def evaluated(**columns: Any) -> Evaluated:
    """`ROWS`, with a value for all in place of a column."""
    dialogue, _, labels, predicted, *_ = (np.array(column) for column in zip(*ROWS, strict=True))
    names = ("speaker", "text", "start", "end")
    utterances = [
        {"dialogue_id": "d", "utterance_id": "u", **dict(zip(names, (row[1], *row[4:]), strict=True)), **columns}
        for row in ROWS
    ]
    position = np.array([0, 1, 2, 3, 4, 5, 0, 1])
    logits = np.eye(2)[predicted.astype(int)]
    vectors, counts = np.zeros((8, 2)), np.array([5, 5])
    return Evaluated(
        "test", ["sad", "glad"], logits, labels.astype(int), dialogue, position, vectors, utterances, counts
    )


def rows_of(section: Section) -> dict[str, list[str]]:
    assert section.table is not None
    assert section.table.columns[1:] == ["utterances", "accuracy", "weighted F1", "largest class"]
    return {row[0]: [row[1], row[2], row[3].partition(" ")[0], row[4]] for row in section.table.rows}


def test_a_changed_emotion_is_distinguished_from_the_same() -> None:
    assert rows_of(shift_section(evaluated())) == {
        "the speaker's first": ["3", "1.000", "1.000", "glad 0.67"],
        "same emotion as before": ["2", "1.000", "1.000", "sad 0.50"],
        "another emotion than before": ["2", "0.000", "0.000", "sad 0.50"],
    }


def test_groups_of_dialogues_are_scored_where_the_corpus_has_them() -> None:
    assert dialogue_group_section(evaluated()).table is None
    result = evaluated()
    for utterance, dialogue in zip(result.utterances, result.dialogue, strict=True):
        utterance["group"] = ("improvised", "scripted")[dialogue]
    assert rows_of(dialogue_group_section(result)) == {
        "improvised": ["5", "0.600", "0.600", "sad 0.60"],
        "scripted": ["2", "1.000", "1.000", "glad 1.00"],
    }


def test_speakers_are_scored_by_name_over_dialogues() -> None:
    rows = rows_of(speaker_section(evaluated()))
    assert list(rows) == ["Ann", "Bo"]
    weighted = f1_score([0, 0, 1, 1, 1], [0, 0, 0, 1, 1], average="weighted")
    assert rows["Ann"] == ["5", "0.800", f"{weighted:.3f}", "glad 0.60"]
    assert rows["Bo"][:2] == ["2", "0.500"]


def test_the_most_frequent_speakers_come_first_and_the_rest_together() -> None:
    assert {name: row[0] for name, row in rows_of(speaker_section(evaluated(), limit=1)).items()} == {
        "Ann": "5",
        "1 others": "2",
    }


def test_one_speaker_name_gives_no_table() -> None:
    section = speaker_section(evaluated(speaker="M"))
    assert section.table is None
    assert section.text == "Left out: all labelled utterances have one speaker name, 'M'."


def test_positions_count_from_one_and_context_counts() -> None:
    rows = rows_of(position_section(evaluated()))
    assert [(name, row[0]) for name, row in rows.items()] == [
        ("1", "2"),
        ("2", "2"),
        ("3", "1"),
        ("4", "1"),
        ("6", "1"),
    ]


@pytest.mark.parametrize("section", [shift_section, position_section])
def test_joined_clips_have_neither_shifts_nor_positions(section: Callable[[Evaluated], Section]) -> None:
    result = section(replace(evaluated(), ordered=False))
    assert result.table is None
    assert result.text.startswith("Left out: the dialogues are clips of a speaker")


def test_length_is_in_words_where_there_are_any() -> None:
    section = length_section(evaluated())
    assert section.table is not None
    assert section.table.columns[0] == "words"
    assert {name: row[0] for name, row in rows_of(section).items()} == {"1": "2", "2": "2", "3": "2"}
    assert section.text.endswith("1 without are left out.")


def test_length_is_in_seconds_where_there_are_no_words() -> None:
    section = length_section(evaluated(text=None))
    assert section.table is not None
    assert section.table.columns[0] == "seconds"
    assert {name: row[0] for name, row in rows_of(section).items()} == {"0.5": "2", "1.0": "1", "3.0": "2"}
    assert section.text.endswith("2 without are left out.")


@pytest.mark.parametrize("missing", [{"start": None}, {"end": None}])
def test_length_is_left_out_where_it_is_unknown(missing: dict[str, None]) -> None:
    section = length_section(evaluated(text=None, **missing))
    assert section.table is None
    assert section.text.startswith("Left out: the rows have neither words nor times")


def shifts(*turns: tuple[int, str, int]) -> list[int]:
    dialogue, speakers, labels = zip(*turns, strict=True)
    return emotion_shift(np.array(labels), np.array(dialogue), speakers).tolist()


def test_a_shift_is_within_speaker_and_dialogue() -> None:
    found = shifts((0, "Ann", 1), (0, "Bo", 2), (0, "Ann", 1), (0, "Bo", 1), (0, "Ann", 2), (1, "Ann", 0))
    assert found == [0, 0, 1, 2, 2, 0]


def test_utterances_without_label_are_skipped() -> None:
    assert shifts((0, "Ann", -100), (0, "Ann", 1), (0, "Ann", -100), (0, "Ann", 1), (0, "Ann", 0)) == [-1, 0, -1, 1, 2]


def test_bins_have_about_equal_size_and_equal_numbers_stay_together() -> None:
    values = np.random.default_rng(0).permutation(np.repeat(np.arange(1, 31), 7)).astype(float)
    groups, ends = quantile_bins(values)
    assert ends == [(1, 6), (7, 12), (13, 18), (19, 24), (25, 30)]
    for group, (low, high) in enumerate(ends):
        np.testing.assert_array_equal(groups == group, (values >= low) & (values <= high))


def test_bins_of_few_numbers_are_fewer() -> None:
    groups, ends = quantile_bins(np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 2.0]))
    assert ends == [(1, 1), (2, 2)]
    assert groups.tolist() == [0] * 9 + [1]
    assert quantile_bins(np.array([4.0, 4.0]))[1] == [(4, 4)]


def test_nan_is_in_no_bin() -> None:
    groups, ends = quantile_bins(np.array([np.nan, 3, np.nan, 8]), bins=2)
    assert groups.tolist() == [-1, 0, -1, 1]
    assert ends == [(3, 3), (8, 8)]
    nothing, no_ends = quantile_bins(np.full(3, np.nan))
    assert nothing.tolist() == [-1] * 3
    assert no_ends == []
