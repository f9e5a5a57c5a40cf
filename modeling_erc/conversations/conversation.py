"""Reads a conversation from a file; a registry has the reader of each file suffix."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..registry_erc import Registry
from .json_text import read_json, read_jsonl
from .subtitles import read_srt, read_vtt
from .tables import read_csv
from .text_file import ConversationError, TextFile


@dataclass
class Conversation:
    """A conversation, in spoken order.

    Args:
        utterances: dicts with `speaker`, `text`, `start` and `end` (seconds) and, where the file has them, `audio` and
            `video` (paths): the input of the pipeline.
        notes: a sentence for everything that was guessed or left out while reading.
    """

    utterances: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)

    @property
    def timed(self) -> bool:
        """Returns whether every utterance has a start and an end."""
        return all(u.get("start") is not None and u.get("end") is not None for u in self.utterances)


Reader = Callable[[TextFile], list[dict[str, Any]]]

READERS: Registry[Reader] = Registry("conversation format")
READERS.update(
    {".srt": read_srt, ".vtt": read_vtt, ".csv": read_csv, ".tsv": read_csv, ".json": read_json, ".jsonl": read_jsonl}
)


def read_conversation(path: str | Path) -> Conversation:
    """Reads a conversation.

    Args:
        path: subtitles (`.srt`, `.vtt`), or one utterance per row or object (`.csv`, `.jsonl`, `.json`) with any of
            `speaker`, `text`, `start`, `end`, `audio`, `video`. Paths of media are relative to the file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the suffix is unknown.
        ConversationError: the content is invalid; the message names file, line and remedy.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder, "a.srt")
        ...     _ = file.write_text("1\\n00:00:01,000 --> 00:00:02,500\\nANN: We won!\\n")
        ...     read_conversation(file).utterances
        [{'speaker': 'ANN', 'text': 'We won!', 'start': 1.0, 'end': 2.5}]
    """
    path = Path(path)
    reader = READERS[path.suffix.lower()]
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    file = TextFile.read(path)
    utterances = reader(file)
    if not utterances:
        raise ConversationError(f"{path}: no utterance in it; expected at least one")
    return Conversation(utterances, file.notes)
