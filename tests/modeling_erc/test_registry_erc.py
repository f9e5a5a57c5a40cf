from collections.abc import Callable

import pytest

from modeling_erc.registry_erc import Registry


def test_an_entry_is_found_under_its_name_and_returned_unchanged() -> None:
    sums: Registry[Callable[[int], int]] = Registry("sum")

    @sums.register("double")
    def double(value: int) -> int:
        return 2 * value

    assert sums["double"] is double and double(2) == 4 and sorted(sums) == ["double"]


def test_a_miss_names_what_there_is_and_the_nearest() -> None:
    numbers: Registry[int] = Registry("number")
    numbers.register("three")(3)
    numbers.register("seven")(7)
    with pytest.raises(ValueError, match=r"unknown number 'sevn': choose one of seven, three\. Did you mean 'seven'\?"):
        numbers["sevn"]
    with pytest.raises(ValueError, match=r"unknown number 'x': choose one of seven, three\.$"):
        numbers["x"]
    assert sorted(numbers) == ["seven", "three"]
