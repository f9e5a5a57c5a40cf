"""The speakers of a conversation in figures: short names, and colours."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .colours import OTHERS as COLOURS
from .timeline import Turn

OTHERS = "others"
SPEAKERS = ("#0945b0", "#d77901", *COLOURS[1:])


@dataclass(frozen=True)
class Voice:
    """A speaker in a figure, or the rarest together.

    Args:
        name: name to write, at most 18 characters.
        colour: colour as `#rrggbb`.
        places: indices of the turns.
    """

    name: str
    colour: str
    places: list[int]


def voices(turns: Sequence[Turn]) -> list[Voice]:
    """Returns the speakers with their colours, the most frequent first."""
    names = short_names(turns, len(SPEAKERS))
    places: dict[str, list[int]] = {name: [] for name in names.values()}
    for place, turn in enumerate(turns):
        places[names[turn.speaker or "?"]].append(place)
    return [Voice(name, colour, own) for (name, own), colour in zip(places.items(), SPEAKERS, strict=False)]


def short_names(turns: Sequence[Turn], most: int) -> dict[str, str]:
    """Returns the name that is written for each speaker, the most frequent first; `?` is an unknown one.

    Args:
        turns: turns of one conversation.
        most: number of names; of more speakers the rarest are `others`.
    """
    names = [name for name, _ in Counter(turn.speaker or "?" for turn in turns).most_common()]
    kept = names[: most - (len(names) > most)]
    short = {name: f"{name[:17]}…" if len(name) > 18 else name for name in kept}
    # Two long names may have the same beginning.
    shown = Counter(short.values())
    short = {name: text if shown[text] == 1 else f"{name[:8]}…{name[-9:]}" for name, text in short.items()}
    return {name: short.get(name, OTHERS) for name in names}
