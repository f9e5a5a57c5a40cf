"""Label sets as data: the classes of each corpus in index order, and the shared emotions that they correspond to."""

from dataclasses import dataclass

SHARED_EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")

# Names that other corpora give to a shared emotion.
ALIASES = {
    "neutral": ("neutral state", "neu", "no emotion"),
    "surprise": ("surprised", "sur"),
    "fear": ("fearful", "scared", "afraid", "fea"),
    "sadness": ("sad",),
    "joy": ("joyful", "happy", "happiness", "hap"),
    "disgust": ("disgusted", "dis"),
    "anger": ("angry", "ang", "mad"),
}


def shared_emotion(name: str) -> str | None:
    """Returns the shared emotion that a class name means, None if it means none of them.

    Example:
        >>> shared_emotion("Angry"), shared_emotion("bored")
        ('anger', None)
    """
    plain = name.strip().lower()
    return next((emotion for emotion, aliases in ALIASES.items() if plain == emotion or plain in aliases), None)


@dataclass(frozen=True)
class LabelSet:
    """The classes of one corpus.

    Args:
        name: key in `LABEL_SETS`.
        names: class names; the position is the class index.
        shared: one of `SHARED_EMOTIONS` for each name, or None if a class has no counterpart in other corpora.

    Raises:
        ValueError: if `names` has duplicates or `shared` does not map every name to a shared emotion or None.
    """

    name: str
    names: tuple[str, ...]
    shared: dict[str, str | None]

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"label set {self.name!r} names a class twice: {self.names}")
        if set(self.shared) != set(self.names):
            raise ValueError(f"label set {self.name!r}: shared maps {sorted(self.shared)}, names are {self.names}")
        unknown = {value for value in self.shared.values() if value is not None} - set(SHARED_EMOTIONS)
        if unknown:
            raise ValueError(f"label set {self.name!r}: {sorted(unknown)} not among {SHARED_EMOTIONS}")


# The order of each dictionary is the order of the class indices.
_SHARED: dict[str, dict[str, str | None]] = {
    "meld": {emotion: emotion for emotion in SHARED_EMOTIONS},
    "iemocap6": {
        "happy": "joy",
        "sad": "sadness",
        "neutral": "neutral",
        "angry": "anger",
        "excited": "joy",
        # The raters separated frustration from anger, so it is no anger in other corpora.
        "frustrated": None,
    },
    # "happy" includes the excited turns.
    "iemocap4": {"angry": "anger", "happy": "joy", "neutral": "neutral", "sad": "sadness"},
    "emorynlp": {
        "joyful": "joy",
        "mad": "anger",
        "peaceful": None,
        "neutral": "neutral",
        "sad": "sadness",
        "powerful": None,
        "scared": "fear",
    },
    # Sentiment, not emotions.
    "mosi2": {"negative": None, "positive": None},
    "dailydialog": {
        "no emotion": "neutral",
        "anger": "anger",
        "disgust": "disgust",
        "fear": "fear",
        "happiness": "joy",
        "sadness": "sadness",
        "surprise": "surprise",
    },
}
LABEL_SETS = {name: LabelSet(name, tuple(shared), shared) for name, shared in _SHARED.items()}
