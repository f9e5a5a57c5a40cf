from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from modeling_erc import ErcConfig, ErcModel
from modeling_erc.fusion_erc import RANK, TensorFusion

MakeConfig = Callable[..., ErcConfig]
SIZES = {"hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2}


def fresh(config: ErcConfig) -> TensorFusion:
    torch.manual_seed(0)
    fusion = cast(TensorFusion, ErcModel(config).fusion.eval())
    for parameter in fusion.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return fusion


def factors(fusion: TensorFusion, modality: str) -> Tensor:
    """The paper's low-rank factors of a modality, `(rank, width, hidden + 1)`, with the appended 1's weight last."""
    linear = cast(nn.Linear, fusion.factors[modality])
    weights = torch.cat([linear.weight, 1 + linear.bias[:, None]], dim=1)
    return weights.unflatten(0, (RANK, fusion.width))


def test_it_is_the_full_tensor_fusion_with_a_weight_tensor_of_low_rank(feature_config: MakeConfig) -> None:
    fusion = fresh(feature_config(fusion="tensor", **SIZES))
    states = torch.randn(5, 3, 8)
    text, audio, vision = torch.cat([states, torch.ones(5, 3, 1)], dim=2).unbind(dim=1)
    outer = torch.einsum("na,nb,nc->nabc", text, audio, vision)
    weights = torch.einsum("rka,rkb,rkc->kabc", *(factors(fusion, m) for m in fusion.modalities))
    fused = torch.einsum("nabc,kabc->nk", outer, weights) - RANK  # the constant is left to the bias
    assert torch.allclose(fusion.merge(states, torch.ones(5, 3).bool()), fusion.output(fused), atol=1e-4)


@pytest.mark.parametrize("left", [("text",), ("text", "vision"), ("audio", "vision")])
def test_an_absent_modality_leaves_the_fusion_of_the_others(left: tuple[str, ...], feature_config: MakeConfig) -> None:
    fusion = fresh(feature_config(fusion="tensor", **SIZES))
    columns = [fusion.modalities.index(m) for m in left]
    present = torch.zeros(5, 3).bool()
    present[:, columns] = True
    states = torch.randn(5, 3, 8) * present[..., None]
    # The same weights in a fusion that knows only these modalities.
    config = feature_config(*left, fusion="tensor", **SIZES)
    smaller = TensorFusion(config, fusion.width).eval()
    weights = fusion.state_dict()
    smaller.load_state_dict({key: weights[key] for key in smaller.state_dict()})
    expected = smaller.merge(states[:, columns], present[:, columns])
    assert torch.allclose(fusion.merge(states, present), expected, atol=1e-6)


def test_products_alone_can_tell_whether_two_modalities_agree(feature_config: MakeConfig) -> None:
    """Exclusive or from the fused feature before any norm: a sum of the two could not be read by a linear map."""
    torch.manual_seed(0)
    fusion = TensorFusion(feature_config("text", "audio", fusion="tensor", **SIZES))
    head = nn.Linear(fusion.width, 1)
    fusion.output = head  # type: ignore[assignment]
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    label = (signs[:, 0] != signs[:, 1]).float()
    states, both = signs[..., None] * torch.randn(2, 8), torch.ones(4, 2).bool()
    optimizer = torch.optim.Adam([*fusion.factors.parameters(), *head.parameters()], lr=1e-2)
    for _step in range(100):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(fusion.merge(states, both)[:, 0], label).backward()
        optimizer.step()
    assert torch.equal(fusion.merge(states, both)[:, 0] > 0, label.bool())
