"""The commands of `modeling-erc`, one file each."""

import argparse
from typing import Any

from ..program import program_name


def command_parser(command: str, description: str, epilog: str, **settings: Any) -> argparse.ArgumentParser:
    """Returns the parser of a command.

    Args:
        command: name of the command.
        description: what the command does, in a sentence.
        epilog: text below the options; `%(prog)s` stands for the program and the command.
        **settings: further arguments of `argparse.ArgumentParser`.
    """
    return argparse.ArgumentParser(
        program_name(command),
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **settings,
    )


def positive(text: str) -> int:
    """Reads the value of an option that is a number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 1")
    return int(text)
