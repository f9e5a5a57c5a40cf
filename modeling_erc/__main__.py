"""The command line: `modeling-erc COMMAND ...`, or `python -m modeling_erc COMMAND ...`."""

import sys
from importlib import import_module
from importlib.metadata import version

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
        import_module(f"modeling_erc.commands.{argv[0]}").main(argv[1:])
    except (ValueError, ImportError, FileNotFoundError, FileExistsError, ConnectionError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except OSError as error:
        # Imported here, since `--help` and a mistyped command should not wait for the imports of training.
        from .training.checkpoints import CheckpointError

        if not isinstance(error, CheckpointError):
            raise
        sys.exit(f"{type(error).__name__}: {error}")


def run() -> None:
    """Entry point of the console script `modeling-erc`."""
    main(sys.argv[1:])


if __name__ == "__main__":
    run()
