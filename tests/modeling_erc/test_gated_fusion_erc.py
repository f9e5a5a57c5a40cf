from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import nn

from modeling_erc import ErcConfig, ErcModel
from modeling_erc.fusion_erc import GatedFusion

MakeConfig = Callable[..., ErcConfig]


def fresh(config: ErcConfig) -> GatedFusion:
    torch.manual_seed(0)
    fusion = cast(GatedFusion, ErcModel(config).fusion.eval())
    for parameter in fusion.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return fusion


def test_two_modalities_have_the_papers_sigmoid_gate(feature_config: MakeConfig) -> None:
    fusion = fresh(feature_config("text", "audio", fusion="gated"))
    states, both = torch.randn(5, 2, 32), torch.ones(5, 2).bool()
    text, audio = (fusion.values[m](states[:, i]).tanh() for i, m in enumerate(("text", "audio")))
    assert isinstance(fusion.gates, nn.Linear)
    to_text, to_audio = fusion.gates.weight.chunk(2)
    text_bias, audio_bias = fusion.gates.bias.chunk(2)
    gate = torch.sigmoid(states.flatten(1) @ (to_text - to_audio).T + text_bias - audio_bias)
    expected = fusion.output(gate * text + (1 - gate) * audio)
    assert torch.allclose(fusion.merge(states, both), expected, atol=1e-5)


@pytest.mark.parametrize("modalities", [("text",), ("text", "audio", "vision")])
def test_the_gates_of_what_is_present_sum_to_one_in_every_unit(
    modalities: tuple[str, ...], feature_config: MakeConfig
) -> None:
    """Where every modality says the same, the fused unit says it too, whoever is absent."""
    fusion = fresh(feature_config(*modalities, fusion="gated"))
    said = torch.linspace(-2, 2, fusion.width)
    for value in fusion.values.values():
        nn.init.zeros_(cast(nn.Linear, value).weight)
        cast(nn.Linear, value).bias.data.copy_(said)
    present = torch.cartesian_prod(*[torch.tensor([True, False])] * len(modalities)).reshape(-1, len(modalities))
    states = torch.randn(len(present), len(modalities), 32) * present[..., None]
    expected = fusion.output(said.tanh() * present.any(dim=1, keepdim=True))
    assert torch.allclose(fusion.merge(states, present), expected, atol=1e-5)


def test_a_modality_alone_goes_through_whole(feature_config: MakeConfig) -> None:
    fusion = fresh(feature_config(fusion="gated"))
    present = torch.tensor([[False, True, False]])
    states = torch.randn(1, 3, 32) * present[..., None]
    expected = fusion.output(fusion.values["audio"](states[:, 1]).tanh())
    assert torch.allclose(fusion.merge(states, present), expected, atol=1e-6)
