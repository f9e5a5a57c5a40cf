"""`python -m modeling_erc COMMAND ...`: what there is to do with corpora and checkpoints."""

import sys
from importlib import import_module

# Each is a module of `modeling_erc.commands` with a function `main(argv)`; they are imported only when called for.
COMMANDS = {
    "train": "train a model from a recipe, as train_hf.py does",
    "predict": "the emotions of a conversation, from subtitles, a table or JSON, as a timeline",
    "extract": "compute and store the features of frozen backbones, so that training starts at once",
    "ablate": "train a grid of settings with several seeds, and compare them",
    "robustness": "what a model loses when modalities are missing or noisy",
    "cross": "train on one corpus, test on another through the emotions that they share",
    "analyse": "where a finished run errs, as one illustrated report",
    "export": "write a checkpoint as ONNX, for places where PyTorch is not",
    "push": "send a checkpoint to the Hub",
}


def main(argv: list[str]) -> None:
    """Runs one command; an error of the user's is told without a traceback."""
    if not argv or argv[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        print("usage: python -m modeling_erc COMMAND ...\n")
        print("\n".join(f"  {name:{width}}  {told}" for name, told in COMMANDS.items()))
        print("\n`python -m modeling_erc COMMAND --help` says more.")
        return
    if argv[0] not in COMMANDS:
        sys.exit(f"unknown command {argv[0]!r}: choose one of {', '.join(COMMANDS)}")
    try:
        import_module(f"modeling_erc.commands.{argv[0]}").main(argv[1:])
    except (ValueError, ImportError, FileNotFoundError, FileExistsError, ConnectionError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except OSError as error:
        # Imported here: `--help` and a mistyped command should not wait for all that training needs.
        from .training import CheckpointError

        if not isinstance(error, CheckpointError):
            raise
        sys.exit(f"{type(error).__name__}: {error}")


def run() -> None:
    """Entry point of the console script `modeling-erc`."""
    main(sys.argv[1:])


if __name__ == "__main__":
    run()
