"""Makes a conversation from a recording alone: speech recognition, turns and speakers; words of single clips."""

from .recogniser import load_recogniser, recognise
from .transcribe import transcribe

__all__ = ["load_recogniser", "recognise", "transcribe"]
