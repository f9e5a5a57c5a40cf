"""Makes a conversation from a recording alone: speech recognition, turns and speakers."""

from .transcribe import transcribe

__all__ = ["transcribe"]
