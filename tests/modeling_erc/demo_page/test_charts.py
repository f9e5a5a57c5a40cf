"""Coordinates of the charts: times across, numbers upwards."""

import re

import pytest

from modeling_erc.demo_page.charts import HEIGHT, WIDTH, Scale, bands, curve, ends, line, places
from modeling_erc.timelines import Turn, voices


def turn(start: float | None, end: float | None, speaker: str = "Ann", **scores: float) -> Turn:
    return Turn(start, end, speaker, "Hi", "", 0.0, scores, ("text",), labels=())


TIMED = [turn(10, 12), turn(14, 15, "Bo"), turn(15, 20)]


@pytest.mark.parametrize(
    "numbers",
    [[0.0, 1.0], [-2.7, 2.9], [3.2], [0.0], [-4.0, -4.0], [1e-6, 3e-6], [7.0, 7.0 + 1e-15], [1e6, 3e6, 2.5e6]],
)
def test_a_scale_contains_its_numbers_and_has_a_few_round_ticks(numbers: list[float]) -> None:
    scale = Scale.around(numbers)
    assert all(-1e-9 <= scale.share(number) <= 1 + 1e-9 for number in numbers)
    assert 2 <= len(scale.ticks) <= 7
    assert len({f"{tick:.10g}" for tick in scale.ticks}) == len(scale.ticks)
    assert f"{scale.step:.0e}"[0] in "125"
    assert scale.share(scale.ticks[0]) == 0
    assert scale.share(scale.ticks[-1]) == pytest.approx(1)


def test_turns_are_placed_by_their_times_or_in_equal_widths() -> None:
    assert places(TIMED) == [(0.0, 0.2), (0.4, 0.1), (0.5, 0.5)]
    assert re.findall(r"<span>([\d:.]+)</span>", ends(TIMED)) == ["0:10.0", "0:20.0"]
    untimed = [*TIMED, turn(None, None)]
    assert places(untimed) == [(0.0, 0.25), (0.25, 0.25), (0.5, 0.25), (0.75, 0.25)]
    assert ends(untimed) == ""
    assert places([turn(3, 3)]) == [(0.0, 0.0)]


def test_the_heights_of_bands_are_the_scores() -> None:
    turns = [turn(0, 1, joy=0.5, fear=0.25), turn(1, 4, joy=0.0, fear=1.0)]
    drawn = bands(turns, {"joy": "#111111", "fear": "#222222"}, Scale(0, 2, 0.5))
    boxes = [[float(n) for n in box] for box in re.findall(r'd="M([\d.]+) ([\d.]+)V([\d.]+)H([\d.]+)V[\d.]+Z"', drawn)]
    assert boxes == [[0, 100, 75, 250], [0, 75, 62.5, 250], [250, 100, 100, 1000], [250, 100, 50, 1000]]
    assert re.findall(r"color:(#\w+)", drawn) == ["#111111", "#222222"] * 2


def test_a_curve_has_a_bar_for_each_turn_in_the_colour_of_its_speaker() -> None:
    drawn = curve(TIMED, [1, 0, 0.5], voices(TIMED), Scale(0, 1, 0.5))
    ann, bo = voices(TIMED)
    assert f'--colour:{ann.colour}" d="M0.0 0.00H200.0M500.0 50.00H1000.0"' in drawn
    assert f'--colour:{bo.colour}" d="M400.0 100.00H500.0"' in drawn
    assert line(TIMED, [1, 0, 0.5], Scale(0, 1, 0.5), "x") in drawn.replace("erc-line", "x")
    assert 'd="M100.0 0.00L450.0 100.00L750.0 50.00"' in drawn
    assert (WIDTH, HEIGHT) == (1000, 100)
