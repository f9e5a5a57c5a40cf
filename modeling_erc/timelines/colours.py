"""One colour for each emotion, in every figure, file and page."""

from collections.abc import Sequence

# Dark enough for white letters; they differ in lightness as well as in hue.
KNOWN = {
    ("neutral", "calm", "none", "no emotion"): "#8b95a1",
    ("joy", "happy", "happiness", "joyful", "happy/excited", "positive"): "#d99a00",
    ("excited", "excitement"): "#e8743b",
    ("surprise", "surprised"): "#12a5a0",
    ("sadness", "sad"): "#2f6fc4",
    ("fear", "fearful", "scared"): "#7b4bb3",
    ("anger", "angry", "mad", "negative"): "#cf3036",
    ("disgust", "disgusted"): "#5d8a22",
    ("frustrated", "frustration"): "#9a4a2f",
    ("powerful",): "#c2387e",
    ("peaceful",): "#4bb0e0",
}
BY_NAME = {name: colour for names, colour in KNOWN.items() for name in names}
OTHERS = ("#b5558f", "#3d8f6a", "#6b6ecf", "#a3703c", "#4f7f8c", "#93445a")


def emotion_colours(labels: Sequence[str]) -> dict[str, str]:
    """Returns a colour (`#rrggbb`) for each label: that of a known emotion, otherwise one from `OTHERS`.

    Example:
        >>> emotion_colours(["anger", "boredom"])
        {'anger': '#cf3036', 'boredom': '#b5558f'}
    """
    unknown = [label for label in labels if label.lower() not in BY_NAME]
    others = {label: OTHERS[index % len(OTHERS)] for index, label in enumerate(unknown)}
    return {label: others.get(label) or BY_NAME[label.lower()] for label in labels}
