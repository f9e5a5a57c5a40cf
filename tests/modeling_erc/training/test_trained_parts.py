"""Backbones, and each of their layers, are trained at learning rates of their own, or not at all."""

from typing import Any

import datasets
import pytest
import torch
from torch import nn
from transformers import AutoModel, MPNetConfig, PreTrainedConfig, ResNetConfig, Wav2Vec2Config

from modeling_erc.training.arguments import ErcTrainingArguments
from modeling_erc.training.trained_parts import layers_above, trained_parts
from tests.conftest import BACKBONES, TRANSFORMER

NOTHING_SAVED = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}
WAVES = {**TRANSFORMER, "conv_dim": (8, 8), "conv_kernel": (10, 8), "conv_stride": (5, 4), "num_feat_extract_layers": 2}


def rates_by_name(trainer: Any) -> dict[str, tuple[float, bool]]:
    """Initial learning rate of each parameter, and whether it has weight decay."""
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    groups = trainer.optimizer.param_groups
    assert sum(len(group["params"]) for group in groups) == len(names), "each parameter once"
    return {names[id(p)]: (g["initial_lr"], g["weight_decay"] > 0) for g in groups for p in g["params"]}


def test_lower_layers_have_lower_rates(
    splits: datasets.DatasetDict, make_trainer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"learning_rate": 1e-2, "backbone_learning_rate": 1e-3, "layer_decay": 0.5, "max_steps": 1}
    trainer = make_trainer(splits, **settings, **NOTHING_SAVED)
    trainer.train()
    rates = rates_by_name(trainer)
    backbone = "erc.encoders.text.backbone"
    expected = {
        f"{backbone}.embeddings": 0.25e-3,
        f"{backbone}.encoder.layer.0": 0.5e-3,
        f"{backbone}.encoder.layer.1": 1e-3,
        "erc.projections": 1e-2,
        "classifier": 1e-2,
    }
    for part, rate in expected.items():
        own = {name: found for name, found in rates.items() if name.startswith(f"{part}.")}
        assert own and all(found == pytest.approx(rate) for found, _ in own.values()), part
        # Biases and norms are still without weight decay.
        assert {name for name, (_, decays) in own.items() if decays} == {n for n in own if weighted(trainer, n)}
    described = trained_parts(trainer.model, trainer.optimizer)
    count = sum(p.numel() for p in trainer.model.erc.encoders.parameters())
    rest = trainer.model.num_parameters() - count
    assert described == [
        f"text backbone: {count:,} parameters, learning rate 0.00025 (lowest layer) to 0.001 (last)",
        f"fusion, context and heads: {rest:,} parameters, learning rate 0.01",
    ]


def weighted(trainer: Any, name: str) -> bool:
    return name in trainer.get_decay_parameter_names(trainer.model)


def test_without_a_backbone_rate_the_decay_starts_from_the_common_one(
    splits: datasets.DatasetDict, make_trainer: Any
) -> None:
    settings = {"learning_rate": 1e-2, "layer_decay": 0.5, "max_steps": 1}
    trainer = make_trainer(splits, **settings, **NOTHING_SAVED)
    trainer.train()
    rates = [rate for rate, _ in rates_by_name(trainer).values()]
    assert sorted(set(rates)) == pytest.approx([0.25e-2, 0.5e-2, 1e-2])


def test_a_frozen_backbone_is_named_as_such(splits: datasets.DatasetDict, make_trainer: Any) -> None:
    settings = {"modalities": ["text", "vision"], "frozen_modalities": ["vision"], "max_steps": 1}
    trainer = make_trainer(splits, **settings, layer_decay=0.5, **NOTHING_SAVED)
    trainer.train()
    lines = trained_parts(trainer.model, trainer.optimizer)
    assert [line.partition(":")[0] for line in lines] == [
        "text backbone",
        "vision backbone",
        "fusion, context and heads",
    ]
    assert [line.endswith("frozen") for line in lines] == [False, True, False]


