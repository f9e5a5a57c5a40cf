"""Reads one conversation from a file of people's own: subtitles, a table or JSON."""

from .conversation import READERS, Conversation, ConversationError, read_conversation
from .media import with_media

__all__ = ["READERS", "Conversation", "ConversationError", "read_conversation", "with_media"]
