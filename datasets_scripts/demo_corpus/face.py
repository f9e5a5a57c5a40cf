"""Drawn faces for the demo corpus, 64 x 64 pixels: one person per speaker, four expressions, small movements."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

SIZE = 64

Colour = tuple[int, int, int]
Layer = NDArray[np.floating]

_SKINS: tuple[Colour, ...] = ((255, 219, 190), (240, 190, 150), (214, 160, 118), (172, 116, 78), (128, 84, 58))
_HAIRS: tuple[Colour, ...] = ((45, 35, 32), (98, 60, 36), (200, 150, 70), (178, 76, 40), (150, 150, 158), (70, 60, 110))
_WALLS: tuple[Colour, ...] = ((150, 195, 215), (235, 205, 150), (175, 205, 165), (222, 178, 190), (190, 182, 218))
_SHIRTS: tuple[Colour, ...] = (
    (60, 90, 150),
    (190, 70, 70),
    (70, 130, 100),
    (235, 235, 230),
    (90, 70, 110),
    (230, 160, 60),
)
_IRISES: tuple[Colour, ...] = ((60, 90, 140), (70, 110, 70), (92, 60, 38))
# Hair in addition to the common cap: ellipses on both sides as (aside, down, half width, half height) in pixels.
_STYLES: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "short": (),
    "long": ((0, 5, 22.5, 26),),
    "bun": ((0, -25, 8, 7),),
    "curls": ((11, -12, 13, 12), (18, -3, 7, 9)),
}


@dataclass(frozen=True)
class Face:
    """Displacements of facial features in an expression, in pixels unless stated otherwise."""

    brow_lift: float  # of both brows
    brow_slant: float  # inner ends of the brows down, outer ends up
    brow_skew: float  # one brow up, the other down
    eye_height: float  # half the height of the open eye; its half width is 4
    mouth_open: float  # half the height of the open mouth
    mouth_width: float  # half the width of the mouth
    mouth_smile: float  # corners of the mouth up
    mouth_skew: float  # one corner of the mouth up, the other down
    tongue: float  # length of the tongue below the mouth
    wrinkle: float  # visibility of the wrinkles beside the nose, 0 to 1


FACES = {
    "still": Face(0.0, 0.0, 0.0, 3.0, 0.3, 6.0, 1.6, 0.0, 0.0, 0.0),
    "open": Face(3.4, -0.8, 0.0, 4.6, 4.4, 5.0, 1.4, 0.0, 0.0, 0.0),
    "frown": Face(-2.2, 2.6, 0.0, 2.3, 0.5, 6.5, -3.2, 0.0, 0.0, 0.0),
    "grimace": Face(-0.6, 0.8, 2.0, 1.5, 1.2, 7.0, -1.2, 1.8, 4.6, 1.0),
}


@dataclass(frozen=True)
class _Look:
    skin: Colour
    hair: Colour
    wall: Colour
    shirt: Colour
    iris: Colour
    style: str
    width: float
    height: float


def film(expression: str, speaker: int, frames: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draws a talking face whose expression is visible in the first frame and grows.

    The mouth moves independently of the voice: otherwise the face would reveal what only the voice may carry.

    Args:
        expression: key of `FACES`.
        speaker: number of the speaker; it determines skin, hair, clothes, wall and the shape of the head.
        frames: number of frames.
        rng: source of the variation inside one clip.

    Returns:
        RGB frames, uint8 `(frames, 64, 64, 3)`.

    Example:
        >>> film("open", 3, 8, np.random.default_rng(0)).shape
        (8, 64, 64, 3)
    """
    look = _look_of(speaker)
    time = np.linspace(0, 1, frames, dtype=np.float32)[:, None, None]
    strength = rng.uniform(0.8, 0.95) + time * rng.uniform(0.2, 0.3)
    still, full = FACES["still"], FACES[expression]
    moves = {
        field.name: getattr(still, field.name) + strength * (getattr(full, field.name) - getattr(still, field.name))
        for field in fields(Face)
    }
    talk = np.abs(np.sin(np.pi * (rng.uniform(1.5, 3) * time + rng.random())))
    moves["mouth_open"] = moves["mouth_open"] + 0.8 * talk

    row, column = (axis.astype(np.float32) for axis in np.mgrid[0:SIZE, 0:SIZE])
    x, y = column - 31.5 - rng.uniform(-1, 1), row - 33.5 - rng.uniform(-1, 1)
    background = _tint(look.wall) * (1.06 - 0.0035 * row)
    _draw_head(background, x[None], y[None], look)

    # The head is drawn once. The features move over it in every frame, which looks as if the head turned.
    turn, nod, roll = (
        rng.uniform(-0.5, 0.5) + rng.uniform(0.3, 0.8) * np.sin(6 * time + phase) for phase in rng.uniform(0, 6, 3)
    )
    lean = 0.04 * roll
    x, y = (x - turn - lean * y).astype(np.float32), (y - nod + lean * x).astype(np.float32)
    canvas = np.repeat(background, frames, axis=1)
    for draw, rows in ((_draw_eyes, slice(15, 42)), (_draw_mouth, slice(32, 58))):
        window = (slice(None), rows, slice(11, 53))
        draw(canvas[(slice(None), *window)], x[window], y[window], look, moves)
    return np.ascontiguousarray(np.clip(canvas, 0, 255).astype(np.uint8).transpose(1, 2, 3, 0))


