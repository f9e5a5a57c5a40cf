"""Timelines: the predictions for a conversation, turn by turn, as tables, subtitles and figures."""

from typing import TYPE_CHECKING, Any

from .colours import emotion_colours
from .speakers import Voice, voices
from .timeline import Turn, is_timed, spans_of, timeline
from .writers import WRITERS, write_table, write_timeline

if TYPE_CHECKING:
    from .picture import plot_timeline

__all__ = [
    "WRITERS",
    "Turn",
    "Voice",
    "emotion_colours",
    "is_timed",
    "plot_timeline",
    "spans_of",
    "timeline",
    "voices",
    "write_table",
    "write_timeline",
]


def __getattr__(name: str) -> Any:
    """Imports what draws on first use: matplotlib takes a second."""
    if name == "plot_timeline":
        from .picture import plot_timeline

        return plot_timeline
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
