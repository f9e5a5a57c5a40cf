from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from datasets_scripts.publishing.label_picture import plot_labels

FIRST, SECOND = (31, 119, 180), (255, 127, 14)  # colours of the first two splits


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"), dtype=int)


def heights(image: np.ndarray, colour: tuple[int, int, int]) -> list[int]:
    """Heights of the bars of a colour in pixels, from left to right; the legend below them is no bar."""
    is_bar = (abs(image - colour).sum(axis=2) < 12)[: int(0.9 * image.shape[0])].sum(axis=0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_bar > 3, [0]])))
    return [int(is_bar[left:right].max()) for left, right in edges.reshape(-1, 2)]


def test_bars_are_as_high_as_their_counts_one_colour_a_split(tmp_path: Path) -> None:
    counts = {"train": {"joy": 100, "fear": 50, "calm": 10}, "dev": {"joy": 20, "fear": 0, "calm": 40}}
    plot_labels(counts, tmp_path / "labels.png", title="corpus")
    image = pixels(tmp_path / "labels.png")
    assert image.shape == (600, 1280, 3)
    first, second = heights(image, FIRST), heights(image, SECOND)
    assert np.divide(first, first[0]) == pytest.approx([1, 0.5, 0.1], abs=0.02)
    assert np.divide(second, first[0]) == pytest.approx([0.2, 0.4], abs=0.02)


def test_rare_classes_stay_visible(tmp_path: Path) -> None:
    plot_labels(
        {"train": {"joy": 5000, "fear": 5, "calm": 0}, "dev": {"joy": 50, "fear": 1, "calm": 0}},
        tmp_path / "a.png",
        title="x",
    )
    image = pixels(tmp_path / "a.png")
    large, small = heights(image, FIRST)
    assert large > small > 30
    assert len(heights(image, SECOND)) == 2


def test_scale_is_linear_up_to_a_ratio_of_twenty(tmp_path: Path) -> None:
    for largest in (200, 201):
        plot_labels({"train": {"a": largest, "b": 10}}, tmp_path / f"{largest}.png", title="x")
    (high, low), (_, logarithmic) = (heights(pixels(tmp_path / f"{n}.png"), FIRST) for n in (200, 201))
    assert low / high == pytest.approx(1 / 20, abs=0.01)
    assert logarithmic > 4 * low


def test_many_classes_and_splits_fit(tmp_path: Path) -> None:
    counts = {f"split {s}": {f"class {c}": 10 * (c + s) + 9 for c in range(14)} for s in range(4)}
    plot_labels(counts, tmp_path / "many.png", title="x")
    image = pixels(tmp_path / "many.png")
    assert len(heights(image, FIRST)) == len(heights(image, SECOND)) == 14
    assert (image[:, [0, -1]] == 255).all()  # nothing runs over the edge


def test_corpus_without_labels_is_drawn_and_without_classes_refused(tmp_path: Path) -> None:
    with np.errstate(all="raise"):
        plot_labels({"train": {"a": 0, "b": 0}}, tmp_path / "none.png", title="x")
    assert heights(pixels(tmp_path / "none.png"), FIRST) == []
    with pytest.raises(ValueError, match="no class"):
        plot_labels({"train": {}}, tmp_path / "no.png", title="x")


def test_figures_are_closed(tmp_path: Path) -> None:
    before = plt.get_fignums()
    plot_labels({"train": {"a": 1}}, tmp_path / "a.png", title="x")
    assert plt.get_fignums() == before