@pytest.mark.parametrize(
    ("config", "first", "last"),
    [
        (BACKBONES["text"], "embeddings.word_embeddings", "encoder.layer.1"),
        (BACKBONES["vision"], "embeddings", "layernorm"),
        (Wav2Vec2Config(**WAVES, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2), "feature_ext", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PreTrainedConfig) else "",
)
def test_layers_are_counted_from_the_end_of_any_transformer(
    config: PreTrainedConfig, first: str, last: str | None
) -> None:
    backbone = AutoModel.from_config(config)
    above = layers_above(backbone)
    found = {name: above[id(parameter)] for name, parameter in backbone.named_parameters()}
    assert {depth for name, depth in found.items() if name.startswith(first)} == {2}
    assert last is None or {depth for name, depth in found.items() if name.startswith(last)} == {0}
    assert set(found.values()) == {0, 1, 2}


def test_a_backbone_without_such_layers_is_refused() -> None:
    convolutions: nn.Module = AutoModel.from_config(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 32], depths=[1, 1], num_channels=3)
    )
    with pytest.raises(ValueError, match="ResNetModel has no stack of layers"):
        layers_above(convolutions)


@pytest.mark.parametrize("decay", [0.0, 1.5])
def test_a_decay_outside_its_range_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=f"--layer_decay {decay}: choose a number above 0, up to 1"):
        ErcTrainingArguments(output_dir="unused", layer_decay=decay)


def test_only_the_uppermost_layers_of_a_backbone_change(
    splits: datasets.DatasetDict, make_trainer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = make_trainer(splits, max_steps=2, unfreeze_layers=1, **NOTHING_SAVED)
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    changed = {name for name, weight in trainer.model.named_parameters() if not weight.equal(before[name])}
    backbone = "erc.encoders.text.backbone"
    inside = {name.removeprefix(f"{backbone}.") for name in changed if name.startswith(backbone)}
    assert inside and all(name.startswith("encoder.layer.1.") for name in inside)
    assert any(name.startswith("erc.projections.") for name in changed)
    lines = [line for line in trained_parts(trainer.model, trainer.optimizer) if line.startswith("text backbone")]
    assert [line.endswith("frozen") for line in lines] == [True, False]


def test_more_layers_than_a_backbone_has_are_refused(splits: datasets.DatasetDict, make_trainer: Any) -> None:
    with pytest.raises(ValueError, match="--unfreeze_layers 3: the text backbone has 2 layers"):
        make_trainer(splits, unfreeze_layers=3, **NOTHING_SAVED)


def test_relative_positions_are_frozen_with_the_lowest_layer() -> None:
    """MPNet defines them behind its layers, and each layer reads them: trained, they would need gradients in all."""
    backbone = AutoModel.from_config(MPNetConfig(**TRANSFORMER, vocab_size=50))
    above = layers_above(backbone)
    assert above[id(backbone.encoder.relative_attention_bias.weight)] == 2
    for parameter in backbone.parameters():
        parameter.requires_grad_(above[id(parameter)] < 1)
    states = backbone(input_ids=torch.tensor([[5, 6, 7]]), output_hidden_states=True).hidden_states
    assert [layer.requires_grad for layer in states] == [False, False, True]


def test_a_lower_layer_that_is_read_is_refused(splits: datasets.DatasetDict, make_trainer: Any) -> None:
    with pytest.raises(ValueError, match="counts from the last layer, but text_layer is 1: leave one out"):
        make_trainer(splits, unfreeze_layers=1, text_layer="1", **NOTHING_SAVED)


def test_layers_of_frozen_backbones_are_refused(splits: datasets.DatasetDict, make_trainer: Any) -> None:
    with pytest.raises(ValueError, match="--unfreeze_layers 1 has no effect: no backbone is trained"):
        make_trainer(splits, unfreeze_layers=1, frozen_modalities=["text"], **NOTHING_SAVED)


def test_no_trained_layer_is_refused() -> None:
    with pytest.raises(ValueError, match="--unfreeze_layers 0: choose 1 or more, or freeze with --frozen_modalities"):
        ErcTrainingArguments(output_dir="unused", unfreeze_layers=0)
