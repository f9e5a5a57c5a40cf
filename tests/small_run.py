"""What tests of whole runs share: a recipe that trains in a second, and caches of their own."""

from pathlib import Path

import datasets
import evaluate
import pytest

# Words alone, through a fresh encoder; each test adds what it needs.
SMALL_RECIPE = """
dataset: meld
modalities: [text]
text_encoder: tiny
hidden_size: 32
contrastive: none
use_cpu: true
"""


def own_caches(patch: pytest.MonkeyPatch, home: Path) -> None:
    """Keeps corpora, features and metrics of this process in a folder, out of the user's caches."""
    patch.setattr(datasets.config, "HF_CACHE_HOME", str(home))
    patch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "datasets")
    patch.setattr(evaluate.config, "HF_METRICS_CACHE", home / "metrics")
