"""Timelines as files: tables, subtitles that can be read again, and figures of any length."""

import csv
import json
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from modeling_erc.conversations import read_conversation
from modeling_erc.csv_cells import plain_cell
from modeling_erc.figures import new_figure
from modeling_erc.timelines import Turn, emotion_colours, picture, plot_timeline, timeline, write_timeline
from modeling_erc.timelines.colours import letter_colour
from modeling_erc.timelines.writers import write_table

LABELS = ["neutral", "joy", "happy/excited"]


def turn(start: float | None, end: float | None, speaker: str | None, text: str | None, *scores: float) -> Turn:
    named = dict(zip(LABELS, scores, strict=True))
    label = max(named, key=lambda name: named[name])
    return Turn(start, end, speaker, text, label, named[label], named, ("text", "audio"))


TURNS = [
    turn(0.5, 1.75, "Ann & co", "1 < 2 --> yes\n\nreally", 0.1, 0.7, 0.2),
    turn(3725.0, 3726.5, None, "$x_1$ costs $5", 0.25, 0.15, 0.6),
]


def test_tables_and_json_hold_every_number(tmp_path: Path) -> None:
    for suffix in (".csv", ".json"):
        write_timeline(TURNS, tmp_path / "new" / f"t{suffix}")
    with (tmp_path / "new" / "t.csv").open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["start"], first["speaker"], first["text"]) == ("0.5", "Ann & co", "1 < 2 --> yes\n\nreally")
    assert (first["label"], first["score"], first["modalities"]) == ("joy", "0.700000", "text audio")
    assert [float(second[label]) for label in LABELS] == [0.25, 0.15, 0.6] and second["speaker"] == ""
    rows = json.loads((tmp_path / "new" / "t.json").read_text(encoding="utf-8"))
    assert rows[1]["label"] == "happy/excited" and rows[0]["scores"]["joy"] == 0.7 and rows[0]["end"] == 1.75


def test_webvtt_is_valid_and_can_be_read_again(tmp_path: Path) -> None:
    write_timeline(TURNS, tmp_path / "t.vtt")
    content = (tmp_path / "t.vtt").read_text(encoding="utf-8")
    header, style, *cues = content.rstrip("\n").split("\n\n")
    assert (
        header == "WEBVTT"
        and "::cue(.happy-excited) { color: #1f2d3d; background-color: #ebc909; }" in style.splitlines()
    )
    assert cues == [
        "1\n00:00:00.500 --> 00:00:01.750\n<v Ann &amp; co><c.joy>[joy 70%] 1 &lt; 2 --&gt; yes really</c></v>",
        "2\n01:02:05.000 --> 01:02:06.500\n<c.happy-excited>[happy/excited 60%] $x_1$ costs $5</c>",
    ]
    again = read_conversation(tmp_path / "t.vtt").utterances
    assert [(u["start"], u["end"], u["speaker"]) for u in again] == [(0.5, 1.75, "Ann & co"), (3725.0, 3726.5, None)]
    with pytest.raises(ValueError, match="WebVTT needs start and end"):
        write_timeline([turn(None, None, "Ann", "Hi", 0.2, 0.7, 0.1)], tmp_path / "u.vtt")
    with pytest.raises(ValueError, match=r"unknown timeline format '\.gif': choose one of \.csv, \.json, \.png, \.vtt"):
        write_timeline(TURNS, tmp_path / "t.gif")


def conversation(count: int, speakers: int, timed: bool = True) -> list[Turn]:
    draw = np.random.default_rng(0)
    turns, clock = [], 0.0
    for index in range(count):
        length = float(draw.uniform(0.5, 4))
        scores = draw.dirichlet([0.5] * 3)
        start, end = (clock, clock + length) if timed else (None, None)
        turns.append(turn(start, end, f"speaker {draw.integers(speakers)} $", f"$ word {index} " * 4, *scores))
        clock += length + float(draw.uniform(0, 1))
    return turns


def shares(path: Path, colours: list[str]) -> list[float]:
    """Returns the share of each colour in a figure."""
    pixels = matplotlib.image.imread(path)[..., :3]
    return [float((np.abs(pixels - to_rgb(colour)).max(axis=-1) < 0.01).mean()) for colour in colours]


def test_the_area_of_a_colour_shows_emotion_and_probability(tmp_path: Path) -> None:
    certain = [turn(0.0, 2.0, "Ann", None, 0.0, 1.0, 0.0), turn(2.0, 4.0, "Bo", None, 1.0, 0.0, 0.0)]
    half = [turn(0.0, 2.0, "Ann", None, 0.3, 0.5, 0.2), turn(2.0, 4.0, "Bo", None, 1.0, 0.0, 0.0)]
    colours = emotion_colours(LABELS)
    assert colours["joy"] == colours["happy/excited"] != colours["neutral"]
    found = []
    for name, turns in {"certain": certain, "half": half}.items():
        plot_timeline(turns, tmp_path / f"{name}.png")
        found.append(shares(tmp_path / f"{name}.png", [colours["joy"], colours["neutral"]]))
    assert found[0][0] == pytest.approx(found[0][1], rel=0.15), "equal length and probability, equal area"
    assert found[1][0] == pytest.approx(found[0][0] / 2, rel=0.15) and found[1][1] == pytest.approx(
        found[0][1], rel=0.05
    )


