"""Label sets as data: the classes of each corpus in index order, and the shared emotions they stand for."""

from dataclasses import dataclass

SHARED_EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")


@dataclass(frozen=True)
class LabelSet:
    """The emotions of one corpus.

    Args:
        name: key in `LABEL_SETS`.
        names: class names; the position is the class index.
        shared: one of `SHARED_EMOTIONS` for each name, or None where a class has no counterpart in other corpora.

    Raises:
        ValueError: where `names` has duplicates or `shared` does not map every name to a shared emotion or None.
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


def _label_set(name: str, shared: dict[str, str | None]) -> LabelSet:
    return LabelSet(name=name, names=tuple(shared), shared=shared)


# The order of each dictionary is the order of the class indices.
LABEL_SETS: dict[str, LabelSet] = {
    label_set.name: label_set
    for label_set in (
        _label_set("meld", {emotion: emotion for emotion in SHARED_EMOTIONS}),
        _label_set(
            "iemocap6",
            {
                "happy": "joy",
                "sad": "sadness",
                "neutral": "neutral",
                "angry": "anger",
                "excited": "joy",
                # Raters kept frustration apart from anger, so it is not passed off as anger elsewhere.
                "frustrated": None,
            },
        ),
        # "happy" holds the excited turns too.
        _label_set("iemocap4", {"angry": "anger", "happy": "joy", "neutral": "neutral", "sad": "sadness"}),
        _label_set(
            "emorynlp",
            {
                "joyful": "joy",
                "mad": "anger",
                "peaceful": None,
                "neutral": "neutral",
                "sad": "sadness",
                "powerful": None,
                "scared": "fear",
            },
        ),
        # Of an opinion, not emotions.
        _label_set("mosi2", {"negative": None, "positive": None}),
        _label_set(
            "dailydialog",
            {
                "no emotion": "neutral",
                "anger": "anger",
                "disgust": "disgust",
                "fear": "fear",
                "happiness": "joy",
                "sadness": "sadness",
                "surprise": "surprise",
            },
        ),
    )
}