def _look_of(speaker: int) -> _Look:
    rng = np.random.default_rng([speaker, 2])
    skin, hair, wall, shirt, iris = (
        colours[rng.integers(len(colours))] for colours in (_SKINS, _HAIRS, _WALLS, _SHIRTS, _IRISES)
    )
    style = list(_STYLES)[speaker % len(_STYLES)]
    return _Look(skin, hair, wall, shirt, iris, style, rng.uniform(16.5, 18.5), rng.uniform(19.0, 21.0))


def _tint(colour: Colour, factor: float = 1.0) -> Layer:
    return (np.array(colour, np.float32) * factor)[:, None, None, None]


def _paint(canvas: Layer, cover: Layer, colour: Layer) -> None:
    """Blends `colour`, `(3, 1, 1, 1)`, into `canvas`, `(3, frames, h, w)`, with opacity `cover`, `(frames, h, w)`."""
    canvas += cover * (colour - canvas)


def _ellipse(x: Layer, y: Layer, width: float | Layer, height: float | Layer) -> Layer:
    """Opacity (0 to 1, soft edge of about a pixel) of an ellipse around 0 with these half axes in pixels."""
    radius = np.sqrt((x / width) ** 2 + (y / height) ** 2)
    return np.clip(0.5 + (1 - radius) * np.minimum(width, height), 0, 1)


def _near(distance: Layer, reach: float | Layer) -> Layer:
    """Opacity (0 to 1, edge one pixel wide) of the points within `reach` pixels of a line."""
    return np.clip(reach - np.abs(distance), 0, 1)


def _draw_head(canvas: Layer, x: Layer, y: Layer, look: _Look) -> None:
    skin, hair = _tint(look.skin), _tint(look.hair)
    width, height = look.width, look.height
    side = np.abs(x)
    for aside, down, half_width, half_height in _STYLES[look.style]:
        _paint(canvas, _ellipse(side - aside, y - down, half_width, half_height), hair)
    _paint(canvas, _ellipse(x, y - 35, 27, 15), _tint(look.shirt))
    _paint(canvas, _ellipse(x, y - 20, 7, 9), _tint(look.skin, 0.86))
    _paint(canvas, _ellipse(x, y + 3, width + 2, height + 2), hair)
    _paint(canvas, _ellipse(side - width, y - 1, 3, 5), _tint(look.skin, 0.92))
    # The fringe is cut out of the face: painted over it, it would leave a line of skin around itself.
    fringe = _ellipse(x - 3, y + height + 1, width * 0.95, 11)
    _paint(canvas, _ellipse(x, y, width, height) * (1 - fringe), skin)


def _draw_eyes(canvas: Layer, x: Layer, y: Layer, look: _Look, moves: dict[str, Layer]) -> None:
    side = np.abs(x)
    eye = _ellipse(side - 7.5, y + 2, 4.2, moves["eye_height"])
    rim = _ellipse(side - 7.5, y + 2.5, 4.9, moves["eye_height"] + 0.9)
    _paint(canvas, 0.75 * rim, _tint(look.skin, 0.62))
    _paint(canvas, eye, _tint((252, 252, 250)))
    _paint(canvas, eye * _ellipse(side - 7.2, y + 1.8, 2.5, 2.7), _tint(look.iris))
    _paint(canvas, eye * _ellipse(side - 7.2, y + 1.8, 1.3, 1.4), _tint((20, 18, 20)))
    _paint(canvas, eye * _ellipse(side - 6.4, y + 2.9, 0.8, 0.8), _tint((255, 255, 255)))

    along = (side - 7.8) / 5.2
    slant = moves["brow_slant"] * along + moves["brow_skew"] * np.sign(x) + 0.9 * (1 - along**2)
    brow = -8.2 - moves["brow_lift"] - slant
    _paint(canvas, _near(y - brow, 1.6) * _near(along * 5.2, 5.7), _tint(look.hair, 0.55))


def _draw_mouth(canvas: Layer, x: Layer, y: Layer, look: _Look, moves: dict[str, Layer]) -> None:
    side = np.abs(x)
    _paint(canvas, 0.28 * _ellipse(side - 11, y - 6, 4, 3), _tint((235, 110, 100)))
    _paint(canvas, 0.8 * _ellipse(x, y - 5.2, 2.6, 1.5), _tint(look.skin, 0.8))
    crease = _near(side - 3.4 - 0.5 * (y - 3), 1.1) * _near(y - 2.5, 3.2)
    _paint(canvas, crease * moves["wrinkle"], _tint(look.skin, 0.62))

    across = x / moves["mouth_width"]
    bend = 1 - np.minimum(across**2, 1)
    middle = 12 + moves["mouth_smile"] * (bend - 0.6) + moves["mouth_skew"] * across
    half = moves["mouth_open"] * np.sqrt(bend)
    within = _near(x, moves["mouth_width"] + 0.5)
    inside = within * _near(y - middle, half)
    _paint(canvas, within * _near(y - middle, half + 1.4), _tint((150, 62, 62)))
    _paint(canvas, inside, _tint((70, 20, 28)))
    _paint(canvas, inside * np.clip(middle - 1.5 - y, 0, 1), _tint((250, 248, 240)))
    tongue = _ellipse(x - 1.5, y - 12.5 - 0.4 * moves["tongue"], 3.2, np.maximum(moves["tongue"], 0.01))
    _paint(canvas, tongue * np.clip(y - middle, 0, 1) * np.minimum(moves["tongue"], 1), _tint((240, 120, 135)))
