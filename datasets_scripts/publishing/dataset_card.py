"""The dataset card of a published corpus: counts, labels, terms, and how the copy was made."""

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

# What the Hub calls the licences that it knows, as far as corpora have one.
HUB_LICENSES = {
    *("apache-2.0", "mit", "gpl-3.0", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
    *("cc-by-nd-4.0", "cc-by-nc-nd-4.0", "unknown"),
}
TASKS = {"text": "text-classification", "audio": "audio-classification", "video": "video-classification"}


@dataclass
class SplitCounts:
    """What was written of a split, and where to in the folder: labels by class index, None for context."""

    file: str = ""
    dialogues: int = 0
    labels: collections.Counter[int | None] = field(default_factory=collections.Counter)


def dataset_card(builder: ErcBuilder, counts: dict[str, SplitCounts], present: set[str], command: str) -> str:
    """The text of `README.md`.

    Args:
        builder: of the corpus.
        counts: by split.
        present: columns of an utterance that are not null throughout.
        command: what the copy was made by.
    """
    modalities = [name for m, name in MODALITY_NAMES.items() if present & {RAW_COLUMNS[m], FEATURE_COLUMNS[m]}]
    front = {
        "pretty_name": type(builder).__name__,
        "license": license_id(builder.LICENSE),
        "task_categories": [TASKS[modality] for modality in modalities],
        "tags": ["emotion-recognition-in-conversation", "dialogue"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": counted.file} for split, counted in counts.items()],
            }
        ],
    }
    digest, files = source_hash(builder)
    homepage = f" ({builder.HOMEPAGE})" if builder.HOMEPAGE else ""
    features = [column for column in FEATURE_COLUMNS.values() if column in present]
    sections = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {type(builder).__name__}, one row a dialogue",
        f"Emotion recognition in conversation: every utterance of a dialogue with its speaker and its emotion. "
        f"Modalities: {', '.join(modalities) or 'none'}"
        f"{'; precomputed: ' + ', '.join(f'`{column}`' for column in features) if features else ''}.",
        _USE,
        "## Labels\n\n"
        "Utterances of each split by class. The shared emotion is what the class stands for beside other corpora's.\n\n"
        + _label_table(builder.label_set, counts),
        *([_MEDIA] if present & set(MEDIA_COLUMNS) else []),
        f"## Licence of the source\n\nTerms of {type(builder).__name__}{homepage}: {builder.LICENSE.rstrip('.')}.\n\n"
        "They hold for this copy too; who passes it on answers for that.",
        f"## How it was made\n\n```bash\n{command}\n```\n\n"
        f"By modeling-erc {_version('modeling-erc')} with datasets {_version('datasets')}. "
        f"The {files} source file{'s' * (files != 1)} {'have' if files != 1 else 'has'} the SHA-256 `{digest}` "
        "(over sorted names, contents, and of media the sizes in place of the contents).",
    ]
    return "\n\n".join(sections) + "\n"


_USE = """## Use

```python
from datasets import load_dataset

splits = load_dataset("path/to/this/folder")  # or its id on the Hub
splits["train"].features["utterances"].feature["label"].names
```

A row has a `dialogue_id` and its `utterances` in the order in which they were spoken. A `label` is a class index, null
for an utterance that is context only. What an utterance lacks is null."""

_MEDIA = """## Media

Not included. `audio_path` and `video_path` are relative to the folder of the raw corpus (of a table, to its
`media_dir`): to use them, get the corpus and put that folder in front. A file from outside it is named without its
folder."""


def _label_table(label_set: LabelSet, counts: dict[str, SplitCounts]) -> str:
    rows = [["index", "label", "shared emotion", *counts], ["---"] * (3 + len(counts))]
    for index, name in enumerate(label_set.names):
        rows.append(
            [str(index), name, label_set.shared[name] or "-", *(f"{c.labels[index]:,}" for c in counts.values())]
        )
    rows.append(["", "context only", "", *(f"{c.labels[None]:,}" for c in counts.values())])
    rows.append(["", "utterances", "", *(f"{c.labels.total():,}" for c in counts.values())])
    rows.append(["", "dialogues", "", *(f"{c.dialogues:,}" for c in counts.values())])
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def license_id(terms: str) -> str:
    """The Hub's name of a licence that covers all of a corpus, else "other"."""
    name = re.split(r"[,;(]", terms)[0].strip().lower().replace(" ", "-")
    return name if name in HUB_LICENSES else "other"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def source_hash(builder: ErcBuilder) -> tuple[str, int]:
    """SHA-256 of the raw files, the same on every machine, and their number.

    Of media, which no row holds, only names and sizes go in.
    """
    digest, root = hashlib.sha256(), builder.root
    files = sorted((relative_path(str(file), root), file) for file in builder.raw_files(root))
    for name, file in files:
        digest.update(name.encode(errors="surrogateescape") + b"\0")
        kind = mimetypes.guess_type(file.name)[0] or ""
        if kind.startswith(("audio/", "video/")):
            digest.update(b"%d\n" % file.stat().st_size)
        else:
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest(), len(files)


def relative_path(path: str, root: Path) -> str:
    """A raw file's path inside the corpus, with slashes; the name alone of a file from elsewhere."""
    if Path(path).is_relative_to(root):
        return Path(path).relative_to(root).as_posix()
    # Links may hide that it is inside.
    real, real_root = Path(path).resolve(), root.resolve()
    return real.relative_to(real_root).as_posix() if real.is_relative_to(real_root) else real.name
