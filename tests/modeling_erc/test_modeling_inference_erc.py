"""The classifier in use: without autograd, and with eight-bit weights."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from modeling_erc import ErcConfig, ErcForSequenceClassification, modeling_erc
from modeling_erc.processing_erc import ErcProcessor

MakeConfig = Callable[..., ErcConfig]
Dialogues = list[list[dict[str, Any]]]


@pytest.mark.parametrize("context", ["transformer", "gru"])
def test_inference_mode_changes_nothing(
    context: str, raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues
) -> None:
    torch.manual_seed(0)
    model = ErcForSequenceClassification(raw_config(context=context)).eval()
    inputs = processor(dialogues)
    with torch.inference_mode():
        logits = model(**inputs).logits
    assert logits.is_inference()
    torch.testing.assert_close(logits.clone(), model(**inputs).logits.detach(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("position", ["before", "both"])
def test_a_long_conversation_in_groups_equals_one_pass(
    position: str,
    raw_config: MakeConfig,
    processor: ErcProcessor,
    dialogues: Dialogues,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    model = ErcForSequenceClassification(raw_config(context_position=position)).eval()
    inputs = processor(dialogues)
    with torch.inference_mode():
        whole = model(**inputs)
        monkeypatch.setattr(modeling_erc, "GROUP", 2)
        parts = model(**inputs)
    for name in ("logits", "modality_logits", "last_hidden_state"):
        torch.testing.assert_close(parts[name], whole[name], atol=1e-5, rtol=0)


@pytest.mark.parametrize("context", ["transformer", "gru"])
def test_pytorch_s_own_int8_weights_stay_near(
    context: str, raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues
) -> None:
    torch.manual_seed(0)
    model = ErcForSequenceClassification(raw_config(context=context)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a successor is announced
        small = torch.ao.quantization.quantize_dynamic(model, {nn.Linear, nn.GRU}, dtype=torch.qint8)
    assert sum(isinstance(module, nn.Linear) for module in small.modules()) == 0
    inputs = processor(dialogues)
    with torch.inference_mode():
        exact, logits = model(**inputs).logits, small(**inputs).logits
    assert 0 < (logits - exact).abs().max() < 0.2 * exact.abs().max()
