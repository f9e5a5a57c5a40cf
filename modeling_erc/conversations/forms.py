"""Recognises the format of a conversation by its content, and names formats that hold no conversation."""

import re
from collections.abc import Container

from .fields import read_fields
from .text_file import TextFile

DOCUMENT = "a text document of an office program: save it as plain text (.txt), or export the transcript as .vtt"
RECORDING = (
    "a recording without words: transcribe it (predict ... --transcribe openai/whisper-small), give its transcript, "
    "and the recording with --media, or list single utterances in a .csv table with the columns speaker and audio"
)
RECORDINGS = (".wav", ".mp3", ".m4a", ".flac", ".ogg", ".opus", ".aac", ".wma", ".mp4", ".mkv", ".mov", ".avi", ".webm")
RTTM = "RTTM names speakers and times without words: give a transcript, such as the .srt or .json of WhisperX"
REFUSED = {
    ".rttm": RTTM,
    ".zip": "an archive: unpack it and give the file with the conversation",
    **dict.fromkeys((".docx", ".doc", ".odt", ".pdf", ".rtf"), DOCUMENT),
    **dict.fromkeys(RECORDINGS, RECORDING),
}
# The first format whose pattern matches the start of a text. Those marked True overrule a known suffix.
SIGNATURES = (
    (re.compile(r"WEBVTT(?:[ \t\n]|$)"), ".vtt", True),
    (re.compile(r"\[Script Info\]", re.IGNORECASE), ".ass", True),
    (re.compile(r'File type = "ooTextFile|"?ooTextFile'), ".textgrid", True),
    (re.compile(r"(?:<[?!][^>]*>\s*){0,4}<ANNOTATION_DOCUMENT\b"), ".eaf", True),
    (re.compile(r"(?:<[?!][^>]*>\s*){0,4}<(?:\w+:)?tt\b"), ".ttml", True),
    (re.compile(r"<SAMI\b", re.IGNORECASE), ".smi", True),
    (re.compile(r"@(?:UTF8|Begin)\s"), ".cha", True),
    (re.compile(r"\{\d+\}\{\d*\}"), ".sub", False),
    (re.compile(r"(?:#{1,6}[ \t][^\n]*\n\s*)*(?:\\\[[^\n\]]{1,20}\]\s*)?\*\*[^*\n]{1,60}\*\*"), ".md", False),
    (re.compile(r"\{\s*\"|\[\s*\{\s*\""), ".json", False),
    (re.compile(r"(?:\d+[ \t]*\n)?\s*(?:\d+:)?\d+:\d{2}(?:[.,]\d+)?\s*-->\s*\d"), ".srt", False),
    (re.compile(r"(?:;;[^\n]*\n\s*)*(?:\S+[ \t]+){3}\d+\.\d+[ \t]+\d+\.\d+[ \t]+<\S"), ".stm", False),
    (re.compile(r"(?:;;[^\n]*\n\s*)*(?:\S+[ \t]+){2}\d+\.\d+[ \t]+\d+\.\d+[ \t]+\S"), ".ctm", False),
)
RTTM_LINE = re.compile(r"SPEAKER \S+ \d+ [\d.]+ [\d.]+ <NA>")


def detect_form(file: TextFile, known: Container[str]) -> str:
    """Returns the suffix of the format that a text has.

    Args:
        file: the text.
        known: suffixes of the formats; one that is not among them, and `.txt`, say nothing about the content.

    Raises:
        ConversationError: the format holds no words.
    """
    suffix, text = file.path.suffix.lower(), file.text.lstrip("\ufeff \t\n")
    if RTTM_LINE.match(text):
        raise file.error(1, RTTM)
    unsure = suffix == ".txt" or suffix not in known
    for pattern, form, strong in SIGNATURES:
        if (unsure or strong) and pattern.match(text):
            return form
    if unsure and _is_table(text.split("\n", 1)[0]):
        return ".csv"
    return suffix


def _is_table(header: str) -> bool:
    names = [name.strip(' "') for name in header.split(max(",;\t", key=header.count))]
    fields = read_fields(dict.fromkeys(names, "x")).items()
    return len(names) > 1 and len({field for field, value in fields if value} & {"text", "speaker", "start"}) > 1
