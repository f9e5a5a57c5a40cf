"""Copies of corpora that `python -m datasets_scripts NAME DIR --out COPY` wrote: read again without loss."""

import functools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from .builder import CorpusError, ErcBuilder, first_few, warn_once
from .labels import LABEL_SETS, LabelSet, shared_emotion
from .schema import FEATURE_COLUMNS, MEDIA_COLUMNS, Dialogue, dialogue_features, label_names

FILE = re.compile(r"(train|dev|test)-[0-9a-f]{12}\.parquet")
# Key of the class of the corpus in the metadata of a file.
CORPUS = b"erc_corpus"


def copy_files(folder: str | Path | None) -> dict[str, Path]:
    """Returns the file of each split of a copy; none if the folder is no copy."""
    if folder is None or not (data := Path(folder).expanduser() / "data").is_dir():
        return {}
    found = {match[1]: file.absolute() for file in sorted(data.iterdir()) if (match := FILE.fullmatch(file.name))}
    return {split: found[split] for split in ErcBuilder.SPLITS if split in found}


@dataclass
class CopyConfig(datasets.BuilderConfig):
    """Options of a copy.

    Args:
        media_dir: folder of the raw corpus, which the media paths of the copy start from; default is the copy.
    """

    media_dir: str | None = None


class PublishedCopy(ErcBuilder):
    """A copy of a corpus; its splits, classes and texts are those that it was written with.

    Raises:
        CorpusError: if it cannot be read, or is a copy of another corpus.
    """

    BUILDER_CONFIG_CLASS = CopyConfig
    # They were reported when the copy was written.
    GAPS: ClassVar[dict[str, str]] = {}

    @classmethod
    def of(cls, corpus: type[ErcBuilder]) -> type["PublishedCopy"]:
        """Returns the class for copies of a corpus, with its name and terms."""
        terms = {name: getattr(corpus, name) for name in ("HOMEPAGE", "LICENSE", "REDISTRIBUTABLE", "__doc__")}
        return type(corpus.__name__, (cls,), terms)

    @classmethod
    def raw_files(cls, root: Path) -> list[Path]:
        """Returns the parquet files."""
        return list(copy_files(root).values())

    def files_behind(self) -> list[Path]:
        """Returns the parquet files and the folders of the media, where files may be added."""
        return [*self.raw_files(self.root), *filter(Path.is_dir, [self.media_root, *self.media_root.glob("*/")])]

    def __init__(self, data_dir: str | Path | None = None, cache_dir: str | Path | None = None, **options: Any) -> None:
        # Before the base class asks for the files.
        self.media_folder = Path(options.get("media_dir") or data_dir or "").expanduser().absolute()
        super().__init__(data_dir, cache_dir, **options)

    @property
    def media_root(self) -> Path:
        """Folder that media paths start from."""
        return self.media_folder

    @functools.cached_property
    def columns(self) -> Mapping[str, Any]:
        """Features of an utterance."""
        path = self.raw_files(self.root)[0]
        try:
            schema = pq.read_schema(path)
            columns = datasets.Features.from_arrow_schema(schema)["utterances"].feature
        except (pa.ArrowException, OSError, KeyError, AttributeError) as error:
            raise CorpusError(f"{path} cannot be read as the copy of a corpus ({error}): write it again") from error
        written = (schema.metadata or {}).get(CORPUS, b"").decode()
        if written not in ("", type(self).__name__) and type(self).__name__ != "Table":
            raise CorpusError(f"{self.root} is a copy of {written}, not of {type(self).__name__}: name that corpus")
        return columns

    @property
    def label_set(self) -> LabelSet:
        """Classes of the copy."""
        names = tuple(label_names(datasets.Features({"utterances": datasets.List(self.columns)})))
        known = next((known for known in LABEL_SETS.values() if known.names == names), None)
        return known or LabelSet("copy", names, {name: shared_emotion(name) for name in names})

    @property
    def target_names(self) -> list[str]:
        """Names of the targets of the copy."""
        return list(self.columns.get("targets", ()))

    @property
    def several_labels(self) -> bool:
        """Whether the copy has several labels for an utterance."""
        return "labels" in self.columns

    @property
    def feature_sizes(self) -> dict[str, int] | None:
        """Width of the precomputed features of each modality, None without features."""
        sizes = {m: self.columns[name].length for m, name in FEATURE_COLUMNS.items() if name in self.columns}
        return sizes or None

    @property
    def EXTRA_COLUMNS(self) -> dict[str, datasets.Value]:  # type: ignore[override]
        """Columns that only some corpora have."""
        usual = dialogue_features(["any"], self.feature_sizes, targets=["any"], several_labels=True)[
            "utterances"
        ].feature
        return {name: feature for name, feature in self.columns.items() if name not in usual}

    def dialogues(self, split: str) -> Iterator[Dialogue]:
        """Yields the dialogues of a split in the order of the copy."""
        names = self.label_set.names
        missing: list[str] = []
        with pq.ParquetFile(copy_files(self.root)[split]) as file:
            for batch in file.iter_batches(batch_size=64, columns=["dialogue_id", "utterances"]):
                for row in batch.to_pylist():
                    for utterance in row["utterances"]:
                        label, labels = utterance["label"], utterance.get("labels")
                        utterance["label"] = None if label is None else names[label]
                        if labels is not None:
                            utterance["labels"] = [names[index] for index in labels]
                        for column in MEDIA_COLUMNS:
                            if utterance[column] is not None:
                                utterance[column] = path = os.path.join(self.media_root, utterance[column])
                                if not os.path.isfile(path):
                                    utterance[column] = None
                                    missing.append(path)
                    yield Dialogue(dialogue_id=row["dialogue_id"], utterances=row["utterances"])
        if missing:
            warn_once(
                f"{self.root}, split {split}: {len(missing)} media files are not there, {first_few(missing)}; pass "
                "the folder of the raw corpus as media_dir to use them"
            )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        files = copy_files(self.root)
        return [generator for generator in super()._split_generators(dl_manager) if generator.name in files]
