"""The commands of `modeling-erc`, one file each."""

import argparse
import sys
from pathlib import Path
from typing import Any

# As the user typed it.
PROGRAM = "python -m modeling_erc" if Path(sys.argv[0]).name == "__main__.py" else "modeling-erc"


def command_parser(command: str, description: str, epilog: str, **settings: Any) -> argparse.ArgumentParser:
    """Returns the parser of a command.

    Args:
        command: name of the command.
        description: what the command does, in a sentence.
        epilog: text below the options; `%(prog)s` stands for the program and the command.
        **settings: further arguments of `argparse.ArgumentParser`.
    """
    return argparse.ArgumentParser(
        f"{PROGRAM} {command}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **settings,
    )
