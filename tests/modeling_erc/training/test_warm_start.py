from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from modeling_erc import ErcForSequenceClassification
from modeling_erc.training.warm_start import interpolate, trained_weights

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


def test_final_weights_are_interpolated() -> None:
    model = torch.nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    first, bias = trained_weights(model), model.bias.clone()
    with torch.no_grad():
        model.weight.add_(4.0)
    trained = model.weight.clone()
    interpolate(model, first, 0.25)
    assert torch.allclose(model.weight, first["weight"] + 1.0)
    assert torch.equal(model.bias, bias)
    with torch.no_grad():
        model.weight.copy_(trained)
    interpolate(model, first, 1.0)
    assert torch.equal(model.weight, trained)


def test_sharded_weights_are_interpolated(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    first = trained_weights(model)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1)
    try:
        fully_shard(model, mesh=init_device_mesh("cpu", (1,)))
        with torch.no_grad():
            model.weight.add_(4.0)
        interpolate(model, first, 0.25)
        assert isinstance(model.weight, DTensor)
        assert torch.allclose(model.weight.full_tensor(), first["weight"] + 1.0)
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("share", "message"), [(0.5, "trained_share needs --start_from"), (1.5, "trained_share is 1.5: choose from 0 to 1")]
)
def test_an_impossible_share_is_refused(
    share: float, message: str, words: datasets.DatasetDict, make_parts: Any
) -> None:
    with pytest.raises(ValueError, match=message):
        make_parts(words, trained_share=share)


def test_adapters_of_the_checkpoint_are_kept_and_the_new_ones_are_interpolated(
    words: datasets.DatasetDict, make_parts: Any, tmp_path: Path
) -> None:
    pytest.importorskip("peft", reason="adapters need the extra 'lora'")
    trained(make_parts, words, tmp_path / "saved", lora_modalities=["text"])
    before = ErcForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    model, processor, *_ = make_parts(words, start_from=str(tmp_path / "saved"), lora_modalities=["text"], lora_rank=4)
    model.eval()
    inputs = processor(words["train"][0])
    torch.testing.assert_close(model(**inputs).logits, before(**inputs).logits, atol=1e-4, rtol=1e-4)
    first = trained_weights(model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.add_(torch.randn_like(weight))
    changes = {}
    for share in (1.0, 0.25):
        interpolate(model, first, share)
        adapted = [module for module in model.modules() if hasattr(module, "get_delta_weight")]
        changes[share] = [module.get_delta_weight("default").clone() for module in adapted]
    for whole, quarter in zip(changes[1.0], changes[0.25], strict=True):
        torch.testing.assert_close(quarter, 0.25 * whole)
        assert whole.abs().max() > 0.01
