"""Corpora for emotion recognition in conversation; `load_erc_dataset` reads each of them into rows of one schema."""

import dataclasses
from pathlib import Path
from typing import Any

import datasets

from .builder import CorpusError, ErcBuilder
from .dailydialog import DailyDialog
from .demo import Demo
from .emorynlp import EmoryNlp
from .feature_corpora import DailyDialogFeatures, EmoryNlpFeatures, IemocapFeatures, MeldFeatures, MosiFeatures
from .hub_corpus import local_corpus
from .iemocap import Iemocap
from .labels import LABEL_SETS, SHARED_EMOTIONS, LabelSet
from .meld import Meld
from .published_copy import PublishedCopy, copy_files
from .rows import DialogueRows
from .schema import FEATURE_COLUMNS, RAW_COLUMNS, Dialogue, Utterance, dialogue_features, label_names
from .table import Table

# To add a corpus: one file with a subclass of ErcBuilder, one entry here.
CORPORA: dict[str, type[ErcBuilder]] = {
    "dailydialog": DailyDialog,
    "dailydialog_features": DailyDialogFeatures,
    "demo": Demo,
    "emorynlp": EmoryNlp,
    "emorynlp_features": EmoryNlpFeatures,
    "iemocap": Iemocap,
    "iemocap_features": IemocapFeatures,
    "meld": Meld,
    "meld_features": MeldFeatures,
    "mosi_features": MosiFeatures,
    "table": Table,
}

__all__ = [
    "CORPORA",
    "FEATURE_COLUMNS",
    "LABEL_SETS",
    "RAW_COLUMNS",
    "SHARED_EMOTIONS",
    "CorpusError",
    "Dialogue",
    "DialogueRows",
    "ErcBuilder",
    "LabelSet",
    "Utterance",
    "dialogue_features",
    "erc_builder",
    "known_options",
    "label_names",
    "load_erc_dataset",
]


def known_options(name: str) -> list[str]:
    """Returns the names of the options of a corpus.

    Raises:
        ValueError: for an unknown corpus; the message lists the known ones.
    """
    if name not in CORPORA:
        raise ValueError(f"unknown corpus {name!r}: choose one of {', '.join(CORPORA)}")
    inherited = {field.name for field in dataclasses.fields(datasets.BuilderConfig)}
    return [f.name for f in dataclasses.fields(CORPORA[name].BUILDER_CONFIG_CLASS) if f.name not in inherited]


def erc_builder(
    name: str, data_dir: str | Path | None = None, *, cache_dir: str | Path | None = None, **options: Any
) -> ErcBuilder:
    """Returns the builder of a corpus after checking options; arguments and errors as in [`load_erc_dataset`]."""
    _check_options(name, {option: value for option, value in options.items() if option != "media_dir"})
    # The demo is written into a new folder.
    data_dir = data_dir if name == "demo" else local_corpus(data_dir)
    if copy_files(data_dir) and (name != "table" or set(options) <= {"media_dir"}):
        # Each run gives its seed for the draw of dev, which a copy contains already.
        options.pop("dev_seed", None)
        others = sorted(set(options) - {"media_dir"})
        if others:
            raise ValueError(
                f"{data_dir} is a copy that --out wrote with its own options: leave out {', '.join(others)}"
            )
        return PublishedCopy.of(CORPORA[name])(data_dir, cache_dir, **options)
    _check_options(name, options)
    return CORPORA[name](data_dir=data_dir, cache_dir=cache_dir, **options)


def _check_options(name: str, options: dict[str, Any]) -> None:
    known = known_options(name)
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ValueError(f"corpus {name!r} has no option {', '.join(unknown)}: it knows {', '.join(known) or 'none'}")
    defaults = {field.name: field.default for field in dataclasses.fields(CORPORA[name].BUILDER_CONFIG_CLASS)}
    for option, value in options.items():
        # Options whose default is None are checked by their corpus.
        if defaults[option] is not None and not isinstance(value, type(defaults[option])):
            raise ValueError(f"option {option} of corpus {name!r} is {value!r}: write it like {defaults[option]!r}")


def load_erc_dataset(
    name: str,
    data_dir: str | Path | None = None,
    *,
    cache_dir: str | Path | None = None,
    streaming: bool = False,
    **options: Any,
) -> datasets.DatasetDict | datasets.IterableDatasetDict:
    """Reads a corpus into a dictionary of splits (`train`, `dev`, `test`), one row per dialogue.

    The rows are prepared once and cached until a raw file changes.

    Args:
        name: key in `CORPORA`.
        data_dir: folder of the raw corpus, for some corpora also a file; an archive of it; or a dataset of the Hub, as
            `user/name` or `hf://datasets/user/name@revision/folder`. Not needed for `"demo"`.
        cache_dir: folder of the prepared copies; default is that of `datasets`.
        streaming: whether to read the raw files on the fly, as an `IterableDatasetDict`, and to cache nothing.
        options: options of the corpus, such as `normalize_text=False` for MELD.

    Raises:
        ValueError: for an unknown corpus or option (the message lists the known ones), or an invalid value.
        FileNotFoundError: if a raw file is missing.
        ConnectionError: if the Hub cannot be reached.
        CorpusError: if a raw file is wrong.

    Example:
        >>> splits = load_erc_dataset("demo")
        >>> splits["train"][0]["utterances"][0]["speaker"]
    """
    builder = erc_builder(name, data_dir, cache_dir=cache_dir, **options)
    if streaming:
        return builder.as_streaming_dataset()
    builder.download_and_prepare()
    return builder.as_dataset()
