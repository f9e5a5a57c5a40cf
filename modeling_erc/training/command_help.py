"""The `--help` of commands that take a recipe: options in groups, one or two lines each."""

from argparse import SUPPRESS, Action, HelpFormatter
from collections.abc import Mapping

from transformers.hf_argparser import string_to_bool

from ..configs import ready_names

_TYPES = {int: "INT", float: "FLOAT", string_to_bool: "BOOL"}


def grouped_help(prog: str, description: str, options: Mapping[str, Action], groups: Mapping[str, str]) -> str:
    """Formats a help text in which every option stands once."""
    formatter = _CompactHelpFormatter(prog, max_help_position=38, width=100)
    formatter.add_usage("%(prog)s [CONFIG] [--option value ...]", [], [])
    formatter.add_text(description)
    recipe = f"YAML file or ready recipe: {', '.join(ready_names())}"
    formatter.add_arguments([Action([], "config", metavar="CONFIG", help=recipe), options["help"]])
    for title, names in groups.items():
        formatter.start_section(title)
        formatter.add_arguments([options[name] for name in names.split()])
        formatter.end_section()
    others = options.keys() - " ".join(["help", *groups.values()]).split()
    formatter.start_section("other options of transformers.TrainingArguments, explained in its documentation")
    formatter.add_text(" ".join(f"--{name}" for name in sorted(others)))
    formatter.end_section()
    formatter.add_text(f"example: {prog} meld_text --data_dir MELD.Raw --seed 1")
    return formatter.format_help()


class _CompactHelpFormatter(HelpFormatter):
    """Shows one name of an option, the type of its value, the first sentence of its help, and its default."""

    def _format_action_invocation(self, action: Action) -> str:
        if not action.option_strings:
            return str(action.metavar)
        if action.nargs == "?":  # a switch
            return f"{action.option_strings[0]} [false]" if action.default is True else action.option_strings[0]
        if action.nargs == 0:
            return ", ".join(action.option_strings)
        kind = _TYPES.get(action.type, "TEXT")  # type: ignore[call-overload]
        return f"{action.option_strings[0]} {kind}{' ...' if action.nargs == '+' else ''}"

    def _get_help_string(self, action: Action) -> str:
        text = (action.help or "").partition(". ")[0].rstrip(".")
        default = " ".join(action.default) if isinstance(action.default, list) else action.default
        if default is None or default is False or default in ("", SUPPRESS) or "default" in text.lower():
            return text
        return f"{text} (default: {str(default).replace('%', '%%')})"
