from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from modeling_erc.analysis.figures import COLOURS, plot_curves
from modeling_erc.analysis.robustness import Curve


def curve(checkpoint: str, corruption: str, strength: str, scores: list[list[float]]) -> Curve:
    return Curve(checkpoint, "audio", corruption, strength, (0.0, 1.0), np.array(scores), clean=0.8)


def ink(path: Path, colour: str) -> np.ndarray:
    """Where the picture has a colour, `(height, width)`."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"), dtype=int)
    return np.asarray(np.abs(pixels - np.array(to_rgb(colour)) * 255).max(axis=-1) < 3)


def test_each_strength_has_a_line_of_its_own_and_a_lower_score_is_lower(tmp_path: Path) -> None:
    curves = [
        curve("a", "noise", strength, [[0.8, 0.8 - lost]])
        for strength, lost in (("20 dB", 0.0), ("10 dB", 0.2), ("0 dB", 0.6))
    ]
    plot_curves(curves, tmp_path / "curves.png", split="test")
    lines = [ink(tmp_path / "curves.png", colour) for colour in COLOURS]
    width = lines[0].shape[1]
    assert width == 1280
    # At three quarters of the width, far from the legend.
    heights = [np.nonzero(line[:, width * 3 // 4])[0].mean() for line in lines]
    assert heights[0] < heights[1] < heights[2]


def test_a_band_shows_how_much_the_draw_matters(tmp_path: Path) -> None:
    for name, spread in (("sure", 0.0), ("unsure", 0.2)):
        scores = [[0.8, 0.5 + spread], [0.8, 0.5 - spread]]
        plot_curves([curve("a", "drop", "", scores)], tmp_path / f"{name}.png", split="test")
    shaded = []
    for name in ("sure", "unsure"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            pixels = np.asarray(picture.convert("RGB"), dtype=int)
        # The line's colour at 15 % on white.
        band = 255 - 0.15 * (255 - np.array(to_rgb(COLOURS[-1])) * 255)
        shaded.append((np.abs(pixels - band).max(axis=-1) < 4).sum())
    assert shaded[1] > shaded[0] + 5000


def test_panels_fill_rows_of_three_and_figures_are_closed(tmp_path: Path) -> None:
    before = plt.get_fignums()
    kinds = ["drop", "noise", "blur", "black"]
    for count in (3, 4):
        curves = [curve(name, kind, "", [[0.8, 0.5]]) for kind in kinds[:count] for name in ("a", "b")]
        plot_curves(curves, tmp_path / f"{count}.png", split="test")
    three, four = (Image.open(tmp_path / f"{count}.png").size for count in (3, 4))
    assert three[0] == four[0] == 1280
    assert four[1] > three[1] + 200
    assert plt.get_fignums() == before
