"""HTML of a reading."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from modeling_erc.demo_page.reading import Reading
from modeling_erc.demo_page.views import message_view, results_view, table_view
from modeling_erc.timelines import Turn


def turn(label: str, text: str = "Hi", speaker: str | None = "Ann", start: float | None = None) -> Turn:
    scores = {"joy": 0.2, "anger": 0.1, "odd <one>": 0.0} | {label: 0.7}
    end = None if start is None else start + 1
    return Turn(start, end, speaker, text, label, scores[label], scores, ("text",))


class Page(HTMLParser):
    """Collects tags and text, and checks that every tag is closed and no attribute holds a script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.append(tag)
        assert all(not name.startswith("on") for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data + " "


def test_turns_are_shown_with_labels_and_changes() -> None:
    whole = [turn("joy", start=0), turn("anger", speaker=None, start=61.25)]
    whole = [replace(turn, modalities=("text", "audio", "vision")) for turn in whole]
    shown = [turn("joy", start=0), turn("joy", speaker=None, start=61.25)]
    reading = Reading([{}, {}], whole, shown, ["No usable voice in turn 2."])
    page = Page(results_view(reading, ["audio", "vision"]))
    assert "Without voice and face,  1 of 2 labels changes" in page.words and "No usable voice" in page.words
    assert page.words.count("was  anger") == 1 and "1:02.2" in page.words
    table = Page(table_view(reading))
    assert table.tags.count("tr") == 3 and table.tags.count("td") == 2 * 4 and "was  anger" in table.words
    assert "2 turns, read from words." in page.words and "from words" not in table.words
    assert "Without" not in Page(results_view(Reading([{}, {}], whole, whole, []), [])).words


def test_only_a_modality_that_was_there_is_named_as_left_out() -> None:
    whole = [replace(turn("joy"), modalities=("text", "audio"))]
    reading = Reading([{}], whole, [turn("joy")], [])
    assert "Without voice,  no label changes" in Page(results_view(reading, ["audio", "vision"])).words
    assert "Without" not in Page(results_view(reading, ["vision"])).words


def test_long_conversations_are_divided_into_pages() -> None:
    turns = [turn("joy", start=place) for place in range(81)]
    reading = Reading([{"audio": "/uploads/a&b.wav"}] * 81, turns, turns, [], Path("/uploads/a&b.wav"))
    for html in (results_view(reading, []), table_view(reading)):
        parts = [html.count(f'data-erc-page="{page}"') for page in range(4)]
        assert parts == [1, 1, 1, 0] and html.count(" hidden>") - html.count('"status" hidden>') == 2
        assert ">41\u201380</button>" in html and "erc-turn-81" in html
    table = table_view(reading)
    assert Page(table).tags.count("audio") == 1 and 'src="gradio_api/file=/uploads/a%26b.wav"' in table
    assert 'data-erc-start="80" data-erc-end="81"' in table


def test_input_text_is_escaped() -> None:
    bad = "<img src=x onerror=alert(1)>\"' onclick='x"
    reading = Reading([{}], [turn("odd <one>", bad, bad)], [turn("odd <one>", bad, bad)], [bad])
    for html in (results_view(reading, []), table_view(reading), message_view(bad)):
        assert "img" not in Page(html).tags and "<img" not in html
