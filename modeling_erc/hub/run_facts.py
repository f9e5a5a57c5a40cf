"""The facts of a run, stored once as `run.json`."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from datasets_scripts import CORPORA
from datasets_scripts.publishing.dataset_card import license_id

from ..plain_json import json_text
from .cost import Cost

FILE_NAME = "run.json"
# The scores of every report, by their key in `metrics.json`.
METRIC_TITLES = {"accuracy": "accuracy", "weighted_f1": "weighted F1", "macro_f1": "macro F1"}
# Those of several labels and of targets, see `training.target_metrics`.
TARGET_TITLES = {
    "micro_f1": "micro F1",
    "weighted_accuracy": "weighted accuracy",
    "mae": "MAE",
    "pearson": "Pearson",
    "ccc": "CCC",
    "accuracy_2": "accuracy-2 without zeros",
    "f1_2": "F1 without zeros",
    "accuracy_2_zeros": "accuracy-2 with zeros",
    "f1_2_zeros": "F1 with zeros",
    "accuracy_7": "accuracy-7",
}
TITLES = {**METRIC_TITLES, **TARGET_TITLES}
# Repositories of the corpora on the Hub; the other corpora have none by their authors.
HUB_DATASETS = {
    "dailydialog": "li2017dailydialog/daily_dialog",
    "meld": "declare-lab/MELD",
    "meld_features": "declare-lab/MELD",
}
# The Hub has no task for emotion recognition in conversation: a model is listed under the task of its first modality.
HUB_TASKS = {"text": "text-classification", "audio": "audio-classification", "vision": "video-classification"}


def titles_of(scores: Iterable[str]) -> dict[str, str]:
    """Returns the overall scores among the keys of a split in `metrics.json`, with their titles.

    Example:
        >>> titles_of({"ccc": 0.6, "mae": 0.5, "per_target": {}})
        {'mae': 'MAE', 'ccc': 'CCC'}
    """
    found = set(scores)
    return {name: title for name, title in TITLES.items() if name in found}


def score_rows(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Returns the scores of each split from the content of `metrics.json`, below them those of its groups and floor.

    Example:
        >>> list(score_rows({"test": {"accuracy": 0.6, "groups": {"scripted": {"accuracy": 0.7}}}}))
        ['test', 'test, scripted']
    """
    rows: dict[str, Mapping[str, Any]] = {}
    for split, scores in metrics.items():
        rows[split] = scores
        rows |= {f"{split}, {group}": row for group, row in scores.get("groups", {}).items()}
        if "floor" in scores:
            rows[f"{split}, most frequent class"] = scores["floor"]
    return rows


@dataclass
class RunFacts:
    """The facts of a run besides its metrics: `run.json` in its folder, read by grids and cards.

    Args:
        title: name of the model.
        dataset: name of the corpus.
        sizes: number of utterances of each split.
        modalities: modalities that the model takes.
        fusion: name of the fusion.
        contrastive: name of the contrastive loss.
        command: command line of the run, without tokens and paths.
        parameters: number of parameters.
        trainable: number of trained parameters.
        seconds: training time in seconds.
        device: name of the device.
        seed: seed of the run.
        backbones: source of each modality's backbone: a Hub id, a folder, or `tiny` for an untrained one. A modality
            with precomputed features has none.
        settings: settings that differ from their defaults.
        split_note: a sentence about how missing splits were drawn, empty if none was.
        cost: cost of the whole run.
        transcribed: number of utterances of each split whose words the setting `transcribe` recognised, as they had no
            text; empty without it.
    """

    title: str
    dataset: str
    sizes: dict[str, int]
    modalities: list[str]
    fusion: str
    contrastive: str
    command: str
    parameters: int
    trainable: int
    seconds: float
    device: str
    seed: int
    backbones: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    split_note: str = ""
    cost: Cost | None = None
    transcribed: dict[str, int] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Writes `run.json`."""
        (folder / FILE_NAME).write_text(json_text(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "RunFacts":
        """Reads `run.json`.

        Raises:
            FileNotFoundError: the folder has none: its run is not finished, or was made by version 0.1.
        """
        values = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
        cost = values.pop("cost")
        return cls(**values, cost=None if cost is None else Cost(**cost))

    @property
    def terms(self) -> str:
        """Terms of use of the corpus, `unknown` for a corpus without a builder."""
        return CORPORA[self.dataset].LICENSE if self.dataset in CORPORA else "unknown"

    @property
    def license(self) -> str:
        """Hub name of the weights' licence, which is that of the corpus."""
        return license_id(self.terms)

    @property
    def homepage(self) -> str:
        """Web page of the corpus, empty if there is none."""
        return CORPORA[self.dataset].HOMEPAGE if self.dataset in CORPORA else ""

    @property
    def language(self) -> str | None:
        """Language code of the corpus; that of a user's own table is unknown."""
        return CORPORA[self.dataset].LANGUAGE if self.dataset in CORPORA else None

    @property
    def hub_dataset(self) -> str | None:
        """Id of the corpus on the Hub, if it has one."""
        return HUB_DATASETS.get(self.dataset)

    @property
    def hub_task(self) -> str:
        """Name of the task on the Hub."""
        return next(task for modality, task in HUB_TASKS.items() if modality in self.modalities)
