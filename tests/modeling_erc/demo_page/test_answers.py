"""Several labels and targets on the page: charts, tiles, table and what changes, of real models and of given turns."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from modeling_erc.demo_page.reading import Reader, Reading
from modeling_erc.demo_page.views import empty_view, results_view, table_view
from modeling_erc.timelines import Turn
from tests.modeling_erc.demo_page.test_views import Page

SCRIPT = "[0:00 - 0:00.5] Ann: we won\n[0:00.5 - 0:01] Bo: oh no\n[0:01 - 0:01.5] Ann: w1 w2 w3"
EMOTIONS = {"id2label": {0: "joy", 1: "fear", 2: "anger"}}
DIMENSIONS: dict[str, Any] = {"target_names": ["valence", "arousal", "dominance"], "target_mean": [3.0, 10.0, -1.0]}
SEVERAL = {"problem_type": "multi_label_classification", **EMOTIONS}
TASKS: dict[str, dict[str, Any]] = {
    "targets": {"problem_type": "regression", **DIMENSIONS},
    "several labels": SEVERAL,
    "several labels and targets": {**SEVERAL, **DIMENSIONS},
    "one label and targets": {**EMOTIONS, **DIMENSIONS},
}


def pictures(html: str) -> list[ElementTree.Element]:
    """The drawings of a page, each of which has to be XML."""
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", html)]


@pytest.mark.parametrize("task", TASKS)
def test_a_model_shows_all_its_answers(task: str, reader_of: Callable[..., Reader], clips: dict[str, Path]) -> None:
    reader = reader_of(**TASKS[task])
    reading = reader.read(SCRIPT, clips["long.wav"], ["text", "audio"])
    targets, several = "targets" in task, task.startswith("several")
    results, table = results_view(reading, []), table_view(reading)
    assert Page(results).tags.count("svg") == 3 * targets + several
    for picture in pictures(results):
        assert picture.get("role") == "img"
        title = picture.find("title")
        assert title is not None
        assert title.text
        assert title.text.endswith("the table has all numbers.")
    columns = ([] if task == "targets" else ["joy", "fear", "anger"]) + DIMENSIONS["target_names"] * targets
    assert re.findall(r'class="erc-num">([^<]*)</th>', table) == columns
    numbers = [[*turn.scores.values(), *turn.targets.values()] for turn in reading.shown]
    cells = re.findall(r'<td class="erc-num[^>]*>([^<]*)</td>', table)
    assert cells == [f"{number:.2f}" for row in numbers for number in row]
    assert Page(table).tags.count("tr") == 1 + 3
    assert "was" not in results


@pytest.mark.parametrize("task", TASKS)
def test_the_empty_page_says_what_the_model_predicts(task: str, reader_of: Callable[..., Reader]) -> None:
    reader = reader_of(**TASKS[task])
    words = Page(empty_view(reader.predicted, reader.labels)).words
    assert words.startswith(
        {
            "targets": "Valence, arousal and dominance of every turn appear here.",
            "several labels": "Every emotion of every turn appears here.",
            "several labels and targets": "Every emotion, valence, arousal and dominance of every turn appear here.",
            "one label and targets": "The emotion, valence, arousal and dominance of every turn appear here.",
        }[task]
    )
    assert ("joy" in words) == (task != "targets")


def test_without_the_voice_the_largest_change_of_every_target_is_named_and_drawn(
    reader_of: Callable[..., Reader], clips: dict[str, Path]
) -> None:
    reader = reader_of(**TASKS["targets"])
    reading = reader.read(SCRIPT, clips["long.wav"], ["text"])
    html = results_view(reading, ["audio"])
    for name in DIMENSIONS["target_names"]:
        pairs = list(zip(reading.whole, reading.shown, strict=True))
        differences = [abs(now.targets[name] - before.targets[name]) for before, now in pairs]
        place = differences.index(max(differences))
        before, now = (turn.targets[name] for turn in pairs[place])
        assert f"{name} changes most in turn {place + 1}, from {before:.2f} to {now:.2f}" in html
    assert [len(picture.findall("path[@class='erc-before']")) for picture in pictures(html)] == [1, 1, 1]


def numbers(*values: float, speaker: str = "Ann") -> list[Turn]:
    return [Turn(None, None, speaker, "Hi", "", 0.0, {}, ("text",), targets={"valence": v}) for v in values]


def emotions(*labels: Sequence[str]) -> list[Turn]:
    scores = dict.fromkeys(("joy", "fear", "anger"), 0.25)
    return [
        Turn(None, None, "Ann", "Hi", "", 0.0, {**scores, **dict.fromkeys(own, 0.75)}, ("text",), labels=tuple(own))
        for own in labels
    ]


def reading_of(whole: Sequence[Turn], shown: Sequence[Turn]) -> Reading:
    return Reading([{} for _ in whole], [replace(turn, modalities=("text", "audio")) for turn in whole], [*shown], [])


def test_the_largest_change_of_a_number_is_named_and_marked() -> None:
    reading = reading_of(numbers(1.0, 2.0, 3.0), numbers(1.1, 0.75, 3.0))
    words = Page(results_view(reading, ["audio"])).words
    assert "Without voice,  valence changes most in turn 2, from 2.00 to 0.75" in words
    assert words.count("was  valence 2.00") == 1
    assert "with everything switched on" in words
    same = Page(results_view(reading_of(numbers(1.0, 2.0), numbers(1.001, 2.0)), ["audio"])).words
    assert "Without voice,  valence does not change" in same
    assert "was" not in same
    assert "switched on" not in same


def test_the_labels_that_change_are_counted_and_marked() -> None:
    reading = reading_of(emotions(["joy"], ["joy", "fear"], []), emotions(["joy"], ["anger"], ["fear"]))
    html = results_view(reading, ["audio"])
    words = Page(html).words
    assert "the emotions of 2 of 3 turns change: joy in 1, fear in 2 and anger in 1" in words
    assert words.count("was  joy + fear") == words.count("was  none") == 1
    assert html.count('class="erc-changed"') == 2
    assert "no emotion changes" in results_view(reading_of(reading.whole, reading.whole), ["audio"])


def test_every_emotion_of_a_turn_has_a_swatch_with_its_probability() -> None:
    turns = emotions(["joy", "anger"], [])
    html = results_view(Reading([{}, {}], turns, turns, []), [])
    first, second = re.findall(r"<li><a.*?</a></li>", html)
    assert re.findall(r"<bdi>(\w+)</bdi></b><span>(\d+)%", first) == [("joy", "75"), ("anger", "75")]
    assert "none" in second
    assert 'aria-label="Turns of each emotion"' in html
    assert re.findall(r"<bdi>(\w+)</bdi> <b>(\d)</b>", html) == [("joy", "1"), ("fear", "0"), ("anger", "1")]
    assert 'title="1 Ann: Hi (joy + anger)"' in html
    assert "<b><bdi>joy</bdi></b><br/>" in table_view(Reading([{}, {}], turns, turns, []))


def test_a_turn_read_from_fewer_modalities_says_so_without_a_column_of_emotions() -> None:
    turns = [
        replace(turn, modalities=used) for turn, used in zip(numbers(1, 2), [("text", "audio"), ("text",)], strict=True)
    ]
    table = Page(table_view(Reading([{}, {}], turns, turns, [])))
    assert table.words.count("from words") == 1
    assert table.tags.count("td") == 2


def test_names_of_labels_targets_and_speakers_are_escaped() -> None:
    bad = "<img src=x onerror=alert(1)>\"' onclick='x"
    turns = [
        Turn(0.0, 1.0, speaker, "Hi", "", 0.0, {bad: 0.7}, ("text",), labels=(bad,), targets={bad: value})
        for speaker, value in ((bad, 1.0), ("Bo", 2.0))
    ]
    whole = [replace(turn, labels=(), targets={bad: 9.0}, modalities=("text", "audio")) for turn in turns]
    reading = Reading([{}, {}], whole, turns, [])
    for html in (results_view(reading, ["audio"]), table_view(reading), empty_view([bad], [bad])):
        assert "img" not in Page(html).tags
        assert "<img" not in html
    assert len(pictures(results_view(reading, []))) == 2
