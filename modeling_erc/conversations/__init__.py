"""Reads one conversation from a user's file: subtitles, a table or JSON."""

from .conversation import READERS, Conversation, read_conversation
from .media import with_media
from .text_file import ConversationError

__all__ = ["READERS", "Conversation", "ConversationError", "read_conversation", "with_media"]
