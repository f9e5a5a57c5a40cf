import pytest

from datasets_scripts import CorpusError
from datasets_scripts.split_draw import draw_splits, speaker_groups, split_name

SHARES = {"test": 0.2, "dev": 0.1}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("Train", "train"),
        ("training_set", "train"),
        ("DEV2", "dev"),
        ("Development", "dev"),
        ("valid", "dev"),
        ("Validation-1", "dev"),
        ("Test1", "test"),
        ("testing", "test"),
        ("eval", None),
        ("train/test", None),
        ("latest", None),
        ("", None),
        ("1", None),
    ],
)
def test_names_of_splits(name: str, split: str | None) -> None:
    assert split_name(name) == split


def test_names_in_the_map_take_precedence() -> None:
    assert split_name(" EVAL ", {"eval": "dev"}) == "dev"
    assert split_name("test", {"Test": "dev"}) == "dev"


def test_dialogues_are_grouped_through_chains_of_speakers() -> None:
    speakers = {"a": {"Ann", "Bo"}, "b": {"Cy"}, "c": {"Bo", "Di"}, "d": {"Di"}, "e": set[str](), "f": set[str]()}
    assert speaker_groups(speakers) == [["a", "c", "d"], ["b"], ["e"], ["f"]]


@pytest.mark.parametrize("seed", range(5))
def test_draw_does_not_depend_on_the_order_of_dialogues(seed: int) -> None:
    speakers = {f"d{n}": {f"s{n // 2}"} for n in range(20)}
    drawn, note = draw_splits(speakers, SHARES, "auto", seed)
    assert draw_splits(dict(reversed(speakers.items())), SHARES, "auto", seed) == (drawn, note)
    assert [list(drawn.values()).count(split) for split in SHARES] == [4, 2]
    # The two dialogues of a speaker are in one split.
    assert all(drawn.get(f"d{n}") == drawn.get(f"d{n + 1}") for n in range(0, 20, 2))


def test_a_draw_by_speaker_needs_speakers() -> None:
    with pytest.raises(CorpusError, match="split_by is speaker, but no utterance has a speaker"):
        draw_splits({f"d{n}": set() for n in range(9)}, SHARES, "speaker", 0)


def test_a_draw_without_speakers_mentions_the_column() -> None:
    _, note = draw_splits({f"d{n}": set() for n in range(10)}, SHARES, "auto", 0)
    assert "dialogue-disjoint, as no speaker is named (a column speaker keeps" in note
    assert "no speaker" not in draw_splits({f"d{n}": {f"s{n}"} for n in range(10)}, SHARES, "auto", 0)[1]


def test_too_few_dialogues_stay_in_training() -> None:
    drawn, note = draw_splits({"a": set(), "b": set()}, SHARES, "auto", 0)
    assert (drawn, note) == ({}, "no test and no dev, and too few training dialogues (2) to draw from")


def test_a_speaker_of_most_dialogues_is_never_drawn() -> None:
    speakers = {f"d{n}": {"host"} if n < 8 else {f"guest{n}"} for n in range(12)}
    drawn, note = draw_splits(speakers, SHARES, "auto", 0)
    assert not drawn.keys() & {f"d{n}" for n in range(8)}
    assert "speaker-disjoint" in note
