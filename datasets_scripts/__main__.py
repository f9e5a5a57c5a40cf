"""Describes a corpus, writes it as parquet, pushes it to the Hub: `python -m datasets_scripts NAME DATA_DIR ...`."""

import argparse
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from . import CORPORA, ErcBuilder, erc_builder, known_options
from .publishing.publish import check_login, check_rights, push_dataset, write_dataset


def parse_option(text: str) -> tuple[str, Any]:
    """Returns key and value of `KEY=VALUE`, with the value read as YAML.

    Raises:
        ValueError: if `text` has another form.
    """
    key, separator, value = text.partition("=")
    if not (key and separator):
        raise ValueError(f"--option {text!r} is not KEY=VALUE")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        raise ValueError(f"--option {text!r}: the value after = is no YAML") from None


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    width = max(map(len, CORPORA)) + 2
    corpora = [
        f"  {name:<{width}}{(builder_class.__doc__ or '').strip().splitlines()[0]}\n"
        f"{'':{width + 2}}options: {', '.join(known_options(name)) or 'none'}"
        for name, builder_class in CORPORA.items()
    ]
    parser = argparse.ArgumentParser(
        prog="python -m datasets_scripts",
        description="Describe a corpus, write it as parquet with a dataset card, push it to the Hub.",
        epilog="example:\n  python -m datasets_scripts meld MELD.Raw --describe\n\ncorpora:\n" + "\n".join(corpora),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="corpus, one of those below")
    parser.add_argument("data_dir", metavar="DATA_DIR", nargs="?", help="folder of the raw corpus; not needed for demo")
    parser.add_argument(
        "--option", metavar="KEY=VALUE", action="append", default=[], help="option of the corpus; VALUE is YAML"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="write parquet and a dataset card into this new folder")
    parser.add_argument("--overwrite", action="store_true", help="replace the files of an earlier --out in DIR")
    parser.add_argument("--push", metavar="USER/NAME", help="push the copy to a dataset repository on the Hub")
    parser.add_argument("--private", action="store_true", help="make the repository private")
    parser.add_argument("--i-hold-the-rights", action="store_true", help="push a corpus whose terms allow no copies")
    parser.add_argument("--describe", action="store_true", help="print counts and gaps, save a figure of the labels")
    parser.add_argument("--picture", metavar="FILE.png", type=Path, help="file of the figure; default: NAME_labels.png")
    return parser


def card_command(args: argparse.Namespace) -> str:
    """Returns the command for the dataset card, without paths of this machine."""
    words = ["python", "-m", "datasets_scripts", args.name, *(["DATA_DIR"] if args.data_dir else [])]
    for option in args.option:
        key, _, value = option.partition("=")
        words += ["--option", f"{key}={Path(value).name if value.startswith(('/', '~')) else value}"]
    return shlex.join([*words, "--out", "DIR"])


def main(argv: list[str]) -> None:
    """Runs one command line."""
    parser = make_parser()
    args = parser.parse_args(argv)
    if not (args.out or args.push or args.describe):
        parser.error("nothing to do: add --describe, --out DIR or --push USER/NAME")
    for option, required in {
        "overwrite": "out",
        "private": "push",
        "i_hold_the_rights": "push",
        "picture": "describe",
    }.items():
        if getattr(args, option) and not getattr(args, required):
            parser.error(f"--{option.replace('_', '-')} goes with --{required}")
    if args.push and args.name in CORPORA:
        check_rights(CORPORA[args.name], args.name, args.i_hold_the_rights)
    builder = erc_builder(args.name, args.data_dir, **dict(map(parse_option, args.option)))
    if args.describe:
        show(builder, args.name, args.picture or Path(f"{args.name}_labels.png"))
    if args.push:
        check_login()
    if args.out:
        publish(builder, args, args.out)
    elif args.push:
        with tempfile.TemporaryDirectory() as folder:
            publish(builder, args, Path(folder))


def show(builder: ErcBuilder, name: str, picture: Path) -> None:
    """Prints the facts of a corpus and saves the figure of its labels."""
    # Imported here: the other commands need neither the media libraries nor matplotlib, which load slowly.
    from .publishing.describe import describe, report
    from .publishing.label_picture import plot_labels

    facts = describe(builder.as_streaming_dataset())
    print(f"{name}, raw files in {builder.root}\n\n{report(facts)}\n")
    plot_labels(facts.label_counts(), picture, title=name)
    print(f"label balance: {picture}")


def publish(builder: ErcBuilder, args: argparse.Namespace, out: Path) -> None:
    """Writes the copy into `out` and pushes it if `--push` is given."""
    folder = write_dataset(builder, out, command=card_command(args), overwrite=args.overwrite)
    if args.out:
        print(f"written: {folder}")
    if args.push:
        print(f"pushed: {push_dataset(folder, args.push, private=args.private)}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ValueError, OSError, ImportError) as error:
        # These are errors of the user's set-up, for which the message suffices.
        sys.exit(f"{type(error).__name__}: {error}")
