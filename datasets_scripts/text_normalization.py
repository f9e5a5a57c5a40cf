"""Text normalization: repaired encoding errors, plain punctuation instead of typographic, single spaces."""

import re

# Characters that UTF-8 bytes become when read as cp1252 (or as latin-1 where cp1252 has no character).
_BYTES = {bytes([byte]).decode("cp1252", errors="ignore") or chr(byte): byte for byte in range(0x80, 0x100)}
_BYTES.update({chr(byte): byte for byte in range(0x80, 0xA0)})
_CONTINUATION = "[" + "".join(re.escape(char) for char, byte in _BYTES.items() if byte < 0xC0) + "]"
# Only the lead bytes of accented Latin letters, general punctuation and the BOM: others would change correct text.
_MOJIBAKE = re.compile(f"[\xc2\xc3]{_CONTINUATION}|\xe2{_CONTINUATION}{{2}}|\xef\xbb\xbf")
_C1_CONTROL = re.compile("[\x80-\x9f]")

_PUNCTUATION: dict[int, str | None] = {
    **dict.fromkeys(map(ord, "\u2018\u2019\u201b\u2032"), "'"),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u2033"), '"'),
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013"), "-"),
    **dict.fromkeys(map(ord, "\u2014\u2015"), "--"),
    **dict.fromkeys(map(ord, "\u200b\ufeff"), None),
    ord("\u201a"): ",",
    ord("\u2026"): "...",
}


def _decode(match: re.Match[str]) -> str:
    try:
        return bytes(_BYTES[char] for char in match[0]).decode("utf-8")
    except UnicodeDecodeError:
        return match[0]


def normalize_text(text: str) -> str:
    """Repairs UTF-8 read as cp1252 and stray C1 controls, replaces curly punctuation and collapses white space.

    Example:
        >>> normalize_text("I\\x92m  fine\\u2026")
        "I'm fine..."
    """
    text = _MOJIBAKE.sub(_decode, text)
    text = _C1_CONTROL.sub(lambda match: match[0].encode("latin-1").decode("cp1252", errors="ignore"), text)
    return " ".join(text.translate(_PUNCTUATION).split())
