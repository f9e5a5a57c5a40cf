from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from modeling_erc.analysis import figures as error_plots
from modeling_erc.analysis.figures import (
    class_colours,
    plot_f1_against_frequency,
    plot_joint_attention,
    plot_map,
    plot_reliability,
)
from modeling_erc.analysis.scores import reliability


@pytest.fixture(autouse=True)
def no_figure_is_left() -> Iterator[None]:
    before = plt.get_fignums()
    yield
    assert plt.get_fignums() == before


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """What was saved; a figure can be read after it is closed."""
    saved: list[Figure] = []
    save = error_plots._save

    def record(figure: Figure, path: Path) -> None:
        saved.append(figure)
        save(figure, path)

    monkeypatch.setattr(error_plots, "_save", record)
    return saved


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"), dtype=int)


def height(bar: Patch) -> float:
    assert isinstance(bar, Rectangle)
    return bar.get_height()


def near(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(image - colour).max(axis=-1) < 12


@pytest.mark.parametrize("counts", [[5, 50, 500, 5000], [0, 3, 4, 9]])
def test_frequency_shows_a_point_a_class_the_frequent_to_the_right(tmp_path: Path, counts: list[int]) -> None:
    f1 = np.array([0.1, 0.3, 0.6, 0.9])
    names = ["fear", "$joy", "anger$", "neutral"]
    plot_f1_against_frequency(np.array(counts), f1, f1 - 0.05, f1 + 0.05, names, tmp_path / "f.png", title="x")
    image = pixels(tmp_path / "f.png")
    assert image.shape[1] == 1280
    rows, columns = np.nonzero(near(image, (31, 95, 168)))
    # From the lower left to the upper right.
    assert np.corrcoef(rows, columns)[0, 1] < -0.8


def test_names_of_points_at_one_place_do_not_cover_each_other(tmp_path: Path, figures: list[Figure]) -> None:
    names = [f"class {i}" for i in range(6)]
    zeros, unknown = np.zeros(6), np.full(6, np.nan)
    plot_f1_against_frequency(np.full(6, 40), zeros, unknown, unknown, names, tmp_path / "f.png", title="x")
    boxes = [text.get_window_extent() for text in figures[0].axes[0].texts]
    assert len(boxes) == 6
    assert not [1 for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


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


@pytest.mark.parametrize("count", [3, 10, 20, 50])
def test_colours_differ(count: int) -> None:
    assert len(set(class_colours(count))) == count


def test_attention_above_the_even_share_is_blue_and_below_it_red(tmp_path: Path, figures: list[Figure]) -> None:
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
