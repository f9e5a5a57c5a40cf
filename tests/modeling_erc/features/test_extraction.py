from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch

from modeling_erc.features.extraction import missing_pieces
from modeling_erc.features.feature_cache import CachedFeatures, cache_frozen_features
from modeling_erc.features.feature_store import FeatureStore

MakeSplits = Callable[..., datasets.DatasetDict]


def words(count: int) -> list[list[dict[str, Any]]]:
    return [[{"text": f"word {first + i}"} for i in range(5)] for first in range(0, count, 5)]


@pytest.mark.parametrize("past", [0, 2], ids=["utterances", "whole dialogues"])
def test_shards_cover_the_corpus_and_do_not_overlap(
    make_splits: MakeSplits, make_parts: Any, tmp_path: Path, past: int
) -> None:
    splits = make_splits({"train": words(100)})
    parts = make_parts(splits, modalities=["text"], frozen_modalities=["text"], text_past=past)
    cached = CachedFeatures("text", FeatureStore(tmp_path), parts.processor)
    shares = [[key for p in missing_pieces(splits, cached, (i, 3)) for key in p.keys] for i in range(3)]
    assert all(shares)
    together = [key for share in shares for key in share]
    assert len(together) == len(set(together)) == 100
    assert set(together) == {key for piece in missing_pieces(splits, cached) for key in piece.keys}


def test_features_do_not_depend_on_the_number_of_workers(
    splits: datasets.DatasetDict, make_parts: Any, tmp_path: Path
) -> None:
    parts = make_parts(splits, modalities=["audio", "vision"], frozen_modalities=["audio", "vision"])
    alone, _ = cache_frozen_features(splits, parts.model, parts.processor, tmp_path / "alone")
    helped, problems = cache_frozen_features(splits, parts.model, parts.processor, tmp_path / "helped", num_workers=2)
    assert problems == []
    for one, other in zip(alone, helped, strict=True):
        assert set(one.store) == set(other.store)
        for key, value in one.store.items():
            torch.testing.assert_close(other.store[key], value, atol=1e-5, rtol=0)


def test_a_store_finds_shards_of_another_process(tmp_path: Path) -> None:
    mine, other = FeatureStore(tmp_path), FeatureStore(tmp_path)
    other.write({"a": torch.ones(2, 3)})
    assert "a" not in mine
    mine.refresh()
    assert torch.equal(mine["a"], torch.ones(2, 3))
