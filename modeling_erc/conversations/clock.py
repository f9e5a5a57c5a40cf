"""Times as people and tools write them, in seconds."""

import math
import re
from collections.abc import Mapping
from typing import Any

NUMBER = re.compile(r"(\d{1,15}(?:[.,]\d{1,12})?)\s*(ms|msec|s|secs?|seconds?)?", re.IGNORECASE)
CLOCK = re.compile(r"(?:(\d{1,6}):)?(\d{1,6}):(\d{1,2})(?:[.,](\d{1,9}))?")
# Hours, minutes, seconds and frames, as editing programs write them.
TIME_CODE = re.compile(r"(\d{1,6}):(\d{1,2}):(\d{1,2})[:;](\d{1,3})")
ISO = re.compile(r"PT(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9}(?:\.\d{1,9})?)S)?")

# As Teams reads times aloud: `1 hour 2 minutes 3 seconds`.
SPOKEN = re.compile(
    r"(?:(\d{1,6}) (?:hours?|stunden?|heures?|horas?),? )?(?:(\d{1,2}) (?:minut(?:e|es|en|o|os)),? )?"
    r"(\d{1,2}) (?:seconds?|sekunden?|secondes?|segundos?)",
    re.IGNORECASE,
)


def parse_time(value: Any, frame_rate: float = 25.0) -> tuple[float, bool] | None:
    """Parses a time.

    Args:
        value: a number or a string such as `62.5`, `62,5`, `1:02.5`, `0:01:02,500`, `62.5s`, `62500 ms`, `PT1M2.5S`,
            `1 minute 2 seconds`, the time code `00:01:02:12`, or Google's `{"seconds": 62, "nanos": 500000000}`.
        frame_rate: frames per second of a time code.

    Returns:
        The time, and whether its unit is known to be seconds; None if the value is not a time.

    Example:
        >>> parse_time("1:02.5"), parse_time(62500), parse_time("soon")
        ((62.5, True), (62500.0, False), None)
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            return None
        return (number, False) if math.isfinite(number) and number >= 0 else None
    if isinstance(value, Mapping):
        counts = [str(value.get(name, 0)) for name in ("seconds", "nanos")]
        digits = all(re.fullmatch(r"[0-9]{1,15}", count) for count in counts)
        return (int(counts[0]) + int(counts[1]) * 1e-9, True) if digits else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    if match := NUMBER.fullmatch(text):
        unit = (match[2] or "").lower()
        number = float(match[1].replace(",", "."))
        return (number / 1000 if unit.startswith("m") else number), bool(unit)
    if match := CLOCK.fullmatch(text):
        hours, minutes, seconds, fraction = match.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction or 0}"), True
    if match := TIME_CODE.fullmatch(text):
        hours, minutes, seconds, frames = (int(part) for part in match.groups())
        return hours * 3600 + minutes * 60 + seconds + frames / frame_rate, True
    match = SPOKEN.fullmatch(text) or ISO.fullmatch(text)
    if match and any(match.groups()):
        hours, minutes, rest = match.groups()
        return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(rest or 0), True
    return None


def frame_rate_of(values: list[Any]) -> float | None:
    """Guesses the frame rate of time codes from their largest frame number; None if there is no time code."""
    matches = [TIME_CODE.fullmatch(value.strip()) for value in values if isinstance(value, str)]
    frames = [int(match[4]) for match in matches if match]
    return next((rate for rate in (25.0, 30.0, 60.0) if max(frames) < rate), 1000.0) if frames else None


def are_milliseconds(spans: list[tuple[float, float | None, int]]) -> bool:
    """Guesses whether times without a unit are milliseconds, from the rate of speech that seconds would give.

    Args:
        spans: start, end and number of characters of each turn.
    """
    times = [time for start, end, _ in spans for time in (start, end) if time is not None]
    if not times or max(times) < 100 or not all(time.is_integer() for time in times):
        return False
    lengths = [end - start for start, end, _ in spans if end is not None]
    total = sum(lengths) if lengths else max(times) - min(times)
    return total > 0 and sum(count for *_, count in spans) / total < 0.1
