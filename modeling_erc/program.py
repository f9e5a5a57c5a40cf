"""The name of a command as the user typed it, for help texts and messages."""

import sys
from pathlib import Path


def program_name(command: str) -> str:
    """Returns `modeling-erc train`, `python -m modeling_erc train` or `train_hf.py`.

    Args:
        command: name of the command, such as `train`.
    """
    script = Path(sys.argv[0]).name
    if script == "train_hf.py":
        return script
    return f"python -m modeling_erc {command}" if script == "__main__.py" else f"modeling-erc {command}"
