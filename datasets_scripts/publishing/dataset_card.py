"""Dataset card of a published corpus: counts, labels, licence, and the command that made the copy."""

import collections
import hashlib
import importlib.metadata
import mimetypes
import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ..builder import ErcBuilder
from ..labels import LabelSet
from ..schema import FEATURE_COLUMNS, MEDIA_COLUMNS, MODALITY_NAMES, RAW_COLUMNS
from .markdown import markdown_table

# The Hub's identifiers of licences that corpora have.
HUB_LICENSES = {
    *("apache-2.0", "mit", "gpl-3.0", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
    *("cc-by-nd-4.0", "cc-by-nc-nd-4.0", "unknown"),
}


@dataclass
class SplitCounts:
    """Counts of one split as written.

    Args:
        file: path of the parquet file inside the folder.
        dialogues: number of dialogues.
        labels: number of utterances by class index; None counts those that are context only.
    """

    file: str = ""
    dialogues: int = 0
    labels: collections.Counter[int | None] = field(default_factory=collections.Counter)


def dataset_card(builder: ErcBuilder, counts: dict[str, SplitCounts], present: set[str], command: str) -> str:
    """Returns the text of the card, `README.md`.

    Args:
        builder: builder of the corpus.
        counts: counts by split.
        present: columns of an utterance that have at least one value.
        command: the command that made the copy.
    """
    name = type(builder).__name__
    modalities = [name for m, name in MODALITY_NAMES.items() if present & {RAW_COLUMNS[m], FEATURE_COLUMNS[m]}]
    files = [{"split": split, "path": counted.file} for split, counted in counts.items()]
    front = {
        "pretty_name": name,
        "license": license_id(builder.LICENSE),
        "task_categories": [f"{modality}-classification" for modality in modalities],
        "tags": ["emotion-recognition-in-conversation", "dialogue"],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    digest, number = source_hash(builder)
    homepage = f" ({builder.HOMEPAGE})" if builder.HOMEPAGE else ""
    features = ", ".join(f"`{column}`" for column in FEATURE_COLUMNS.values() if column in present)
    sections = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {name}, one row per dialogue",
        "Emotion recognition in conversation: every utterance of a dialogue with its speaker and its emotion. "
        f"Modalities: {', '.join(modalities) or 'none'}{'; precomputed: ' * bool(features)}{features}.",
        _USE,
        "## Labels\n\nNumber of utterances by split and class. The shared emotion is the name of the class in other "
        "corpora.\n\n" + _label_table(builder.label_set, counts),
        *([_MEDIA] if present & set(MEDIA_COLUMNS) else []),
        f"## Licence of the source\n\nTerms of {name}{homepage}: {builder.LICENSE.rstrip('.')}.\n\n"
        "These terms apply to this copy too; whoever redistributes it is responsible for following them.",
        f"## How it was made\n\n```bash\n{command}\n```\n\n"
        f"By modeling-erc {_version('modeling-erc')} with datasets {_version('datasets')}. "
        f"SHA-256 of the source files ({number}): `{digest}` "
        "(computed over sorted names and contents; for media, over sizes instead of contents).",
    ]
    return "\n\n".join(sections) + "\n"


_USE = """## Use

```python
from datasets import load_dataset

splits = load_dataset("path/to/this/folder")  # or its id on the Hub
splits["train"].features["utterances"].feature["label"].names
```

A row has a `dialogue_id` and its `utterances` in the order in which they were spoken. A `label` is a class index; it is
null for an utterance that is context only. Missing values are null."""

_MEDIA = """## Media

Not included. `audio_path` and `video_path` are relative to the folder of the raw corpus (of a table: to its
`media_dir`). To use them, obtain the corpus and prepend that folder. A file outside the folder is given by its name
alone."""


def _label_table(label_set: LabelSet, counts: dict[str, SplitCounts]) -> str:
    rows: list[list[object]] = [
        [index, name, label_set.shared[name] or "-", *(f"{c.labels[index]:,}" for c in counts.values())]
        for index, name in enumerate(label_set.names)
    ]
    rows.append(["", "context only", "", *(f"{c.labels[None]:,}" for c in counts.values())])
    rows.append(["", "utterances", "", *(f"{c.labels.total():,}" for c in counts.values())])
    rows.append(["", "dialogues", "", *(f"{c.dialogues:,}" for c in counts.values())])
    return markdown_table(["index", "label", "shared emotion", *counts], rows)


def license_id(terms: str) -> str:
    """Returns the Hub's identifier of a licence that covers the whole corpus, else "other"."""
    name = re.split(r"[,;(]", terms)[0].strip().lower().replace(" ", "-")
    return name if name in HUB_LICENSES else "other"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def source_hash(builder: ErcBuilder) -> tuple[str, int]:
    """Returns the SHA-256 of the raw files, which is the same on every machine, and their number.

    Media files enter with their names and sizes only, because rows do not contain media.
    """
    digest, root = hashlib.sha256(), builder.root
    files = sorted((relative_path(str(file), root), file) for file in builder.raw_files(root))
    for name, file in files:
        digest.update(name.encode(errors="surrogateescape") + b"\0")
        if (mimetypes.guess_type(file.name)[0] or "").startswith(("audio/", "video/")):
            digest.update(b"%d\n" % file.stat().st_size)
        else:
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest(), len(files)


def relative_path(path: str, root: Path) -> str:
    """Returns the POSIX path of a raw file inside the corpus, or the bare name of a file outside it."""
    if Path(path).is_relative_to(root):
        return Path(path).relative_to(root).as_posix()
    # Symbolic links may hide that the file is inside.
    real, real_root = Path(path).resolve(), root.resolve()
    return real.relative_to(real_root).as_posix() if real.is_relative_to(real_root) else real.name
