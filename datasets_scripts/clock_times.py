"""Times as people write them: seconds, clock times and milliseconds."""

import math
import re
import statistics
from collections.abc import Iterable

# Days and hours may be left out; with more digits `float` would be slow.
_CLOCK = re.compile(r"(?:(\d{1,6}) days?,? )?(?:(\d{1,6}):)?(\d{1,6}):(\d{1,2}(?:[.,]\d{1,9})?)")
_NUMBER = re.compile(r"(-?\d{1,15}(?:[.,]\d{0,15})?(?:e[+-]?\d{1,2})?)\s*(s|sec|seconds?|ms|msec|milliseconds?)?")
_MILLISECONDS = re.compile(r"(?:^|[^a-z])(?:ms|msec|millis|milliseconds?)(?:[^a-z]|$)|(?<=[a-z])(?:Ms|MS)$")
# No corpus has utterances this long (seconds) in the median, so that such whole numbers are milliseconds.
LONG_UTTERANCE = 100


def to_seconds(text: str, unit: float = 1.0) -> float | None:
    """Returns a time in seconds, None for text that is no time.

    Args:
        text: a number with a point or a comma, with or without `s` or `ms`, or a clock time `1:02:03.5`.
        unit: seconds that a number without a unit counts for, 0.001 for milliseconds.

    Example:
        >>> to_seconds("00:16:16,059"), to_seconds("1:02.5"), to_seconds("2,5 s"), to_seconds("1500", unit=0.001)
        (976.059, 62.5, 2.5, 1.5)
    """
    text = text.strip().lower()
    if match := _CLOCK.fullmatch(text):
        days, hours, minutes, seconds = match.groups()
        return round(
            int(days or 0) * 86400 + int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", ".")), 6
        )
    if match := _NUMBER.fullmatch(text):
        number = float(match[1].replace(",", "."))
        scale = unit if match[2] is None else 0.001 if match[2].startswith("m") else 1.0
        return round(number * scale, 9) if math.isfinite(number) else None
    return None


def names_milliseconds(column: str) -> bool:
    """Returns whether a column's name says that it holds milliseconds.

    Example:
        >>> [names_milliseconds(name) for name in ("start_ms", "startMs", "Start (ms)", "items", "start")]
        [True, True, True, False, False]
    """
    return bool(_MILLISECONDS.search(column) or _MILLISECONDS.search(column.lower()))


def are_milliseconds(ranges: Iterable[tuple[str, str]]) -> bool:
    """Returns whether starts and ends are milliseconds by their size: whole numbers that are far apart.

    Args:
        ranges: start and end of each utterance, as written.
    """
    lengths = []
    for start, end in ranges:
        if not (re.fullmatch(r"\d{1,15}(\.0*)?", start) and re.fullmatch(r"\d{1,15}(\.0*)?", end)):
            return False
        lengths.append(float(end) - float(start))
    return bool(lengths) and statistics.median(lengths) >= LONG_UTTERANCE