@pytest.mark.parametrize(
    ("count", "speakers", "timed", "height"), [(1, 1, True, 400), (12, 2, False, 900), (120, 9, True, 2000)]
)
def test_a_figure_has_the_same_width_at_any_length(
    count: int, speakers: int, timed: bool, height: int, tmp_path: Path
) -> None:
    plot_timeline(conversation(count, speakers, timed), tmp_path / "t.png", title="Any $length$^$")
    pixels = matplotlib.image.imread(tmp_path / "t.png")
    assert pixels.shape[1] == 1280 and 100 < pixels.shape[0] < height


def test_results_of_another_dialogue_are_refused() -> None:
    with pytest.raises(ValueError, match="1 results for 2 utterances"):
        timeline([{"text": "a"}, {"text": "b"}], [{"label": "joy", "score": 1.0, "scores": {"joy": 1.0}}])
    with pytest.raises(ValueError, match="no turn to draw"):
        plot_timeline([], "t.png")


def test_unknown_labels_get_other_colours() -> None:
    colours = emotion_colours(["boredom", "Anger", "pride"])
    assert len(set(colours.values())) == 3 and colours["Anger"] == emotion_colours(["anger"])["anger"]
    assert emotion_colours(["pride", "boredom", "Anger"]) == colours == {**colours, **emotion_colours(["boredom"])}
    assert len(set(emotion_colours([f"label {i}" for i in range(50)]).values())) == 50


# Of linear RGB: normal vision, and Machado et al. (2009) for the complete lack of one kind of cone.
VISION = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
# Of OKLab (Ottosson 2020): cones of linear RGB, and lightness and two colour axes of their cube roots.
CONES = [[0.412221, 0.536333, 0.051446], [0.211903, 0.680700, 0.107397], [0.088302, 0.281719, 0.629979]]
AXES = [[0.210454, 0.793618, -0.004072], [1.977998, -2.428592, 0.450594], [0.025904, 0.782772, -0.808676]]


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize(
    "labels",
    [
        ["neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"],
        ["happy", "sad", "neutral", "angry", "excited", "frustrated"],
        ["Joyful", "Mad", "Peaceful", "Neutral", "Sad", "Powerful", "Scared"],
        ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"],
    ],
)
def test_the_emotions_of_a_corpus_differ_for_colour_blind_readers(labels: list[str], vision: str) -> None:
    colours = np.array([to_rgb(colour) for colour in emotion_colours(labels).values()])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = (linear @ np.array(VISION[vision]).T).clip(0, 1)
    places = np.cbrt(seen @ np.transpose(CONES)) @ np.transpose(AXES)
    distances = np.linalg.norm(places[:, None] - places, axis=-1)
    assert distances[np.triu_indices(len(labels), 1)].min() > 0.1


def test_letters_have_enough_contrast() -> None:
    assert letter_colour("#54285e") == "#ffffff" and letter_colour("#ebc909") != "#ffffff"


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were drawn."""
    drawn: list[Figure] = []

    def record(height: float) -> Figure:
        drawn.append(new_figure(height=height))
        return drawn[-1]

    monkeypatch.setattr(picture, "new_figure", record)
    return drawn


WORDS = [
    "我们赢了合同太好了我真不敢相信这是真的今天晚上一起庆祝吧",
    "😀👍🏽 \ue000 great",
    "שלום, we won",
    "हिन्दी 한국어",
]


@pytest.mark.parametrize(("count", "speakers"), [(40, 9), (130, 3)])
def test_all_text_is_inside_the_figure_without_warnings(
    count: int, speakers: int, tmp_path: Path, figures: list[Figure], caplog: pytest.LogCaptureFixture
) -> None:
    turns = [replace(t, text=WORDS[i % len(WORDS)]) for i, t in enumerate(conversation(count, speakers))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_timeline(turns, tmp_path / "t.png", title="会议 🎉 " + "a long title that does not fit in a line " * 4)
    assert not caplog.records
    (figure,) = figures
    labels = [label for axes in figure.axes for label in axes.get_yticklabels()]
    boxes = [text.get_window_extent() for text in [*figure.texts, *figure.legends[0].get_texts(), *labels]]
    assert min(box.x0 for box in boxes) > 0 and max(box.x1 for box in boxes) < 1280
    for axes in figure.axes:
        for text in axes.texts:
            assert text.get_window_extent().x1 <= axes.get_window_extent().x1 + 1
    assert {label.get_text() for label in labels} == {f"speaker {number} $" for number in range(speakers)}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@A1", "\t=1", "'=1"])
def test_no_cell_runs_in_a_spreadsheet(tmp_path: Path, text: str) -> None:
    turns = [replace(TURNS[0], speaker=text, text=text)]
    write_timeline(turns, tmp_path / "t.csv")
    write_table({text: turns}, tmp_path / "table.csv")
    for name, columns in {"t.csv": ("speaker", "text"), "table.csv": ("file", "speaker", "text")}.items():
        with (tmp_path / name).open(newline="", encoding="utf-8") as file:
            (row,) = csv.DictReader(file)
        assert [row[column] for column in columns] == [f"'{text}"] * len(columns)
        assert {plain_cell(row[column]) for column in columns} == {text}


@pytest.mark.parametrize("suffix", [".csv", ".json", ".vtt", ".png"])
def test_half_an_emoji_stops_no_writer(tmp_path: Path, suffix: str) -> None:
    said = {"speaker": "\ud83d", "text": "oh \ud83d", "start": 0.0, "end": 1.0}
    turns = timeline([said], [{"label": "joy", "score": 1.0, "scores": {"joy": 1.0}}])
    write_timeline(turns, tmp_path / f"t{suffix}")
    assert turns[0].text == "oh ?"
