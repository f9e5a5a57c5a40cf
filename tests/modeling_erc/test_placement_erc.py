"""Where a loaded model lies and how its backbones attend: what is asked for works, or an error says why not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.processing_erc import ErcProcessor

Dialogues = list[list[dict[str, Any]]]


@pytest.fixture
def saved(raw_config: Callable[..., ErcConfig], tmp_path: Path) -> Path:
    torch.manual_seed(0)
    ErcForSequenceClassification(raw_config(context="gru")).save_pretrained(tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("device_map", ["cpu", "auto", {"": "cpu"}], ids=str)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_one_device_and_each_attention_give_the_same_logits(
    device_map: Any, attention: str, saved: Path, processor: ErcProcessor, dialogues: Dialogues
) -> None:
    inputs = processor(dialogues)
    expected = ErcForSequenceClassification.from_pretrained(saved).eval()(**inputs).logits
    settings = {"device_map": device_map, "attn_implementation": attention}
    model = ErcForSequenceClassification.from_pretrained(saved, **settings).eval()
    torch.testing.assert_close(model(**inputs).logits, expected, atol=1e-5, rtol=0)


HEADS = ("classifier", "modality_classifiers", "contrastive_head")


@pytest.mark.parametrize(
    "device_map", [{"": "disk"}, {"erc": "cpu", **dict.fromkeys(HEADS, "disk")}], ids=["all", "heads"]
)
def test_an_offloaded_model_is_refused(device_map: dict[str, str], saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"device_map puts the weights on .*meta.*put all on one device"):
        ErcForSequenceClassification.from_pretrained(
            saved, device_map=device_map, offload_folder=str(tmp_path / "offloaded")
        )


def test_an_attention_that_the_model_lacks_is_refused(saved: Path) -> None:
    with pytest.raises((ValueError, ImportError), match=r"(?i)flash"):
        ErcForSequenceClassification.from_pretrained(saved, attn_implementation="flash_attention_2")
