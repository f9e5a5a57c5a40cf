"""Redaction of settings before they are published: folders of this machine are removed."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import Any

# Settings that are nothing but private folders. Of all other paths the last part is kept.
LOCAL = {"data_dir", "feature_cache", "output_dir"}


def is_hub_id(text: str) -> bool:
    """Returns whether a text is a Hub id, `user/name`, and not a folder of this machine."""
    return re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", text) is not None and not os.path.exists(text)


def is_path(text: str) -> bool:
    """Returns whether a text is a path, of this machine or of another one."""
    looks_like_path = re.search(r"^~|[/\\]", text) is not None and re.match(r"https?://", text) is None
    return os.path.exists(text) or (looks_like_path and not is_hub_id(text))


def public(value: Any) -> Any:
    """Returns a value with every path cut to its last part, also inside mappings, lists and JSON.

    Example:
        >>> public({"media_dir": "/home/me/clips", "text_encoder": "user/name", "seed": 3})
        {'media_dir': 'clips', 'text_encoder': 'user/name', 'seed': 3}
    """
    if isinstance(value, Mapping):
        return {key: public(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [public(item) for item in value]
    if not isinstance(value, str | os.PathLike):
        return value
    text = os.fspath(value)
    if text.lstrip().startswith(("{", "[")):
        try:
            content = json.loads(text)
        except json.JSONDecodeError:
            pass
        else:
            shown = public(content)
            return text if shown == content else json.dumps(shown, ensure_ascii=False)
    # A Windows path has both kinds of slashes as separators.
    return PureWindowsPath(text).name if is_path(text) else text


def public_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings redacted by [`public`], without those in `LOCAL`."""
    return {name: public(value) for name, value in settings.items() if name not in LOCAL}
