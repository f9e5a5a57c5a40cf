"""`push CKPT user/name`: pushes a checkpoint to the Hub."""

import textwrap
from pathlib import Path

from ..hub.repository import PUSHED, HubRepository
from . import command_parser


def main(argv: list[str]) -> None:
    """Pushes the files that a user of the model needs, and prints the URL of the commit."""
    files = textwrap.fill(f"Pushed files, where they exist: {' '.join(PUSHED)}", 100, break_on_hyphens=False)
    parser = command_parser(
        "push",
        "Pushes a checkpoint to the Hub: weights, code, processor, card, metrics and figures, but no pickles.",
        f"{files}\nThe token is that of `hf auth login`, or HF_TOKEN.\n\n"
        "example: %(prog)s runs/demo-001 user/erc-demo --private",
    )
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help="folder of a run, or of a checkpoint inside it")
    parser.add_argument("repo_id", metavar="user/name", help="the repository; it is created if it does not exist")
    parser.add_argument(
        "--private", action="store_true", help="create it as private; an existing public one is refused"
    )
    parser.add_argument("--revision", metavar="BRANCH", help="branch, created if it does not exist (default: main)")
    parser.add_argument("--message", default="Upload the model", help="commit message (default: %(default)s)")
    args = parser.parse_args(argv)
    repository = HubRepository(args.repo_id, private=args.private, revision=args.revision)
    print(f"pushed: {repository.push(args.checkpoint, args.message)}")
