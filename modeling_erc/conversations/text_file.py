"""Text files of unknown encoding, and errors that name file and line."""

import codecs
from dataclasses import dataclass, field
from pathlib import Path

MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
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
        """Reads UTF-8, UTF-16, UTF-32, Windows-1252 or gb18030; without a byte order mark the last two are guessed.

        Raises:
            ConversationError: the file is not a text file.
        """
        raw = path.read_bytes()
        notes = []
        try:
            text = raw.decode("utf-8-sig")
            line = 0
        except UnicodeDecodeError as error:
            text, line = "\0", raw[: error.start].count(b"\n") + 1
        if "\0" in text:
            # Imported here: the corpora take long to load, and most files are UTF-8.
            from datasets_scripts.text_files import guess_encoding

            encoding = guess_encoding(raw) or "cp1252"
            try:
                text = raw.decode(encoding)
            except UnicodeDecodeError:
                # Latin-1 decodes every byte and serves where Windows-1252 has no character.
                text = raw.decode("latin-1")
            if not encoding.startswith("utf"):
                name = "Windows-1252" if encoding == "cp1252" else encoding
                notes.append(f"{path.name} is not UTF-8 (line {line}): read as {name}; check the accented letters")
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
