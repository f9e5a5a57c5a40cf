import pytest

from datasets_scripts.clock_times import are_milliseconds, names_milliseconds, to_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:10:44,769", 644.769),
        ("00:00:01.000", 1.0),
        ("90:05", 5405.0),
        ("0 days 00:00:01.500000", 1.5),
        ("1 day, 0:00:02", 86402.0),
        (" 12.5 ", 12.5),
        ("12,5", 12.5),
        ("-0.5", -0.5),
        ("1500ms", 1.5),
        ("2 sec", 2.0),
        ("1e1", 10.0),
        ("", None),
        ("soon", None),
        ("1:2:3:4", None),
        ("inf", None),
        ("nan", None),
        ("9" * 5000, None),
    ],
)
def test_usual_forms_of_times(text: str, seconds: float | None) -> None:
    assert to_seconds(text) == seconds


def test_unit_counts_for_plain_numbers_only() -> None:
    assert [to_seconds(text, unit=0.001) for text in ("1500", "0:01", "2 s")] == [1.5, 1.0, 2.0]


@pytest.mark.parametrize("name", ["start_ms", "ms", "EndMS", "begin (msec)", "start_milliseconds", "endMs"])
def test_names_of_milliseconds(name: str) -> None:
    assert names_milliseconds(name)


@pytest.mark.parametrize("name", ["start", "items", "terms", "StartTime", "ITEMS"])
def test_names_of_other_columns(name: str) -> None:
    assert not names_milliseconds(name)


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([("0", "2000"), ("2500", "4000.0")], True),
        ([("0", "2"), ("3", "5")], False),
        ([("0", "2000"), ("2500.5", "4000")], False),
        ([("0", "2000"), ("0:01", "4000")], False),
        ([], False),
    ],
)
def test_size_of_milliseconds(ranges: list[tuple[str, str]], expected: bool) -> None:
    assert are_milliseconds(ranges) == expected
