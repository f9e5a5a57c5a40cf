"""Text files of unknown encoding, and errors that name file and line."""

import codecs
from dataclasses import dataclass, field
from pathlib import Path

# Byte order marks; UTF-32 comes first, since its mark begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Accented letters and quotation marks of UTF-8 that were decoded as Windows-1252 contain these.
MOJIBAKE = ("Ã", "Â", "â€")


class ConversationError(ValueError):
    """A file that cannot be read as a conversation."""


@dataclass
class TextFile:
    """A text file.

    Args:
        path: path of the file.
        text: content with `\\n` line ends.
        notes: a sentence for every guess that was made while reading.
    """

    path: Path
    text: str
    notes: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "TextFile":
        """Reads UTF-8, UTF-16 or UTF-32 with a byte order mark, UTF-8 without one, or else Windows-1252.

        Raises:
            ConversationError: the file is not a text file.
        """
        raw = path.read_bytes()
        notes = []
        encoding = next((name for mark, name in MARKS.items() if raw.startswith(mark)), "utf-8")
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError as error:
            # Latin-1 decodes every byte and serves where Windows-1252 has no character.
            try:
                text = raw.decode("cp1252")
            except UnicodeDecodeError:
                text = raw.decode("latin-1")
            line = raw[: error.start].count(b"\n") + 1
            notes.append(f"{path.name} is not UTF-8 (line {line}): read as Windows-1252; check the accented letters")
        if "\0" in text:
            raise ConversationError(
                f"{path} is not a text file: export the conversation as srt, vtt, csv, json or jsonl"
            )
        if any(sign in text for sign in MOJIBAKE):
            try:
                text = text.encode("cp1252").decode("utf-8")
                notes.append(f"{path.name} was UTF-8 that had been decoded as Windows-1252: its letters are restored")
            except UnicodeError:
                pass
        return cls(path, text.replace("\r\n", "\n").replace("\r", "\n"), notes)

    @staticmethod
    def is_text(path: Path) -> bool:
        """Returns whether a file starts with text in UTF-8 or with a byte order mark."""
        with path.open("rb") as file:
            start = file.read(4096)
        return any(start.startswith(mark) for mark in MARKS) or (
            b"\0" not in start and "\ufffd" not in start.decode("utf-8", "replace")[:-1]
        )

    @property
    def lines(self) -> list[str]:
        """Lines without line ends."""
        return self.text.split("\n")

    def error(self, line: int, message: str) -> ConversationError:
        """Returns an error at a line, counted from 1."""
        return ConversationError(f"{self.path}, line {line}: {message}")
