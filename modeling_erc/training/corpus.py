"""The corpus of a run."""

from datasets_scripts import DialogueRows, known_options, load_erc_dataset

from .arguments import DataArguments


def load_corpus(data_args: DataArguments, seed: int) -> dict[str, DialogueRows]:
    """The splits that a run's arguments ask for.

    Where dev is drawn from the training dialogues, it is drawn by the run's seed unless `dev_seed` says otherwise, so
    that several seeds tell how much the draw matters too.

    Args:
        data_args: name, folder and options of the corpus.
        seed: of the run.
    """
    options = data_args.corpus_options
    if "dev_seed" in known_options(data_args.dataset):
        options = {"dev_seed": seed, **options}
    splits = load_erc_dataset(data_args.dataset, data_args.data_dir, **options)
    return {name: DialogueRows(split) for name, split in splits.items()}
