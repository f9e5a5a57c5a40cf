"""What a model said of a conversation, turn by turn, as files that people look at."""

from .colours import emotion_colours
from .picture import plot_timeline
from .timeline import Turn, timeline
from .writers import WRITERS, write_timeline

__all__ = ["WRITERS", "Turn", "emotion_colours", "plot_timeline", "timeline", "write_timeline"]
