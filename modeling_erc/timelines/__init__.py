"""Timelines: the predictions for a conversation, turn by turn, as tables, subtitles and figures."""

from .colours import emotion_colours
from .curves import plot_curves
from .picture import plot_timeline
from .timeline import Turn, timeline
from .writers import WRITERS, write_table, write_timeline

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
