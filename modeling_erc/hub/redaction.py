"""What of a run's settings may be read by everybody: where things lie on this machine may not."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import Any

# Folders whose very names are the owner's business; of other paths the last part is told.
LOCAL = {"data_dir", "feature_cache", "output_dir"}


def is_hub_id(text: str) -> bool:
    """Whether it is `user/name` and no folder here."""
    return re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", text) is not None and not os.path.exists(text)


def is_path(text: str) -> bool:
    """Whether it is a path of this machine or, where nothing of that name is here, of the one that wrote it down."""
    looks = re.search(r"^~|[/\\]", text) is not None and re.match(r"https?://", text) is None
    return os.path.exists(text) or (looks and not is_hub_id(text))


def public(value: Any) -> Any:
    """A value without the folders of a machine: of a path the last part stays, inside mappings, lists and JSON too.

    Args:
        value: of a setting.

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
            held = json.loads(text)
        except json.JSONDecodeError:
            pass
        else:
            shown = public(held)
            return text if shown == held else json.dumps(shown, ensure_ascii=False)
    # Its rules take both slashes for what separates folders.
    return PureWindowsPath(text).name if is_path(text) else text


def public_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as [`public`] shows them, without those that are nothing but folders."""
    return {name: public(value) for name, value in settings.items() if name not in LOCAL}
