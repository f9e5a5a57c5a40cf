"""Names: those of the modalities, and registries of named classes and functions."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class Registry(dict[str, Entry], Generic[Entry]):
    """Maps a config value such as `fusion="concat"` to the code behind it.

    Args:
        kind: kind of the entries for the error message, e.g. `"fusion"`.

    Example:
        >>> SHAPES = Registry("shape")
        >>> @SHAPES.register("circle")
        ... class Circle: ...
        >>> SHAPES["circle"] is Circle
        True
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """Decorator that registers a class or function under `name`."""

        def enter(entry: Entry) -> Entry:
            self[name] = entry
            return entry

        return enter

    def __missing__(self, name: str) -> Entry:
        near = difflib.get_close_matches(str(name), self, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown {self.kind} {name!r}: choose one of {', '.join(sorted(self))}.{hint}")


@dataclass(frozen=True)
class Modality:
    """Names of everything that belongs to one modality.

    Args:
        raw: keys under which an utterance holds the raw input; the last one is a column of the dataset rows.
        features: key, column and model argument of precomputed features.
        inputs: model arguments made from the raw input, the required one first.
    """

    raw: tuple[str, ...]
    features: str
    inputs: tuple[str, ...]

    @property
    def column(self) -> str:
        """The column of the raw input in the dataset rows."""
        return self.raw[-1]

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys of an utterance that hold the modality."""
        return (*self.raw, self.features)


# Model arguments that describe the dialogues; the others hold a row for each utterance that has the modality.
DIALOGUE_INPUTS = ("utterance_mask", "modality_mask", "speaker_ids", "utterance_index")

# The order is that of every modality axis.
MODALITIES = {
    "text": Modality(
        ("text",), "text_features", ("input_ids", "attention_mask", "text_token_mask", "text_token_index")
    ),
    "audio": Modality(("audio", "audio_path"), "audio_features", ("audio_values", "audio_attention_mask")),
    "vision": Modality(("video", "video_path"), "visual_features", ("pixel_values",)),
}
