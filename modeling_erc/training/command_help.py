"""The `--help` of commands that take a recipe: options in groups, one or two lines each."""

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from transformers.hf_argparser import string_to_bool

from ..configs import ready_names

WIDTH = 100
_METAVARS = {int: "INT", float: "FLOAT", string_to_bool: "BOOL"}


def program_name(command: str) -> str:
    """Returns the program of a command as the user typed it.

    Args:
        command: name of the command, `train` or `extract`.
    """
    script = Path(sys.argv[0]).name
    if script == "train_hf.py":
        return script
    return f"python -m modeling_erc {command}" if script == "__main__.py" else f"modeling-erc {command}"


def grouped_help(
    prog: str,
    description: str,
    options: Mapping[str, argparse.Action],
    groups: Mapping[str, Iterable[str]],
) -> str:
    """Formats a help text in which every option stands once.

    Args:
        prog: program as the user typed it.
        description: what the command does.
        options: actions of the parser by name.
        groups: names of the options of each group; the others, of `TrainingArguments`, are listed by name only.
    """
    formatter = CompactHelpFormatter(prog, max_help_position=38, width=WIDTH)
    formatter.add_usage("%(prog)s [CONFIG] [--option value ...]", [], [])
    formatter.add_text(description)
    recipe = f"YAML file or ready recipe: {', '.join(ready_names())}"
    formatter.add_argument(argparse.Action([], "config", metavar="CONFIG", help=recipe))
    formatter.add_argument(options["help"])
    grouped = {"help"}.union(*groups.values())
    for title, names in groups.items():
        formatter.start_section(title)
        formatter.add_arguments([options[name] for name in names])
        formatter.end_section()
    formatter.start_section("other options of transformers.TrainingArguments, see its documentation")
    formatter.add_text(" ".join(f"--{name}" for name in sorted(options.keys() - grouped)))
    formatter.end_section()
    formatter.add_text(f"example: {prog} meld_text --data_dir MELD.Raw --seed 1")
    return formatter.format_help()


class CompactHelpFormatter(argparse.HelpFormatter):
    """Shows an option by one name, the type of its value, its help and its default."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return str(action.metavar)
        if action.nargs == 0:
            return ", ".join(action.option_strings)
        if action.nargs == "?":  # a switch
            return f"{action.option_strings[0]} [false]" if action.default is True else action.option_strings[0]
        metavar = _METAVARS.get(action.type, "TEXT")  # type: ignore[call-overload]
        return f"{action.option_strings[0]} {metavar}{' ...' if action.nargs == '+' else ''}"

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        default = " ".join(action.default) if isinstance(action.default, list) else action.default
        if default is None or default is False or default in ("", argparse.SUPPRESS) or "default" in text.lower():
            return text
        return f"{text} (default: {str(default).replace('%', '%%')})"
