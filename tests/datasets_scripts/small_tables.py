"""Small tables that tests write, and their rows as the builder reads them."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from datasets_scripts.table import Table

Cells = dict[str, Any]


PLAIN = [{"dialogue_id": "a", "text": "Hi.", "label": "glad"}, {"dialogue_id": "b", "text": "Oh.", "label": "calm"}]


def write(path: Path, rows: list[Cells]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def load(path: Path, cache_dir: Path, **options: Any) -> Any:
    builder = Table(data_dir=path, cache_dir=cache_dir / "cache", **options)
    builder.download_and_prepare()
    return builder.as_dataset()


def turns(splits: Any, split: str = "train") -> list[Cells]:
    return [turn for row in splits[split] for turn in row["utterances"]]
