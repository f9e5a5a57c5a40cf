import numpy as np

from modeling_erc.analysis.groups import emotion_shift, most_frequent, quantile_bins

NONE = -100


def shifts(*turns: tuple[int, str, int]) -> list[int]:
    dialogue, speakers, labels = zip(*turns, strict=True)
    return emotion_shift(np.array(labels), np.array(dialogue), speakers).tolist()


def test_a_shift_is_within_speaker_and_dialogue() -> None:
    found = shifts((0, "Ann", 1), (0, "Bo", 2), (0, "Ann", 1), (0, "Bo", 1), (0, "Ann", 2), (1, "Ann", 0))
    assert found == [0, 0, 1, 2, 2, 0]


def test_utterances_without_label_are_skipped_and_remembered_by_nothing() -> None:
    assert shifts((0, "Ann", NONE), (0, "Ann", 1), (0, "Ann", NONE), (0, "Ann", 1), (0, "Ann", 0)) == [-1, 0, -1, 1, 2]


def test_bins_are_of_about_equal_size_and_split_no_number() -> None:
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


def test_what_has_no_number_is_in_no_bin() -> None:
    groups, ends = quantile_bins(np.array([np.nan, 3, np.nan, 8]), bins=2)
    assert groups.tolist() == [-1, 0, -1, 1]
    assert ends == [(3, 3), (8, 8)]
    nothing, no_ends = quantile_bins(np.full(3, np.nan))
    assert nothing.tolist() == [-1] * 3
    assert no_ends == []


def test_the_most_frequent_names_come_first_and_the_rest_together() -> None:
    names = ["c", "a", "b", "a", "d", "b", "a"]
    groups, titles = most_frequent(names, limit=2)
    assert titles == ["a", "b", "2 others"]
    assert groups.tolist() == [2, 0, 1, 0, 2, 1, 0]
    assert most_frequent(names, limit=4)[1] == ["a", "b", "c", "d"]
