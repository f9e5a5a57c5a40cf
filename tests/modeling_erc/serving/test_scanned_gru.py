from typing import Any

import pytest
import torch

from modeling_erc import ErcConfig
from modeling_erc.context_erc import GruContext
from modeling_erc.serving.scanned_gru import ScannedGruContext


@pytest.mark.parametrize("settings", [{}, {"context_causal": True}, {"num_context_layers": 2}], ids=str)
@pytest.mark.parametrize("seen", [0.6, 0.0, 1.0])
@torch.no_grad()
def test_outputs_equal_those_of_the_context(settings: dict[str, Any], seen: float) -> None:
    torch.manual_seed(0)
    config = ErcConfig(feature_sizes={"text": 4}, hidden_size=8, num_attention_heads=2, context="gru", **settings)
    context = GruContext(config).eval()
    for length in (1, 2, 9):
        hidden, mask = torch.randn(1, length, 8), torch.rand(1, length) < seen
        speakers = torch.randint(0, 4, (1, length)) * 7
        expected = context(hidden, mask, speakers)
        torch.testing.assert_close(ScannedGruContext(context)(hidden, mask, speakers), expected, atol=1e-6, rtol=1e-5)
