import itertools
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text
from PIL import Image

from modeling_erc.analysis import figures as module
from modeling_erc.analysis.figures import (
    COLOURS,
    plot_curves,
    plot_joint_attention,
    plot_map,
    plot_reliability,
)
from modeling_erc.analysis.robustness import Curve
from modeling_erc.figures import WIDTH, new_figure
from modeling_erc.training.calibration import reliability


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were drawn."""
    drawn: list[Figure] = []

    def record(width: float = WIDTH, height: float = 6.4) -> Figure:
        drawn.append(new_figure(width, height))
        return drawn[-1]

    monkeypatch.setattr(module, "new_figure", record)
    return drawn


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"), dtype=int)


def height(bar: Patch) -> float:
    assert isinstance(bar, Rectangle)
    return bar.get_height()


def test_reliability_has_a_bar_for_each_filled_bin(tmp_path: Path, figures: list[Figure]) -> None:
    found = reliability(np.array([0.5, 0.95, 0.95]), np.array([False, True, False]))
    plot_reliability(found, tmp_path / "r.png", title="Calibration")
    upper, lower = figures[0].axes
    assert [round(height(bar), 3) for bar in upper.patches] == [0.0, 0.5]
    assert sum(height(bar) for bar in lower.patches) == 3
    assert upper.get_title() == f"Calibration: expected calibration error {found.error:.3f}"
    assert pixels(tmp_path / "r.png").shape[1] == 1280


@pytest.mark.parametrize("classes", [2, 7, 28])
def test_the_map_names_every_class_in_its_colour(tmp_path: Path, figures: list[Figure], classes: int) -> None:
    labels = np.arange(5 * classes) % classes
    labels[labels == 1] = 0
    points = np.random.default_rng(0).normal(size=(len(labels), 2))
    plot_map(points, labels, [f"class {i}" for i in range(classes)], tmp_path / "m.png", title="$")
    legend = figures[0].axes[0].get_legend()
    assert legend is not None
    counts = np.bincount(labels, minlength=classes)
    assert [text.get_text() for text in legend.get_texts()] == [f"class {i} ({n})" for i, n in enumerate(counts)]
    assert pixels(tmp_path / "m.png").shape[1] == 1280


def test_attention_above_uniform_is_blue_and_below_it_red(tmp_path: Path, figures: list[Figure]) -> None:
    shares = np.array([[[0.9, 0.1], [0.5, np.nan]]])
    plot_joint_attention(shares, np.array([0.5, 0.5]), ["text", "audio"], tmp_path / "a.png", title="x")
    image = figures[0].axes[0].images[0]
    red, _, blue, _ = image.to_rgba(np.asarray(image.get_array()))[0].T
    assert blue[0] > red[0] + 0.2
    assert red[1] > blue[1] + 0.2
    assert [text.get_text() for text in figures[0].axes[0].texts] == ["0.90", "0.10", "0.50", "nan"]
    assert pixels(tmp_path / "a.png").shape[1] == 1280


def test_many_layers_make_a_wider_picture(tmp_path: Path) -> None:
    for layers in (1, 8):
        plot_joint_attention(
            np.full((layers, 2, 3), 0.2), np.full(3, 0.2), "tav", tmp_path / f"{layers}.png", title="x"
        )
    assert pixels(tmp_path / "8.png").shape[1] > pixels(tmp_path / "1.png").shape[1] == 1280


def curve(checkpoint: str, corruption: str, strength: str, scores: list[list[float]]) -> Curve:
    return Curve(checkpoint, "audio", corruption, strength, (0.0, 1.0), np.array(scores), clean=0.8)


def has_colour(path: Path, colour: str) -> np.ndarray:
    """Where the picture has a colour, `(height, width)`."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"), dtype=int)
    return np.asarray(np.abs(pixels - np.array(to_rgb(colour)) * 255).max(axis=-1) < 3)


def test_each_strength_has_its_own_line_and_a_lower_score_is_lower(tmp_path: Path) -> None:
    curves = [
        curve("a", "noise", strength, [[0.8, 0.8 - lost]])
        for strength, lost in (("20 dB", 0.0), ("10 dB", 0.2), ("0 dB", 0.6))
    ]
    plot_curves(curves, tmp_path / "curves.png", split="test")
    lines = [has_colour(tmp_path / "curves.png", colour) for colour in COLOURS]
    width = lines[0].shape[1]
    assert width == 1280
    # At three quarters of the width, far from the legend.
    heights = [np.nonzero(line[:, width * 3 // 4])[0].mean() for line in lines]
    assert heights[0] < heights[1] < heights[2]


def test_a_band_shows_how_much_the_draw_matters(tmp_path: Path) -> None:
    for name, spread in (("certain", 0.0), ("uncertain", 0.2)):
        scores = [[0.8, 0.5 + spread], [0.8, 0.5 - spread]]
        plot_curves([curve("a", "drop", "", scores)], tmp_path / f"{name}.png", split="test")
    shaded = []
    for name in ("certain", "uncertain"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            pixels = np.asarray(picture.convert("RGB"), dtype=int)
        # The line's colour at 15 % on white.
        band = 255 - 0.15 * (255 - np.array(to_rgb(COLOURS[-1])) * 255)
        shaded.append((np.abs(pixels - band).max(axis=-1) < 4).sum())
    assert shaded[1] > shaded[0] + 5000


def test_panels_fill_rows_of_three(tmp_path: Path) -> None:
    kinds = ["drop", "noise", "blur", "black"]
    for count in (3, 4):
        curves = [curve(name, kind, "", [[0.8, 0.5]]) for kind in kinds[:count] for name in ("a", "b")]
        plot_curves(curves, tmp_path / f"{count}.png", split="test")
    three, four = (Image.open(tmp_path / f"{count}.png").size for count in (3, 4))
    assert three[0] == four[0] == 1280
    assert four[1] > three[1] + 200


@pytest.mark.parametrize("checkpoints", ["a", "ab"])
def test_no_two_texts_of_a_figure_overlap(checkpoints: str, tmp_path: Path, figures: list[Figure]) -> None:
    plot_curves([curve(name, "drop", "", [[0.8, 0.5]]) for name in checkpoints], tmp_path / "curves.png", split="test")
    shown = [text for text in figures[0].findobj(Text) if text.get_text() and text.get_visible()]
    boxes = {text.get_text(): text.get_window_extent() for text in shown if "missing" in text.get_text()}
    boxes |= {text.get_text(): text.get_window_extent() for text in shown if text.get_text() in checkpoints}
    assert len(boxes) == 2 + (len(checkpoints) if len(checkpoints) > 1 else 0)
    assert not [pair for pair in itertools.combinations(boxes, 2) if boxes[pair[0]].overlaps(boxes[pair[1]])]
