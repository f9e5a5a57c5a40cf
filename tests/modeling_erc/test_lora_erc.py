import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

pytest.importorskip("peft")

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.processing_erc import ErcProcessor

MakeConfig = Callable[..., ErcConfig]
LABELS = torch.tensor([[0, 1, 2, -100], [1, -100, -100, -100], [2, 0, -100, -100]])


@pytest.fixture
def inputs(processor: ErcProcessor, dialogues: list[list[dict[str, Any]]]) -> dict[str, Tensor]:
    return dict(processor(dialogues))


def fresh(config: ErcConfig) -> ErcForSequenceClassification:
    torch.manual_seed(0)
    return ErcForSequenceClassification(config).eval()


def trained(config: ErcConfig, inputs: dict[str, Tensor]) -> ErcForSequenceClassification:
    """Two steps are needed: in the first one only the second of the two adapter matrices moves."""
    model = fresh(config)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        model(**inputs, labels=LABELS).loss.backward()
        optimizer.step()
    return model


def base_weights(model: ErcForSequenceClassification) -> dict[str, Tensor]:
    """The backbones' own weights, by the names that they have without adapters."""
    names = {name: name.replace(".base_layer", "") for name in model.state_dict() if ".backbone." in name}
    return {plain: model.state_dict()[name].clone() for name, plain in names.items() if ".lora_" not in plain}


def test_a_fresh_adapter_changes_nothing(raw_config: MakeConfig, inputs: dict[str, Tensor]) -> None:
    plain = fresh(raw_config())
    adapted = fresh(raw_config(lora_modalities=["text", "audio", "vision"]))
    weights = plain.state_dict()
    own = {name: name.replace(".base_layer", "") for name in adapted.state_dict() if ".lora_" not in name}
    adapted.load_state_dict({name: weights[plain_name] for name, plain_name in own.items()}, strict=False)
    assert torch.equal(adapted(**inputs).logits, plain(**inputs).logits)
    first = [p for name, p in adapted.named_parameters() if ".lora_A." in name]
    assert first and all(p.abs().sum() > 0 for p in first)


def test_adapters_train_and_the_backbone_does_not(raw_config: MakeConfig, inputs: dict[str, Tensor]) -> None:
    config = raw_config(lora_modalities=["text", "vision"], lora_rank=3)
    before, model = fresh(config), trained(config, inputs)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before.state_dict()[name])}
    adapters = {name for name, _ in model.named_parameters() if ".lora_" in name}
    assert adapters <= changed and all(".text." in name or ".vision." in name for name in adapters)
    assert {p.shape[0 if ".lora_A." in n else 1] for n, p in model.named_parameters() if ".lora_" in n} == {3}
    adapted = {name for name in changed if ".text.backbone." in name or ".vision.backbone." in name}
    assert adapted == adapters
    # The audio backbone trains as a whole, and so does everything behind the backbones.
    assert "erc.encoders.audio.backbone.layers.0.fc1.weight" in changed and "classifier.weight" in changed
    for m in ("text", "vision"):
        own = [p for n, p in model.erc.encoder(m).backbone.named_parameters() if ".lora_" not in n]
        assert own and not any(p.requires_grad for p in own)


def test_a_checkpoint_with_adapters_comes_back(
    raw_config: MakeConfig, inputs: dict[str, Tensor], tmp_path: Path
) -> None:
    model = trained(raw_config(lora_modalities=["text"]), inputs)
    model.save_pretrained(tmp_path)
    loaded, report = ErcForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    assert torch.equal(loaded.eval()(**inputs).logits, model(**inputs).logits)
    assert not any(p.requires_grad for n, p in loaded.named_parameters() if ".text.backbone." in n and "lora" not in n)


def test_merging_keeps_the_logits_and_leaves_an_ordinary_checkpoint(
    raw_config: MakeConfig, inputs: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = raw_config(lora_modalities=["text", "audio", "vision"])
    untouched, model = base_weights(fresh(config)), trained(config, inputs)
    logits = model(**inputs).logits
    model.merge_lora()
    assert torch.allclose(model(**inputs).logits, logits, atol=1e-5)
    model.save_pretrained(tmp_path)
    keys = safetensors.torch.load_file(tmp_path / "model.safetensors")
    assert not any("lora" in key or "base_layer" in key for key in keys)
    assert any(not torch.equal(keys[name], weight) for name, weight in untouched.items())
    # The file fits a model that never heard of adapters, on a machine without peft.
    monkeypatch.setitem(sys.modules, "peft", None)
    loaded, report = ErcForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    assert loaded.state_dict().keys() == fresh(raw_config()).state_dict().keys()
    assert all(p.requires_grad for name, p in loaded.named_parameters() if ".text.backbone." in name)
    assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)


def test_without_peft_the_error_says_what_to_install(raw_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"lora_modalities needs peft: pip install .*\[lora\]"):
        ErcForSequenceClassification(raw_config("text", lora_modalities=["text"]))


def test_pretrained_weights_arrive_below_the_adapters(raw_config: MakeConfig, tmp_path: Path) -> None:
    source = fresh(raw_config("vision")).erc.encoder("vision").backbone
    source.save_pretrained(tmp_path)
    torch.manual_seed(1)
    model = ErcForSequenceClassification(raw_config("vision", lora_modalities=["vision"]))
    model.load_backbones({"vision": str(tmp_path)})
    loaded = {name.removeprefix("erc.encoders.vision.backbone."): value for name, value in base_weights(model).items()}
    assert loaded.keys() == source.state_dict().keys()
    assert all(torch.equal(value, loaded[name]) for name, value in source.state_dict().items())
