"""One colour for each emotion, in every figure, file and page."""

import colorsys
import zlib
from collections.abc import Sequence

# The labels of one corpus differ in OKLab by 0.1 or more (0.02 is just visible), with normal vision and with each of
# the three kinds of colour blindness as simulated by Machado et al. (2009).
KNOWN = {
    ("neutral", "none", "no emotion"): "#b0b0b0",
    ("joy", "happy", "happiness", "joyful", "happy/excited", "positive"): "#ebc909",
    ("excited", "excitement"): "#d77901",
    ("surprise", "surprised"): "#3b8f93",
    ("sadness", "sad"): "#0945b0",
    ("fear", "fearful", "scared"): "#54285e",
    ("anger", "angry", "mad", "negative"): "#b42f2f",
    ("disgust", "disgusted"): "#849c01",
    ("frustrated", "frustration"): "#641b04",
    ("powerful",): "#c85c94",
    ("peaceful", "calm"): "#a1e2ff",
}
BY_NAME = {name: colour for names, colour in KNOWN.items() for name in names}
OTHERS = ("#6b6ecf", "#2f7d4f", "#a3703c", "#d98fb0", "#4f7f8c", "#7fc97f")


def emotion_colours(labels: Sequence[str]) -> dict[str, str]:
    """Returns a colour (`#rrggbb`) for each label, that of a known emotion or another one.

    The colour of an unknown label follows from its name, unless another unknown label of `labels` has that colour.

    Example:
        >>> emotion_colours(["anger", "boredom"])
        {'anger': '#b42f2f', 'boredom': '#a3703c'}
    """
    unknown = sorted(label for label in labels if label.lower() not in BY_NAME)
    others = [*OTHERS, *(_generated(number) for number in range(len(unknown) - len(OTHERS)))]
    colours: dict[str, str] = {}
    for label in unknown:
        first = zlib.crc32(label.lower().encode()) % len(OTHERS)
        colours[label] = next(c for c in [*others[first:], *others] if c not in colours.values())
    return {label: colours.get(label) or BY_NAME[label.lower()] for label in labels}


def _generated(number: int) -> str:
    """Returns one of many colours: hues at the golden ratio, in three levels of lightness."""
    channels = colorsys.hls_to_rgb(0.618034 * number % 1, (0.35, 0.5, 0.65)[number % 3], 0.6)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)


def letter_colour(colour: str) -> str:
    """Returns the colour of letters on a colour: white, or ink where white has too little contrast."""
    from ..figures import INK  # matplotlib takes a second

    channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return "#ffffff" if 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05) >= 4.5 else INK
