import pytest

from datasets_scripts.builder import hold_out


def test_order_of_the_ids_does_not_matter() -> None:
    ids = [f"d{number}" for number in range(30)]
    assert hold_out(ids, 5, seed=1) == hold_out(ids[::-1], 5, seed=1)


def test_seeds_take_different_dialogues_of_the_asked_number() -> None:
    ids = [f"d{number}" for number in range(30)]
    drawn = {hold_out(ids, 5, seed) for seed in range(5)}
    assert len(drawn) == 5
    assert all(len(taken) == 5 and taken < set(ids) for taken in drawn)


@pytest.mark.parametrize("count", [-1, 3, 4])
def test_taking_everything_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="keep at least one for training"):
        hold_out(["a", "b", "c"], count, seed=0)
