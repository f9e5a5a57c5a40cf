"""Reads a conversation from a file; a registry has the reader of each file suffix."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..registry_erc import Registry
from .annotations import read_chat, read_elan, read_subtitles, read_textgrid
from .forms import REFUSED, detect_form
from .json_text import read_json, read_jsonl
from .nist import read_ctm, read_stm
from .plain_text import read_markdown, read_text
from .speakers import LABEL, find_prefix, find_speakers, split_speaker
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
        language: code of the language, such as `en`, where it is known.
    """

    utterances: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    language: str | None = None

    @property
    def timed(self) -> bool:
        """Returns whether every utterance has a start and an end."""
        return all(u.get("start") is not None and u.get("end") is not None for u in self.utterances)


Reader = Callable[[TextFile], list[dict[str, Any]]]

READERS: Registry[Reader] = Registry("conversation format")
READERS.update({".srt": read_srt, ".vtt": read_vtt, ".csv": read_csv, ".json": read_json, ".jsonl": read_jsonl})
READERS.update({".tsv": read_csv, ".txt": read_text, ".json3": read_json, ".sbv": read_text, ".lrc": read_text})
READERS.update(dict.fromkeys((".ass", ".ssa", ".sub", ".ttml", ".dfxp", ".smi"), read_subtitles))
READERS.update({".textgrid": read_textgrid, ".eaf": read_elan, ".cha": read_chat})
READERS.update({".stm": read_stm, ".ctm": read_ctm, ".md": read_markdown})

# Tokens that Whisper, whisper.cpp and SenseVoice write between the words.
TOKEN = re.compile(r"\[(?:BLANK_AUDIO|SPEAKER_TURN|_[A-Z]{2,5}_\d*)\]|<\|[^<>|]{0,20}\|>")
CHARACTERS_PER_SECOND = 15  # of speech, to estimate the end of a last turn


def read_conversation(path: str | Path) -> Conversation:
    """Reads a conversation.

    The format follows from the suffix and the content. See `READERS` for the suffixes: subtitles, tables and JSON with
    one utterance per row or object (any of `speaker`, `text`, `start`, `end`, `audio`, `video`), the output of speech
    recognisers, annotations of Praat, ELAN and CHAT, exported chats and plain text. Paths of media are relative to the
    file.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the format is unknown.
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
    if not path.is_file():
        _ = READERS[path.suffix.lower()]
        raise FileNotFoundError(f"{path}: no such file")
    if remedy := REFUSED.get(path.suffix.lower()):
        raise ConversationError(f"{path}: {remedy}")
    if path.suffix.lower() not in READERS and not TextFile.is_text(path):
        _ = READERS[path.suffix.lower()]
    return parse_conversation(TextFile.read(path))


def parse_conversation(file: TextFile) -> Conversation:
    """Reads a conversation from text in memory; see `read_conversation`.

    Args:
        file: the text, with a path whose suffix names the format unless the content shows another one.
    """
    utterances = READERS[detect_form(file, READERS)](file)
    for utterance in utterances:
        if utterance.get("text"):
            utterance["text"] = TOKEN.sub("", utterance["text"]).strip() or None
    utterances = [u for u in utterances if len(u.keys() - {"start", "end"}) > 2 or u.get("text") or u.get("speaker")]
    if not utterances:
        raise ConversationError(f"{file.path}: no utterance in it; expected at least one")
    _split_speakers(utterances)
    _fill_ends(utterances, file.notes)
    return Conversation(utterances, file.notes)


def _split_speakers(utterances: list[dict[str, Any]]) -> None:
    """Splits speakers off the words where no turn has one, and removes them where they repeat the speaker."""
    if not any(utterance.get("speaker") for utterance in utterances):
        names = find_speakers(utterance.get("text") or "" for utterance in utterances)
        for utterance in utterances:
            if utterance.get("text"):
                utterance["speaker"], text = split_speaker(utterance["text"], names)
                utterance["text"] = text.strip() or None
    for utterance in utterances:
        prefix = find_prefix(utterance["text"]) if utterance.get("text") and utterance.get("speaker") else None
        if prefix and prefix.text and (prefix.name == utterance["speaker"] or LABEL.fullmatch(prefix.name)):
            utterance["text"] = prefix.text


def _fill_ends(utterances: list[dict[str, Any]], notes: list[str]) -> None:
    """Gives turns without end the start of the next turn as their end, if all turns have a start."""
    if all("start" in u for u in utterances) and any("end" not in u for u in utterances):
        notes.append("where a turn has no end, it is taken to end at the start of the next turn")
        starts = [utterance["start"] for utterance in utterances]
        for utterance, after in zip(utterances, [*starts[1:], None], strict=True):
            if "end" not in utterance:
                length = max(1.0, len(utterance.get("text") or "") / CHARACTERS_PER_SECOND)
                end = utterance["start"] + length if after is None else max(utterance["start"], after)
                utterance["end"] = round(end, 3)
