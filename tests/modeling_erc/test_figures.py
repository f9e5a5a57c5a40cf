from pathlib import Path

import numpy as np
from PIL import Image

from modeling_erc.figures import _draw_estimates, new_figure, plot_confusion, plot_estimates


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"), dtype=int)


def blueness(image: np.ndarray) -> np.ndarray:
    """Where a pixel is of the dark end of the scale."""
    return (image[..., 2] > 90) & (image[..., 0] < 40)


def test_it_writes_a_picture_whose_dark_cells_are_the_large_shares(tmp_path: Path) -> None:
    plot_confusion(np.array([[9, 0], [0, 9]]), ["neutral", "joy"], tmp_path / "right.png", title="dev")
    plot_confusion(np.array([[0, 9], [9, 0]]), ["neutral", "joy"], tmp_path / "wrong.png", title="dev")
    right, wrong = (pixels(tmp_path / name) for name in ("right.png", "wrong.png"))
    assert right.shape == wrong.shape
    assert min(right.shape[:2]) > 300
    difference = blueness(right).astype(int) - blueness(wrong)
    rows, columns = np.nonzero(difference)
    top, left = rows < (rows.min() + rows.max()) / 2, columns < (columns.min() + columns.max()) / 2
    # True class above, predicted class to the left: the diagonal is dark for the first and light for the second.
    on_diagonal = difference[rows, columns] > 0
    assert (on_diagonal == (top == left)).mean() > 0.99
    assert len(rows) > 1000


def test_a_row_is_shaded_by_its_shares_not_by_its_counts(tmp_path: Path) -> None:
    plot_confusion(np.array([[900, 0], [0, 900]]), ["a", "b"], tmp_path / "even.png", title="x")
    plot_confusion(np.array([[900, 0], [0, 100]]), ["a", "b"], tmp_path / "rare.png", title="x")
    even, rare = (blueness(pixels(tmp_path / name)).sum() for name in ("even.png", "rare.png"))
    # Only the digits differ.
    assert abs(int(even) - int(rare)) < 0.01 * even


def test_a_class_without_utterances_is_no_division_by_zero(tmp_path: Path) -> None:
    with np.errstate(all="raise"):
        plot_confusion(np.array([[3, 1, 0], [0, 0, 0], [0, 2, 5]]), ["a", "b", "c"], tmp_path / "c.png", title="test")
    assert pixels(tmp_path / "c.png").std() > 10


def test_more_classes_give_a_larger_picture(tmp_path: Path) -> None:
    for count in (2, 9):
        names = [f"class {i}" for i in range(count)]
        plot_confusion(np.eye(count, dtype=int), names, tmp_path / f"{count}.png", title="x")
    assert pixels(tmp_path / "9.png").shape[0] > pixels(tmp_path / "2.png").shape[0]


def test_estimates_are_listed_in_order_and_a_missing_one_is_left_blank(tmp_path: Path) -> None:
    names, bars = ["$joy", "fear$", "none"], np.array([[0.1, 0.2], [0.1, 0.2], [np.nan, np.nan]])
    plot_estimates(names, [0.9, 0.1, np.nan], bars, tmp_path / "e.png", title="$", axis="F1")
    image = pixels(tmp_path / "e.png")
    assert image.shape[1] == 1280
    rows, columns = np.nonzero(np.abs(image - (31, 119, 180)).max(axis=-1) < 12)
    # The first and largest one is above on the right, the second below on the left.
    assert np.corrcoef(rows, columns)[0, 1] < -0.8


def test_an_estimate_whose_interval_includes_the_baseline_is_hollow() -> None:
    axes = new_figure().subplots()
    _draw_estimates(axes, ["a", "b", "c"], [0.5, 0.1, np.nan], np.full((3, 2), 0.2), [""] * 3, 0.0, str)
    assert [line.get_markerfacecolor() for line in axes.lines if line.get_marker() == "o"] == ["C0", "white", "C0"]
