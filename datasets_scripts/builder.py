"""What every corpus shares: where it is read from, when a cached copy is stale, and what is said about gaps."""

import abc
import functools
import hashlib
import logging
import random
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import datasets
import pyarrow.compute as pc
from datasets.exceptions import DatasetGenerationError

from .labels import LabelSet
from .schema import MEDIA_COLUMNS, Dialogue, Utterance, dialogue_features


def hold_out(dialogue_ids: Collection[str], count: int, seed: int) -> frozenset[str]:
    """The dialogues that a seed takes out of training; the same on every machine and in whatever order they come.

    Args:
        dialogue_ids: ids of the training dialogues.
        count: how many to take.
        seed: another seed takes others.

    Raises:
        ValueError: where nothing would be left to train on.

    Example:
        >>> sorted(hold_out(["a", "b", "c", "d"], 2, seed=0))
        ['b', 'd']
    """
    if not 0 <= count < len(dialogue_ids):
        raise ValueError(f"{count} of {len(dialogue_ids)} training dialogues for dev: keep at least one for training")
    return frozenset(random.Random(seed).sample(sorted(dialogue_ids), count))


logger = logging.getLogger(__name__)


class CorpusError(ValueError):
    """A raw file says something that cannot be right; the message names file, row, value and remedy."""


def fingerprint(files: Iterable[Path]) -> str:
    """Hash of the names, sizes and modification times of `files` and of the code in this folder.

    It names the cache folder, so that neither a changed corpus nor a changed builder is served from an old copy.
    """
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    for file in sorted(files):
        stat = file.stat()
        digest.update(f"{file}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


@functools.cache
def warn_once(message: str) -> None:
    """Warns, unless the very same has been said in this process."""
    logger.warning(message)


class ErcBuilder(datasets.GeneratorBasedBuilder, abc.ABC):
    """Base of all corpora: a subclass says which files it reads, its labels and its dialogues.

    Options of a corpus are the fields of its `BUILDER_CONFIG_CLASS`, a dataclass derived from
    `datasets.BuilderConfig`.

    Args:
        data_dir: folder of the raw corpus.
        cache_dir: folder of the prepared copies; default is that of `datasets`.
        options: fields of `BUILDER_CONFIG_CLASS`.

    Raises:
        FileNotFoundError: where `data_dir` or a raw file is not there.
    """

    SPLITS: ClassVar[tuple[str, ...]] = ("train", "dev", "test")
    # Where the corpus comes from and on what terms; a copy on the Hub is refused unless the terms allow one.
    HOMEPAGE: ClassVar[str] = ""
    LICENSE: ClassVar[str] = "unknown"
    REDISTRIBUTABLE: ClassVar[bool] = False
    # Columns of an utterance beyond those of every corpus.
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
        """Absolute folder of the raw corpus."""
        if data_dir is None:
            raise ValueError(f"{cls.__name__} does not come with this package: pass data_dir, the folder you put it in")
        root = Path(data_dir).expanduser().absolute()
        if not root.is_dir():
            raise FileNotFoundError(f"data_dir {root} is no folder: pass the one that holds {cls.__name__}")
        return root

    @classmethod
    @abc.abstractmethod
    def raw_files(cls, root: Path) -> list[Path]:
        """Every file under `root` that the rows depend on."""

    def files_behind(self) -> list[Path]:
        """What names the cache folder: `raw_files`, and what else the options make the rows depend on."""
        return self.raw_files(self.root)

    @property
    def media_root(self) -> Path:
        """The folder that media paths are relative to in a published copy."""
        return self.root

    @property
    @abc.abstractmethod
    def label_set(self) -> LabelSet:
        """Classes of the corpus."""

    @abc.abstractmethod
    def dialogues(self, split: str) -> Iterator[Dialogue]:
        """Dialogues of a split in corpus order, labels as class names."""

    @property
    def feature_sizes(self) -> Mapping[str, int] | None:
        """Widths of precomputed features by modality, None for a corpus of raw media."""
        return None

    def download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        """Prepare the cached copy, if there is none yet.

        Raises:
            CorpusError: where a raw file cannot be right.
        """
        try:
            super().download_and_prepare(*args, **kwargs)
        except DatasetGenerationError as error:
            # `datasets` says no more than "An error occurred"; the reader needs file, row and value.
            if isinstance(error.__cause__, ValueError | OSError):
                raise error.__cause__ from None
            raise

    def as_dataset(self, *args: Any, **kwargs: Any) -> Any:
        """The prepared dataset; a warning counts, per split and once a process, what `GAPS` finds missing."""
        data = super().as_dataset(*args, **kwargs)
        for dataset in data.values() if isinstance(data, dict) else [data]:
            self._warn_of_gaps(dataset)
        return data

    def _info(self) -> datasets.DatasetInfo:
        features = dialogue_features(self.label_set.names, self.feature_sizes, self.EXTRA_COLUMNS)
        return datasets.DatasetInfo(features=features, homepage=self.HOMEPAGE, license=self.LICENSE)

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        return [datasets.SplitGenerator(name=split, gen_kwargs={"split": split}) for split in self.SPLITS]

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        columns = list(self.info.features["utterances"].feature)
        for dialogue in self.dialogues(split):
            utterances = [self._encode(utterance, columns, dialogue) for utterance in dialogue["utterances"]]
            yield dialogue["dialogue_id"], {"dialogue_id": dialogue["dialogue_id"], "utterances": utterances}

    def _encode(self, utterance: Utterance, columns: list[str], dialogue: Dialogue) -> dict[str, Any]:
        # Not left to `datasets`: it encodes no row of a stream, and elsewhere a list only if its first item needs it.
        encoded = {column: utterance.get(column) for column in columns}
        label = utterance["label"]
        if label is not None:
            if label not in self.label_set.names:
                place = f"dialogue {dialogue['dialogue_id']}, utterance {utterance['utterance_id']}"
                raise CorpusError(f"{place}: label {label!r} is none of {', '.join(self.label_set.names)}")
            encoded["label"] = self.label_set.names.index(label)
        return encoded

    def _warn_of_gaps(self, dataset: datasets.Dataset) -> None:
        missing: dict[str, int] = dict.fromkeys(self.GAPS.values(), 0)
        examples: dict[str, list[str]] = {word: [] for word in missing}
        total = 0
        # Batch by batch: in one piece the column would be copied into memory.
        for batch in dataset.data.table.select(["dialogue_id", "utterances"]).to_batches():
            ids, column = batch.column("dialogue_id"), batch.column("utterances")
            parents, utterances = pc.list_parent_indices(column), column.flatten()
            total += len(utterances)
            for name, word in self.GAPS.items():
                absent = pc.indices_nonzero(pc.is_null(utterances.field(name))).to_pylist()
                missing[word] += len(absent)
                for i in absent[: 3 - len(examples[word])]:
                    examples[word].append(f"{ids[parents[i].as_py()]}/{utterances.field('utterance_id')[i]}")
        gaps = [
            f"{count} have no {word} ({', '.join(examples[word])}{', ...' * (count > 3)})"
            for word, count in missing.items()
            if count
        ]
        if gaps:
            warn_once(
                f"{self.dataset_name} {dataset.split}: of {total} utterances, {'; '.join(gaps)}. "
                f"They stay in their dialogues without it. Raw files: {self.root}"
            )
