"""`push CKPT user/name`: sends a checkpoint to the Hub."""

import argparse
from pathlib import Path

from ..hub.repository import PUSHED, HubRepository


def main(argv: list[str]) -> None:
    """Pushes what a user of the model needs, and prints the commit's address.

    Raises:
        FileNotFoundError: CKPT is no checkpoint.
        PushError: the Hub was not reached or refused; the message says what to do.
        ValueError: a private repository is asked for and a public one is there, or the name is none.
    """
    parser = argparse.ArgumentParser(
        prog="python -m modeling_erc push",
        description="Send a checkpoint to the Hub: weights, code, processor, card, metrics and pictures, no pickles.",
        epilog=f"sent, where it is there: {' '.join(PUSHED)}. The token is that of `hf auth login`, or HF_TOKEN.",
    )
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help="a run's folder, or a checkpoint's inside it")
    parser.add_argument("repo_id", metavar="user/name", help="the repository; it is made where there is none")
    parser.add_argument("--private", action="store_true", help="make it private, and refuse one that is public")
    parser.add_argument("--revision", metavar="BRANCH", help="branch; it is made where there is none (default: main)")
    parser.add_argument("--message", default="Upload the model", help="of the commit (default: %(default)s)")
    args = parser.parse_args(argv)
    repository = HubRepository(args.repo_id, private=args.private, revision=args.revision)
    print(f"pushed: {repository.push(args.checkpoint, args.message)}")
