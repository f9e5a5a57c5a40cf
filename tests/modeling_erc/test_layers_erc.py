from collections.abc import Callable

import pytest
import torch
from torch import nn

from modeling_erc import ErcConfig
from modeling_erc.layers_erc import (
    AttentionPool,
    Dropout,
    Packing,
    TransformerLayer,
    attend,
    length_buckets,
    masked_mean,
    unsplit,
)

MakeConfig = Callable[..., ErcConfig]


def test_masked_mean_is_the_mean_of_the_rows_that_count() -> None:
    values = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [1e9, -1e9]], [[5.0, 5.0], [7.0, 7.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert masked_mean(values, mask, dim=1).tolist() == [[2.0, 4.0], [0.0, 0.0]]


class KeepsAll(Dropout):
    """As in training, but for the draw."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values


@pytest.mark.parametrize("additive", [False, True])
def test_attention_in_training_is_that_of_use_but_for_what_is_dropped(additive: bool) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 5, 6).unbind()
    mask = torch.rand(2, 1, 5, 5) < 0.6
    mask[..., range(5), range(5)] = True
    bias = torch.randn(2, 4, 5, 5).masked_fill(~mask, torch.finfo(torch.float32).min) if additive else mask
    trained = attend(query, key, value, bias, KeepsAll(0.5).train())
    used = attend(query, key, value, bias, Dropout(0.5).eval())
    torch.testing.assert_close(trained, used, rtol=0, atol=1e-6)
    assert not torch.allclose(attend(query, key, value, bias, Dropout(0.5).train()), used)


@pytest.mark.parametrize("length", [1, 3, 4])
@pytest.mark.parametrize("additive", [False, True])
def test_attention_over_few_positions_is_that_of_pytorch(length: int, additive: bool) -> None:
    torch.manual_seed(0)
    query, key, value = found = [torch.randn(5, 2, length, 8, requires_grad=True) for _ in range(3)]
    mask: torch.Tensor = (torch.rand(5, 1, length, length) < 0.6) | torch.eye(length).bool()
    mask = torch.randn(5, 2, length, length).masked_fill(~mask, torch.finfo(torch.float32).min) if additive else mask
    expected = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    output = attend(query, key, value, mask, Dropout(0.5).eval())
    torch.testing.assert_close(output, expected, atol=1e-6, rtol=0)
    gradients = [torch.autograd.grad(result.square().sum(), found) for result in (output, expected)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=0)


def test_rows_go_back_to_their_places() -> None:
    mask = torch.tensor([[True, False, True], [False, True, False]])
    rows = torch.tensor([[1.0], [2.0], [3.0]], requires_grad=True)
    packing = Packing(mask)
    places = packing.unpack(rows)
    assert places[..., 0].tolist() == [[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]]
    assert torch.equal(packing.pack(places), rows)
    wider = Packing(torch.nn.functional.pad(mask, (0, 2)), mask.nonzero())
    assert wider.unpack(rows)[..., 0].tolist() == [[1.0, 0.0, 2.0, 0.0, 0.0], [0.0, 3.0, 0.0, 0.0, 0.0]]
    places.square().sum().backward()
    assert rows.grad is not None and rows.grad.tolist() == [[2.0], [4.0], [6.0]]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_splitting_by_length_and_putting_together_is_the_identity(size: int) -> None:
    lengths = torch.tensor([3, 1, 5, 2, 5, 1, 4])
    vectors = torch.randn(7, 4)
    tokens = torch.randn(7, 2, 5, 4) * (torch.arange(5) < lengths[:, None])[:, None, :, None]
    groups = length_buckets(lengths, size)
    assert max(len(rows) for rows in groups) <= size
    assert torch.cat([lengths[rows] for rows in groups]).tolist() == sorted(lengths.tolist())
    assert torch.equal(unsplit([vectors[rows] for rows in groups], groups), vectors)
    trimmed = [tokens[rows][..., : int(lengths[rows].max()), :] for rows in groups]
    assert torch.equal(unsplit(trimmed, groups), tokens)


def test_attention_pool_ignores_masked_tokens_and_starts_near_the_mean(feature_config: MakeConfig) -> None:
    torch.manual_seed(0)
    pool = AttentionPool(feature_config())
    tokens, mask = torch.randn(3, 5, 32), torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]).bool()
    pooled = pool(tokens, mask)
    assert pooled.shape == (3, 32) and torch.equal(pooled[2], torch.zeros(32))
    garbage = torch.where(mask[..., None], tokens, torch.full_like(tokens, 1e6))
    assert torch.equal(pool(garbage, mask), pooled)
    assert torch.allclose(pool(tokens[1:2, :2], mask[1:2, :2]), pooled[1:2], atol=1e-6)
    torch.nn.init.zeros_(pool.scores.weight)
    torch.nn.init.zeros_(pool.scores.bias)
    assert torch.allclose(pool(tokens, mask), masked_mean(tokens, mask, dim=1), atol=1e-6)


def test_each_head_of_the_pool_weighs_its_own_share_of_the_width(feature_config: MakeConfig) -> None:
    pool = AttentionPool(feature_config())
    torch.nn.init.zeros_(pool.scores.weight)
    tokens = torch.randn(1, 2, 32)
    tokens[0, :, -1] = torch.tensor([0.0, 100.0])
    pool.scores.weight.data[0, -1] = 1.0  # the first of four heads looks at the second token only
    pooled = pool(tokens, torch.ones(1, 2).bool())
    assert torch.allclose(pooled[0, :8], tokens[0, 1, :8], atol=1e-6)
    assert torch.allclose(pooled[0, 8:], tokens[0, :, 8:].mean(dim=0), atol=1e-5)


@pytest.mark.parametrize("additive", [False, True])
def test_a_transformer_layer_sees_what_the_mask_lets_it(feature_config: MakeConfig, additive: bool) -> None:
    torch.manual_seed(0)
    layer = TransformerLayer(feature_config())
    states, mask = torch.randn(2, 4, 32), torch.ones(4, 4).tril().bool()
    attention = torch.zeros(4, 4).masked_fill(~mask, torch.finfo(torch.float32).min) if additive else mask
    output = layer(states, attention)
    later = states.clone()
    later[:, 2:] = 1e3
    changed = layer(later, attention)
    assert torch.equal(changed[:, :2], output[:, :2]) and not torch.allclose(changed[:, 2:], output[:, 2:])
    earlier = states.clone()
    earlier[:, 0] = torch.randn(2, 32)
    assert not torch.allclose(layer(earlier, attention)[:, 3], output[:, 3], atol=1e-4)


def test_dropout_acts_in_training_only(feature_config: MakeConfig) -> None:
    layer = TransformerLayer(feature_config(hidden_dropout_prob=0.5))
    states, mask = torch.randn(1, 3, 32), torch.ones(3, 3).bool()
    assert torch.equal(layer.eval()(states, mask), layer(states, mask))
    assert not torch.equal(layer.train()(states, mask), layer(states, mask))


@pytest.mark.parametrize("chance", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(chance: float) -> None:
    torch.manual_seed(0)
    values = torch.ones(999, 333, requires_grad=True)
    dropped = Dropout(chance)(values)
    assert (dropped == 0).float().mean().item() == pytest.approx(chance, abs=0.005)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.02)
    dropped.sum().backward()
    # What was dropped learns nothing, what was kept learns as much more as it counts.
    assert values.grad is not None and torch.equal(values.grad, dropped.detach())


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(2**16)) > 0).float()
    for shift in (1, 2, 4, 8, 64):
        assert abs(torch.corrcoef(torch.stack([kept[shift:], kept[:-shift]]))[0, 1].item()) < 0.02


def test_dropout_does_nothing_outside_training_and_repeats_by_seed() -> None:
    values = torch.randn(50, 7)
    assert torch.equal(Dropout(0.5).eval()(values), values)
    assert torch.equal(Dropout(0.0)(values), values)
    assert not Dropout(1.0)(values).any()
    torch.manual_seed(3)
    first = Dropout(0.4)(values)
    torch.manual_seed(3)
    assert torch.equal(first, Dropout(0.4)(values))


def test_dropout_of_halves_and_of_nothing() -> None:
    assert Dropout(0.5)(torch.ones(8, 3, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert Dropout(0.5)(torch.ones(0, 3)).shape == (0, 3)
