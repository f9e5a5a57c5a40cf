"""Base class of all corpora: where the raw files are, when a cached copy is stale, and warnings about gaps."""

import abc
import functools
import hashlib
import logging
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets
import pyarrow.compute as pc
from datasets.exceptions import DatasetGenerationError

from .labels import LabelSet
from .schema import MEDIA_COLUMNS, Dialogue, Utterance, dialogue_features
from .text_normalization import normalize_text

logger = logging.getLogger(__name__)


class CorpusError(ValueError):
    """A raw file is wrong; the message names file, row, value and remedy."""


@dataclass
class TextConfig(datasets.BuilderConfig):
    """Options of every corpus with text.

    Args:
        normalize_text: whether to repair encoding errors and to replace typographic punctuation in texts and speaker
            names, as `text_normalization.normalize_text` does.
    """

    normalize_text: bool = True


class ErcBuilder(datasets.GeneratorBasedBuilder, abc.ABC):
    """Base class of all corpora: a subclass defines the raw files, the classes and the dialogues.

    The options of a corpus are the fields of its `BUILDER_CONFIG_CLASS`, a dataclass derived from `TextConfig`.

    Args:
        data_dir: folder of the raw corpus; a file where the corpus allows one.
        cache_dir: folder of the prepared copies; default is that of `datasets`.
        options: fields of `BUILDER_CONFIG_CLASS`.

    Raises:
        FileNotFoundError: if `data_dir` or a raw file does not exist.
    """

    BUILDER_CONFIG_CLASS = TextConfig
    SPLITS: ClassVar[tuple[str, ...]] = ("train", "dev", "test")
    # Whether `data_dir` may be a file.
    MAY_BE_FILE: ClassVar[bool] = False
    # Origin and terms of the corpus; copies on the Hub are refused unless the terms allow them.
    HOMEPAGE: ClassVar[str] = ""
    LICENSE: ClassVar[str] = "unknown"
    REDISTRIBUTABLE: ClassVar[bool] = False
    # Code of the language, None where it is unknown, and whether a program wrote the dialogues.
    LANGUAGE: ClassVar[str | None] = "en"
    SYNTHETIC: ClassVar[bool] = False
    # Additional columns of an utterance.
    EXTRA_COLUMNS: ClassVar[Mapping[str, datasets.Value]] = {}
    # Columns whose nulls are worth a warning, and the word for what is missing.
    GAPS: ClassVar[Mapping[str, str]] = {"text": "text", **MEDIA_COLUMNS}

    def __init__(self, data_dir: str | Path | None = None, cache_dir: str | Path | None = None, **options: Any) -> None:
        self.root = self.locate(data_dir, options)
        super().__init__(
            cache_dir=None if cache_dir is None else str(Path(cache_dir).expanduser()),
            data_dir=str(self.root),
            hash=fingerprint(self.files_behind()),
            **options,
        )

    @classmethod
    def locate(cls, data_dir: str | Path | None, options: Mapping[str, Any]) -> Path:
        """Returns the absolute path of the raw corpus."""
        if data_dir is None:
            raise ValueError(f"{cls.__name__} does not come with this package: pass data_dir, the folder you put it in")
        root = Path(data_dir).expanduser().absolute()
        if not (root.is_dir() or (cls.MAY_BE_FILE and root.is_file())):
            raise FileNotFoundError(f"data_dir {root} is no folder: pass the one that holds {cls.__name__}")
        return root

    @classmethod
    @abc.abstractmethod
    def raw_files(cls, root: Path) -> list[Path]:
        """Returns every file under `root` that the rows depend on."""

    def files_behind(self) -> list[Path]:
        """Returns the files whose change makes a cached copy stale: `raw_files`, and more where options add some."""
        return self.raw_files(self.root)

    @property
    def media_root(self) -> Path:
        """Folder that media paths are relative to in a published copy."""
        return self.root

    @property
    @abc.abstractmethod
    def label_set(self) -> LabelSet:
        """Classes of the corpus."""

    @abc.abstractmethod
    def dialogues(self, split: str) -> Iterator[Dialogue]:
        """Yields the dialogues of a split in corpus order, with class names as labels."""

    @staticmethod
    def dialogue_group(dialogue_id: str) -> str | None:
        """Returns the group of a dialogue if the corpus has groups whose scores are reported separately."""
        return None

    @property
    def feature_sizes(self) -> Mapping[str, int] | None:
        """Width of the precomputed features of each modality, None for a corpus of raw media."""
        return None

    @property
    def target_names(self) -> Sequence[str]:
        """Names of the numbers in the column `targets`."""
        return getattr(self.config, "targets", None) or ()

    @property
    def several_labels(self) -> bool:
        """Whether an utterance may have several labels."""
        return False

    @property
    def clean(self) -> Callable[[str], str]:
        """Function that texts and speaker names pass through, chosen by the option `normalize_text`."""
        return normalize_text if self.config.normalize_text else str.strip

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """Prepares the cached copy unless it exists.

        Raises:
            CorpusError: if a raw file is wrong.
        """
        try:
            super().download_and_prepare(*args, **kwargs)
        except DatasetGenerationError as error:
            # Its own message is only "An error occurred"; the user needs file, row and value.
            if isinstance(error.__cause__, ValueError | OSError):
                raise error.__cause__ from None
            raise

    def as_dataset(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the prepared dataset; a warning for each split counts the missing values of the `GAPS` columns."""
        data = super().as_dataset(*args, **kwargs)
        for dataset in data.values() if isinstance(data, dict) else [data]:
            self._warn_of_gaps(dataset)
        return data

    def _info(self) -> datasets.DatasetInfo:
        features = dialogue_features(
            self.label_set.names, self.feature_sizes, self.EXTRA_COLUMNS, self.target_names, self.several_labels
        )
        return datasets.DatasetInfo(features=features, homepage=self.HOMEPAGE, license=self.LICENSE)

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        return [datasets.SplitGenerator(name=split, gen_kwargs={"split": split}) for split in self.SPLITS]

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        columns = list(self.info.features["utterances"].feature)
        for dialogue in self.dialogues(split):
            utterances = [self._encode(utterance, columns, dialogue) for utterance in dialogue["utterances"]]
            yield dialogue["dialogue_id"], {"dialogue_id": dialogue["dialogue_id"], "utterances": utterances}

    def _encode(self, utterance: Utterance, columns: list[str], dialogue: Dialogue) -> dict[str, Any]:
        # `datasets` does not encode the rows of a stream, and a list elsewhere only if its first item needs it.
        encoded: dict[str, Any] = {column: utterance.get(column) for column in columns}
        place = f"dialogue {dialogue['dialogue_id']}, utterance {utterance['utterance_id']}"
        if utterance["label"] is not None:
            encoded["label"] = self._class_index(utterance["label"], place)
        if encoded.get("labels") is not None:
            encoded["labels"] = [self._class_index(label, place) for label in encoded["labels"]]
        if "targets" in encoded:
            encoded["targets"] = {name: (encoded["targets"] or {}).get(name) for name in self.target_names}
        return encoded

    def _class_index(self, label: str, place: str) -> int:
        if label not in self.label_set.names:
            raise CorpusError(f"{place}: label {label!r} is none of {', '.join(self.label_set.names)}")
        return self.label_set.names.index(label)

    def _warn_of_gaps(self, dataset: datasets.Dataset) -> None:
        missing: dict[str, int] = dict.fromkeys(self.GAPS.values(), 0)
        places: dict[str, list[str]] = {word: [] for word in missing}
        total = 0
        # In batches: as a whole the column would be copied into memory.
        for batch in dataset.data.table.select(["dialogue_id", "utterances"]).to_batches():
            ids, column = batch.column("dialogue_id"), batch.column("utterances")
            parents, utterances = pc.list_parent_indices(column), column.flatten()
            total += len(utterances)
            for name, word in self.GAPS.items():
                absent = pc.indices_nonzero(pc.is_null(utterances.field(name))).to_pylist()
                missing[word] += len(absent)
                for i in absent[: 4 - len(places[word])]:
                    places[word].append(f"{ids[parents[i].as_py()]}/{utterances.field('utterance_id')[i]}")
        gaps = [f"{count} have no {word} ({first_few(places[word])})" for word, count in missing.items() if count]
        if gaps:
            warn_once(
                f"{self.dataset_name} {dataset.split}: of {total} utterances, {'; '.join(gaps)}. "
                f"They stay in their dialogues without it. Raw files: {self.root}"
            )


def check_names(option: str, names: object) -> None:
    """Raises `ValueError` unless the value of an option is None or a list of different names."""
    listed = names if isinstance(names, list | tuple) else [names]
    if names is not None and not (
        all(isinstance(n, str) and n for n in listed) and 0 < len(set(listed)) == len(listed)
    ):
        raise ValueError(f"{option} is {names!r}: give a list of different names, such as ['valence', 'arousal']")


def fingerprint(files: Iterable[Path]) -> str:
    """Returns a hash of the raw files (path, size, modification time) and of the code that reads them.

    It names the cache folder, so that a changed corpus or a changed reader never gets an old copy. The code is that of
    this folder and of `pickles`. `demo_corpus` is covered by the files that it writes, and `publishing` only reads
    prepared rows, so that an edit there keeps the cached copies.
    """
    digest = hashlib.sha256()
    code = Path(__file__).parent
    for source in sorted([*code.glob("*.py"), *code.glob("pickles/*.py")]):
        digest.update(source.read_bytes())
    for file in sorted(files):
        stat = file.stat()
        digest.update(f"{file}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def hold_out(dialogue_ids: Collection[str], count: int, seed: int) -> frozenset[str]:
    """Draws the dialogues that become dev out of the training dialogues.

    The draw is the same on every machine and for every order of the ids.

    Args:
        dialogue_ids: ids of the training dialogues.
        count: number of dialogues to draw.
        seed: seed of the draw.

    Raises:
        ValueError: if no dialogue would be left to train on.

    Example:
        >>> sorted(hold_out(["a", "b", "c", "d"], 2, seed=0))
        ['b', 'd']
    """
    if not 0 <= count < len(dialogue_ids):
        raise ValueError(f"{count} of {len(dialogue_ids)} training dialogues for dev: keep at least one for training")
    return frozenset(random.Random(seed).sample(sorted(dialogue_ids), count))


@functools.cache
def warn_once(message: str) -> None:
    """Logs a warning, but the same message only once in a process."""
    logger.warning(message)


def first_few(names: Sequence[str], count: int = 3) -> str:
    """Returns the first `count` names for a message, with ", ..." where there are more."""
    return ", ".join(names[:count]) + ", ..." * (len(names) > count)
