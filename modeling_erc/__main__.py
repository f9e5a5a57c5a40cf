"""The command line: `modeling-erc COMMAND ...`, or `python -m modeling_erc COMMAND ...`."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version

from tqdm import tqdm

# Each is a module of `modeling_erc.commands` with a function `main(argv)`, imported only when it is called.
COMMANDS = {
    "train": "train a model from a recipe",
    "predict": "predict the emotions of a conversation, from subtitles, a table or JSON, as a timeline",
    "extract": "extract and store the features of frozen backbones, so that training starts at once",
    "ablate": "train a grid of settings with several seeds, and compare them",
    "cv": "choose among settings by cross-validation, and score the best one on test once",
    "robustness": "measure what a model loses when modalities are missing or noisy",
    "cross": "train on one corpus, test on another over the emotions that they share",
    "analyse": "report where a finished run makes errors, with figures",
    "export": "export a checkpoint to ONNX, for use without PyTorch",
    "push": "push a checkpoint to the Hub",
}


class Terminated(KeyboardInterrupt):
    """SIGTERM, as an exception that lets a run end as Ctrl-C does."""


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Raises `Terminated` on SIGTERM inside the block, in this process and not in those that it forks."""
    if threading.current_thread() is not threading.main_thread():  # only that one may set handlers
        yield
        return
    owner = os.getpid()

    def stop(number: int, _: object) -> None:
        if os.getpid() != owner:
            os._exit(128 + number)
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(argv: list[str]) -> None:
    """Runs one command; an error that the user can mend is printed without a traceback."""
    if not argv or argv[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        print("usage: modeling-erc COMMAND ...\n")
        print("\n".join(f"  {name:{width}}  {summary}" for name, summary in COMMANDS.items()))
        print("\n`modeling-erc COMMAND --help` lists the options of a command; `modeling-erc --version`.")
        return
    if argv[0] == "--version":
        print(f"modeling-erc {version('modeling-erc')}")
        return
    if argv[0] not in COMMANDS:
        sys.exit(f"unknown command {argv[0]!r}: choose one of {', '.join(COMMANDS)}")
    try:
        with sigterm_as_interrupt():
            import_module(f"modeling_erc.commands.{argv[0]}").main(argv[1:])
    except KeyboardInterrupt as stop:
        name, code = ("SIGTERM", 128 + signal.SIGTERM) if isinstance(stop, Terminated) else ("Ctrl-C", 130)
        # An open progress bar would be drawn once more after the message.
        for bar in sorted(tqdm._instances, key=lambda bar: bar.pos):
            bar.close()
        print(": ".join(["stopped by " + name, *map(str, stop.args)]), file=sys.stderr)
        sys.exit(code)
    except (ValueError, ImportError, ConnectionError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except OSError as error:
        # An error of a path, or one with a message of this package, is the user's to mend.
        if error.filename is None and error.errno is not None:
            from .training.checkpoints import CheckpointError  # not at the top: it takes seconds

            if not isinstance(error, CheckpointError):
                raise
        sys.exit(f"{type(error).__name__}: {error}")


def run() -> None:
    """Entry point of the console script `modeling-erc`."""
    main(sys.argv[1:])


if __name__ == "__main__":
    run()
