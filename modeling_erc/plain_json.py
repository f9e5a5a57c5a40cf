"""JSON as the standard has it, without the tokens NaN and Infinity that Python's `json` writes."""

import json
import math
from typing import Any


def finite(value: Any) -> Any:
    """Returns dicts, lists and numbers with None in place of every number that is not finite.

    Example:
        >>> finite({"loss": float("nan"), "scores": [0.5, float("inf")]})
        {'loss': None, 'scores': [0.5, None]}
    """
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_text(value: Any, **options: Any) -> str:
    """Returns a value as JSON; a number that is not finite is null.

    Args:
        value: what `json.dumps` takes.
        **options: options of `json.dumps`.
    """
    return json.dumps(finite(value), allow_nan=False, **options)
