"""Reads one conversation from a user's file: subtitles, a table, JSON, annotations or plain text."""

from .conversation import READERS, Conversation, parse_conversation, read_conversation
from .media import with_media
from .text_file import ConversationError, TextFile

__all__ = [
    "READERS",
    "Conversation",
    "ConversationError",
    "TextFile",
    "parse_conversation",
    "read_conversation",
    "with_media",
]
