"""Text in figures: fonts that have its characters, and its width."""

import functools
import logging
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import matplotlib
from anyascii import anyascii
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties, fontManager, get_font

BASE = "DejaVu Sans"  # comes with matplotlib
DPI = 100  # dots per inch of figures


@contextmanager
def lettering(texts: Iterable[str]) -> Iterator[Callable[[str], str]]:
    """Draws texts as they are written, with fonts of this machine that have their characters.

    Dollars do not begin a formula. Figures have to be drawn and saved inside the context.

    Args:
        texts: all texts of users, such as names, labels and titles.

    Yields:
        a function that transliterates the characters which no font of this machine has.
    """
    families, absent = _fallbacks(frozenset("".join(texts)))
    spelled = {ord(character): _spell(character) for character in absent}
    log = logging.getLogger("matplotlib.font_manager")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns of every fallback without a bold face
    try:
        with matplotlib.rc_context({"font.family": [BASE, *families], "text.parse_math": False}):
            yield lambda text: text.translate(spelled)
    finally:
        log.setLevel(level)


@functools.lru_cache(maxsize=64)
def _fallbacks(characters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Returns the families that have characters which `BASE` lacks, and the characters that no font has."""
    own = matplotlib.get_data_path()  # holds fonts of formulas, and one with a box for every character
    fonts = [font for font in fontManager.ttflist if font.name == BASE or not font.fname.startswith(own)]
    fonts.sort(key=lambda font: (font.name != BASE, font.style != "normal", font.weight != 400))
    families: list[str] = []
    missing = set(characters)
    for font in fonts:
        if not missing:
            break
        try:
            face = get_font(font.fname)
        except (OSError, RuntimeError):  # a font that was removed, or of another kind
            continue
        found = {character for character in missing if face.get_char_index(ord(character))}
        missing -= found
        if found and font.name != BASE:
            families.append(font.name)
    return tuple(families), frozenset(missing)


def _spell(character: str) -> str:
    """Returns Latin letters for a character: the sound of a sign, the name of an emoji, or a box."""
    if character.isspace():
        return " "
    # Marks and joiners change how their neighbours are drawn.
    return anyascii(character) or ("" if unicodedata.category(character)[0] in "MC" else "\u25a1")


@functools.lru_cache(maxsize=20_000)
def _width(text: str, size: float, weight: str, families: tuple[str, ...]) -> float:
    font = FontProperties(family=list(families), size=size, weight=weight)
    # Letters are rounded to pixels, so that the width depends on the resolution.
    return RendererAgg(1, 1, DPI).get_text_width_height_descent(text, font, False)[0] / DPI


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Returns the width in inches of a line, in the fonts of [`lettering`].

    Args:
        text: one line.
        size: font size in points.
        weight: `normal` or `bold`.
    """
    return _width(text, size, weight, tuple(matplotlib.rcParams["font.family"]))
