from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from modeling_erc import ErcConfig
from modeling_erc.analysis.joint_attention import JointAttentionMeter, attention_weights
from modeling_erc.fusion_erc import JointVectorFusion
from modeling_erc.layers_erc import TransformerLayer

MODALITIES = ("text", "audio")
LENGTHS = {"text": [3, 1, 0, 2, 0], "audio": [0, 4, 2, 4, 0]}  # tokens of five utterances; the last has none


@pytest.fixture
def fusion(feature_config: Callable[..., ErcConfig]) -> JointVectorFusion:
    torch.manual_seed(0)
    fusion = JointVectorFusion(feature_config(*MODALITIES, num_joint_vectors=3, num_fusion_layers=2)).eval()
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return fusion


def inputs(rows: slice = slice(None)) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    torch.manual_seed(1)
    tokens = {m: torch.randn(5, max(LENGTHS[m]), 32)[rows] for m in MODALITIES}
    masks = {m: (torch.arange(max(LENGTHS[m])) < torch.tensor(LENGTHS[m])[:, None])[rows] for m in MODALITIES}
    return tokens, masks, torch.stack([masks[m].any(dim=1) for m in MODALITIES], dim=1)


def explicit_share(layer: TransformerLayer, own: Tensor, joint: Tensor, vector: int) -> float:
    """Of one utterance's joint vector, head by head: the share of its attention on `own`, the `(n, hidden)` tokens."""
    states = layer.attention_norm(torch.cat([own, joint])).double()
    weight, bias = layer.qkv.weight.double(), layer.qkv.bias.double()
    query, key = states @ weight[:32].T + bias[:32], states @ weight[32:64].T + bias[32:64]
    size = 32 // layer.num_heads
    shares = []
    for head in range(layer.num_heads):
        part = slice(head * size, (head + 1) * size)
        scores = np.exp([float(query[len(own) + vector, part] @ row[part]) / size**0.5 for row in key])
        shares.append(scores[: len(own)].sum() / scores.sum())
    return float(np.mean(shares))


def explicit_shares(fusion: JointVectorFusion) -> np.ndarray:
    """Utterance by utterance, without padding."""
    tokens, masks, _ = inputs()
    shares = np.zeros((2, 3, 2))
    for utterance in range(5):
        states = {m: tokens[m][utterance][masks[m][utterance]] for m in MODALITIES}
        present = [m for m in MODALITIES if len(states[m])]
        joint: Tensor = fusion.joint_vectors
        for number, layer in enumerate(fusion.layers):
            copies = []
            for m in present:
                transformer = layer[m]  # type: ignore[index]
                for vector in range(3):
                    share = explicit_share(transformer, states[m], joint, vector)
                    shares[number, vector, MODALITIES.index(m)] += share / np.count_nonzero(LENGTHS[m])
                seen = torch.ones(1, 1, 1, len(states[m]) + 3, dtype=torch.bool)
                out = transformer(torch.cat([states[m], joint])[None], seen)[0]
                states[m], copy = out[:-3], out[-3:]
                copies.append(copy)
            joint = torch.stack(copies).mean(dim=0) if copies else joint
    return shares


@torch.no_grad()
def test_shares_are_those_of_an_explicit_softmax(fusion: JointVectorFusion) -> None:
    with JointAttentionMeter(fusion) as meter:
        fusion(*inputs())
    found = meter.shares()
    assert found.shape == (2, 3, 2)
    np.testing.assert_allclose(found, explicit_shares(fusion), atol=1e-5)
    assert np.ptp(found) > 0.1
    even = [np.mean([n / (n + 3) for n in LENGTHS[m] if n]) for m in MODALITIES]
    np.testing.assert_allclose(meter.even_shares(), even)


@torch.no_grad()
def test_batches_add_up(fusion: JointVectorFusion) -> None:
    with JointAttentionMeter(fusion) as whole:
        fusion(*inputs())
    with JointAttentionMeter(fusion) as parts:
        for rows in (slice(0, 2), slice(2, 5)):
            fusion(*inputs(rows))
    np.testing.assert_allclose(parts.shares(), whole.shares(), atol=1e-6)
    np.testing.assert_allclose(parts.even_shares(), whole.even_shares())


@torch.no_grad()
def test_a_layer_applies_the_weights_that_are_measured(fusion: JointVectorFusion) -> None:
    layer = fusion.layers[0]["audio"]  # type: ignore[index]
    hidden, seen = torch.randn(4, 6, 32), torch.rand(4, 1, 1, 6) < 0.6
    seen[..., 0] = True
    weights = attention_weights(layer, hidden, seen)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(4, layer.num_heads, 6))
    assert (weights.masked_select(~seen.expand_as(weights)) == 0).all()
    value = layer.qkv(layer.attention_norm(hidden))[..., 64:].view(4, 6, layer.num_heads, -1).transpose(1, 2)
    mixed = hidden + layer.attention_output((weights @ value).transpose(1, 2).reshape(4, 6, 32))
    torch.testing.assert_close(mixed + layer.feed_forward(mixed), layer(hidden, seen), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_measuring_changes_nothing_and_ends(fusion: JointVectorFusion) -> None:
    before = fusion(*inputs()).joint
    with JointAttentionMeter(fusion) as meter:
        during = fusion(*inputs()).joint
    first = meter.shares()
    fusion(*inputs(slice(0, 2)))
    torch.testing.assert_close(during, before, atol=0, rtol=0)
    np.testing.assert_array_equal(meter.shares(), first)


@torch.no_grad()
def test_a_modality_that_no_utterance_has_is_unknown(fusion: JointVectorFusion) -> None:
    tokens, masks, present = inputs(slice(0, 1))
    with JointAttentionMeter(fusion) as meter:
        fusion(tokens, masks, present)
    assert np.isnan(meter.shares()[..., 1]).all()
    assert np.isnan(meter.even_shares()[1])
    assert np.isfinite(meter.shares()[..., 0]).all()
