"""Timelines: the predictions for a conversation, turn by turn, as tables, subtitles and figures."""

from typing import TYPE_CHECKING, Any

from .colours import emotion_colours
from .timeline import Turn, timeline
from .writers import WRITERS, write_table, write_timeline

if TYPE_CHECKING:
    from .curves import plot_curves
    from .picture import plot_timeline

__all__ = [
    "WRITERS",
    "Turn",
    "emotion_colours",
    "plot_curves",
    "plot_timeline",
    "timeline",
    "write_table",
    "write_timeline",
]


def __getattr__(name: str) -> Any:
    """Imports what draws on first use: matplotlib takes a second."""
    if name == "plot_timeline":
        from .picture import plot_timeline

        return plot_timeline
    if name == "plot_curves":
        from .curves import plot_curves

        return plot_curves
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
