from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch

from modeling_erc import ErcForSequenceClassification

MakeSplits = Callable[..., datasets.DatasetDict]
TURNS: list[dict[str, Any]] = [{"text": "hello there", "label": 0}, {"text": "hooray", "label": 1}]


@pytest.fixture
def words(make_splits: MakeSplits) -> datasets.DatasetDict:
    return make_splits({"train": [TURNS]})


def trained(make_parts: Any, splits: datasets.DatasetDict, folder: Path, **settings: Any) -> dict[str, torch.Tensor]:
    """Saves a model with weights unlike any initial ones, and returns them."""
    model: ErcForSequenceClassification = make_parts(splits, **settings).model
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1.0)
    model.save_pretrained(folder)
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def test_every_weight_is_that_of_the_checkpoint(words: datasets.DatasetDict, make_parts: Any, tmp_path: Path) -> None:
    saved = trained(make_parts, words, tmp_path / "saved")
    model = make_parts(words, start_from=str(tmp_path / "saved"), seed=7).model
    for name, weight in model.named_parameters():
        assert torch.equal(weight, saved[name]), name


def test_heads_of_other_classes_are_not_copied(make_splits: MakeSplits, make_parts: Any, tmp_path: Path) -> None:
    # The number of classes is the same, so that the shapes match.
    saved = trained(make_parts, make_splits({"train": [TURNS]}, labels=["joy", "anger"]), tmp_path / "saved")
    other = make_splits({"train": [TURNS]}, labels=["calm", "fear"])
    model = make_parts(other, start_from=str(tmp_path / "saved")).model
    taken = {name for name, weight in model.named_parameters() if torch.equal(weight, saved[name])}
    left = {name for name, _ in model.named_parameters()} - taken
    assert left == {
        "classifier.weight",
        "classifier.bias",
        "modality_classifiers.text.weight",
        "modality_classifiers.text.bias",
        "contrastive_head.prototypes",
    }


def test_feature_statistics_are_not_copied(make_splits: MakeSplits, make_parts: Any, tmp_path: Path) -> None:
    def corpus(level: float) -> datasets.DatasetDict:
        turns = [{"text_features": [level + i, level - i], "label": i} for i in range(2)]
        return make_splits({"train": [turns]}, text=2)

    trained(make_parts, corpus(0.0), tmp_path / "saved")
    model = make_parts(corpus(10.0), start_from=str(tmp_path / "saved")).model
    assert model.erc.projection("text").feature_mean.tolist() == [10.5, 9.5]


def test_adapters_wrap_the_layers_of_the_checkpoint(
    words: datasets.DatasetDict, make_parts: Any, tmp_path: Path
) -> None:
    pytest.importorskip("peft", reason="adapters need the extra 'lora'")
    saved = trained(make_parts, words, tmp_path / "saved")
    model = make_parts(words, start_from=str(tmp_path / "saved"), lora_modalities=["text"], seed=7).model
    adapted = [name for name, _ in model.named_parameters() if ".base_layer." in name]
    assert adapted
    weights = dict(model.named_parameters())
    assert all(torch.equal(weights[name], saved[name.replace(".base_layer.", ".")]) for name in adapted)


def test_a_folder_without_checkpoint_is_refused(words: datasets.DatasetDict, make_parts: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--start_from .*nowhere: no checkpoint of this package there"):
        make_parts(words, start_from=str(tmp_path / "nowhere"))


def test_a_checkpoint_of_another_width_is_refused_with_the_remedy(
    words: datasets.DatasetDict, make_parts: Any, tmp_path: Path
) -> None:
    trained(make_parts, words, tmp_path / "saved", hidden_size=12)
    with pytest.raises(ValueError, match=r"hidden_size is 12, the recipe's \d+: set it to 12"):
        make_parts(words, start_from=str(tmp_path / "saved"))


def test_adapters_of_the_checkpoint_are_kept_below_new_ones(
    words: datasets.DatasetDict, make_parts: Any, tmp_path: Path
) -> None:
    pytest.importorskip("peft", reason="adapters need the extra 'lora'")
    trained(make_parts, words, tmp_path / "saved", lora_modalities=["text"])
    before = ErcForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    model, processor, *_ = make_parts(words, start_from=str(tmp_path / "saved"), lora_modalities=["text"], lora_rank=4)
    model.eval()
    inputs = processor(words["train"][0])
    torch.testing.assert_close(model(**inputs).logits, before(**inputs).logits, atol=1e-4, rtol=1e-4)
