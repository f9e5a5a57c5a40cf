"""Text of unknown encoding as lines, and errors that name file and line."""

import codecs
from dataclasses import dataclass, field
from pathlib import Path

# Longest first: the mark of UTF-32 begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What accented letters and quotation marks of UTF-8 look like once somebody has read them as Windows-1252.
MOJIBAKE = ("Ã", "Â", "â€")


class ConversationError(ValueError):
    """A file that cannot be read as a conversation."""


@dataclass
class TextFile:
    """A text file.

    Args:
        path: where it is.
        text: its content, line ends as `\\n`.
        notes: what was guessed, for the reader of the results.
    """

    path: Path
    text: str
    notes: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "TextFile":
        """Reads UTF-8, UTF-16 or UTF-32 by their marks, UTF-8 without one, and anything else as Windows-1252.

        Raises:
            ConversationError: it is no text.
        """
        raw = path.read_bytes()
        notes = []
        encoding = next((name for mark, name in MARKS.items() if raw.startswith(mark)), "utf-8")
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError as error:
            # Latin-1 has a character for every byte; where the byte is one of Windows' own, that is what was meant.
            try:
                text = raw.decode("cp1252")
            except UnicodeDecodeError:
                text = raw.decode("latin-1")
            line = raw[: error.start].count(b"\n") + 1
            notes.append(f"{path.name} is not UTF-8 (line {line}): read as Windows-1252, so check the accented letters")
        if "\0" in text:
            raise ConversationError(f"{path} is no text file: export the conversation as srt, vtt, csv, json or jsonl")
        if any(sign in text for sign in MOJIBAKE):
            try:
                text = text.encode("cp1252").decode("utf-8")
                notes.append(f"{path.name} was UTF-8 that somebody had read as Windows-1252: its letters are restored")
            except UnicodeError:
                pass
        return cls(path, text.replace("\r\n", "\n").replace("\r", "\n"), notes)

    @property
    def lines(self) -> list[str]:
        """Lines, without their ends."""
        return self.text.split("\n")

    def error(self, line: int, what: str) -> ConversationError:
        """An error at a line, counted from 1."""
        return ConversationError(f"{self.path}, line {line}: {what}")
