"""The facts of a run, stored once as `run.json`."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from datasets_scripts import CORPORA
from datasets_scripts.publishing.dataset_card import license_id

from .cost import Cost

FILE_NAME = "run.json"
# The scores of every report, by their key in `metrics.json`.
METRIC_TITLES = {"accuracy": "accuracy", "weighted_f1": "weighted F1", "macro_f1": "macro F1"}


@dataclass
class RunFacts:
    """The facts of a run besides its metrics: `run.json` in its folder, read by grids and cards.

    Args:
        title: the model's name.
        dataset: the corpus' name.
        sizes: utterances of each split.
        modalities: what the model takes.
        fusion: its name.
        contrastive: its name.
        command: what was typed.
        parameters: of the whole model.
        trainable: of them, trained.
        seconds: of training.
        device: where.
        seed: of the run.
        backbones: where each modality's comes from: a Hub id, a folder, or `tiny` for a fresh one.
        settings: those that differ from their defaults.
        cost: of the whole run.
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
    cost: Cost | None = None

    def save(self, folder: Path) -> None:
        """Writes `run.json`."""
        (folder / FILE_NAME).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

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
        """Of the corpus; where nobody knows it, they are unknown."""
        return CORPORA[self.dataset].LICENSE if self.dataset in CORPORA else "unknown"

    @property
    def license(self) -> str:
        """The Hub's name of the licence of the weights: that of the corpus they were learned from."""
        return license_id(self.terms)
