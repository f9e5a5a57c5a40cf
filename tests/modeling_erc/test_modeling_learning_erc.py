from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from modeling_erc import ErcConfig, ErcForSequenceClassification, fusion_erc
from modeling_erc.context_erc import CONTEXTS
from modeling_erc.fusion_erc import FUSIONS
from modeling_erc.processing_erc import ErcProcessor

MakeConfig = Callable[..., ErcConfig]
Dialogues = list[list[dict[str, Any]]]
Inputs = dict[str, Tensor]

# Of `feature_dialogues` (5, 1 and 3 utterances) and of `dialogues` (4, 1 and 2).
FEATURE_LABELS = torch.tensor([[0, 1, 2, 2, 1], [1] + [-100] * 4, [0, 0, 2, -100, -100]])
RAW_LABELS = torch.tensor([[0, 1, 2, 2], [1, -100, -100, -100], [0, 2, -100, -100]])
every_fusion = pytest.mark.parametrize("fusion", sorted(FUSIONS))
every_position = pytest.mark.parametrize("position", ["before", "after", "both"])


def fresh(config: ErcConfig) -> ErcForSequenceClassification:
    torch.manual_seed(0)
    return ErcForSequenceClassification(config)


def pack(config: ErcConfig, dialogues: Dialogues) -> Inputs:
    return dict(ErcProcessor(modalities=config.modalities)(dialogues))


def gradients(model: ErcForSequenceClassification, inputs: Inputs, labels: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    model(**inputs, labels=labels).loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Equal to five digits of each gradient's largest entry."""
    assert found.keys() == expected.keys()
    for name, grad in expected.items():
        assert (found[name] - grad).abs().max() <= 1e-5 * grad.abs().max() + 1e-6, name


def without_gradient(model: ErcForSequenceClassification, inputs: Inputs, labels: Tensor) -> set[str]:
    found = gradients(model, inputs, labels)
    assert all(grad.isfinite().all() for grad in found.values())
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    return {name for name in trained if name not in found or not found[name].abs().sum() > 0}


@every_fusion
@every_position
@pytest.mark.parametrize("modalities", [("text",), ("text", "audio", "vision")])
def test_gradient_reaches_every_parameter(
    fusion: str,
    position: str,
    modalities: tuple[str, ...],
    feature_config: MakeConfig,
    feature_dialogues: Dialogues,
) -> None:
    config = feature_config(*modalities, fusion=fusion, context_position=position)
    missed = without_gradient(fresh(config).train(), pack(config, feature_dialogues), FEATURE_LABELS)
    assert missed == set()


@every_fusion
@pytest.mark.parametrize("layer", ["last", "mix"])
def test_gradient_reaches_every_parameter_of_the_backbones(
    fusion: str, layer: str, raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues
) -> None:
    layers = {f"{m}_layer": layer for m in ("text", "audio", "vision")}
    model = fresh(raw_config(fusion=fusion, **layers)).train()
    missed = without_gradient(model, dict(processor(dialogues)), RAW_LABELS)
    # ViT counts its last norm to no layer.
    norm = {f"erc.encoders.vision.backbone.layernorm.{name}" for name in ("weight", "bias")}
    assert missed == (norm if layer == "mix" else set())


@every_fusion
@pytest.mark.parametrize("context", sorted(CONTEXTS))
@pytest.mark.parametrize("modalities", [("text",), ("text", "audio", "vision")])
def test_it_learns_one_batch_by_heart(
    fusion: str,
    context: str,
    modalities: tuple[str, ...],
    feature_config: MakeConfig,
    feature_dialogues: Dialogues,
) -> None:
    for row, dialogue in enumerate(feature_dialogues):  # everyone says something, or there is nothing to tell them by
        for column, utterance in enumerate(dialogue):
            utterance["text_features"] = torch.randn(6, generator=torch.Generator().manual_seed(10 * row + column))
    config = feature_config(*modalities, fusion=fusion, context=context, initializer_range=0.02)
    model, inputs = fresh(config).train(), pack(config, feature_dialogues)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _step in range(200):
        optimizer.zero_grad()
        output = model(**inputs, labels=FEATURE_LABELS)
        if output.loss < 0.05:
            break
        output.loss.backward()
        optimizer.step()
    assert output.loss < 0.05
    scored = FEATURE_LABELS >= 0
    assert torch.equal(output.logits.argmax(dim=-1)[scored], FEATURE_LABELS[scored])


def test_it_learns_raw_media_by_heart(raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues) -> None:
    model, inputs = fresh(raw_config(initializer_range=0.02)).train(), processor(dialogues)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _step in range(100):
        optimizer.zero_grad()
        output = model(**inputs, labels=RAW_LABELS)
        if output.loss < 0.05:
            break
        output.loss.backward()
        optimizer.step()
    assert output.loss < 0.05


@every_fusion
@pytest.mark.parametrize("autocast", [True, False])
def test_bf16_is_finite_forth_and_back(
    fusion: str, autocast: bool, raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues
) -> None:
    model, inputs = fresh(raw_config(fusion=fusion, text_layer="mix")).train(), dict(processor(dialogues))
    exact = model.eval()(**inputs, labels=RAW_LABELS)
    model.train()
    if not autocast:
        model.bfloat16()
        inputs = {name: value.bfloat16() if value.is_floating_point() else value for name, value in inputs.items()}
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output = model.eval()(**inputs, labels=RAW_LABELS)
        assert (output.loss - exact.loss).abs() < 0.1 * exact.loss
        found = gradients(model.train(), inputs, RAW_LABELS)
    assert output.loss.dtype == torch.float32
    assert len(found) > 100 and all(grad.isfinite().all() for grad in found.values())


@every_fusion
@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing_gives_the_same_gradients(
    fusion: str,
    reentrant: bool,
    raw_config: MakeConfig,
    processor: ErcProcessor,
    dialogues: Dialogues,
) -> None:
    dropouts = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "dropout": 0.0}
    config = raw_config(fusion=fusion, audio_layer="mix")
    for m in config.modalities:
        for name, value in dropouts.items():
            setattr(config.backbone_config(m), name, value)
    model, inputs = fresh(config).train(), dict(processor(dialogues))
    expected = gradients(model, inputs, RAW_LABELS)
    model.activation_checkpointing_enable({"use_reentrant": reentrant})
    passes: list[None] = []
    model.erc.context_after.layers[0].attention_norm.register_forward_pre_hook(lambda *call: passes.append(None))
    found = gradients(model, inputs, RAW_LABELS)
    assert len(passes) == 2  # forward, and recomputed in the backward pass
    assert_close(found, expected)


def drop(model: ErcForSequenceClassification, inputs: Inputs, times: int) -> Tensor:
    """Returns the modalities used in each of several passes, `(times, batch, utterances, modalities)`."""
    return torch.stack([model(**inputs).modality_mask for _ in range(times)])


def test_modality_dropout_is_fair_and_spares_the_last(feature_config: MakeConfig) -> None:
    config = feature_config(modality_dropout=0.5, contrastive="none")
    model = fresh(config).train()
    mask = torch.ones(4, 25).bool()
    present = torch.rand(4, 25, 3, generator=torch.Generator().manual_seed(0)) < 0.7
    features = {
        name: torch.randn(int(present[..., index].sum()), width)
        for index, (name, width) in enumerate({"text_features": 6, "audio_features": 5, "visual_features": 4}.items())
    }
    inputs = {"utterance_mask": mask, "modality_mask": present, **features}
    kept = drop(model, inputs, times=40)
    assert not (kept & ~present).any()
    assert torch.equal(kept.any(dim=-1), present.any(dim=-1).expand(40, -1, -1))
    for count, expected in ((1, 1.0), (2, 0.5 + 0.25 / 2), (3, 0.5 + 0.125 / 3)):
        rows = present & (present.sum(dim=-1, keepdim=True) == count)
        share = kept[:, rows].float().mean().item()
        assert share == pytest.approx(expected, abs=0.05), count
        for index in range(3):  # none of them is preferred
            assert kept[:, rows & (torch.arange(3) == index)].float().mean().item() == pytest.approx(share, abs=0.08)
    model.eval()
    assert torch.equal(drop(model, inputs, times=3), present.expand(3, -1, -1, -1))


def test_a_dropped_modality_is_as_if_it_were_absent(feature_config: MakeConfig, feature_dialogues: Dialogues) -> None:
    config = feature_config(modality_dropout=0.6)
    model, inputs = fresh(config).train(), pack(config, feature_dialogues)
    seen: list[Any] = []
    hook = model.erc.fusion.register_forward_pre_hook(lambda module, args: seen.extend(args))
    dropped = model(**inputs)
    hook.remove()
    _, token_mask, present = seen
    assert all(torch.equal(mask.any(dim=1), present[:, i]) for i, mask in enumerate(token_mask.values()))
    assert not torch.equal(dropped.modality_mask, inputs["modality_mask"])
    left = dict(inputs)
    for index, name in enumerate(("text_features", "audio_features", "visual_features")):
        still = dropped.modality_mask[inputs["modality_mask"][..., index]][:, index]
        left[name], left[f"{name}_mask"] = inputs[name][still], inputs[f"{name}_mask"][still]
    left["modality_mask"] = dropped.modality_mask
    absent = model.eval()(**left)
    for key in ("logits", "modality_logits", "last_hidden_state"):
        assert torch.allclose(absent[key], dropped[key], atol=1e-5), key


def test_dropout_is_for_training_only(feature_config: MakeConfig, feature_dialogues: Dialogues) -> None:
    config = feature_config(hidden_dropout_prob=0.5, modality_dropout=0.5)
    model, inputs = fresh(config).eval(), pack(config, feature_dialogues)
    assert torch.equal(model(**inputs).logits, model(**inputs).logits)
    model.train()
    assert not torch.equal(model(**inputs).logits, model(**inputs).logits)


def test_it_runs_on_scaled_dot_product_attention_and_so_do_its_backbones(
    raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues, tmp_path: Any
) -> None:
    model, inputs = fresh(raw_config()).eval(), processor(dialogues)
    assert model._supports_sdpa and model.erc.encoder("text").backbone.config._attn_implementation == "sdpa"
    model.save_pretrained(tmp_path)
    eager = ErcForSequenceClassification.from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert {eager.erc.encoder(m).backbone.config._attn_implementation for m in model.config.modalities} == {"eager"}
    assert torch.allclose(eager(**inputs).logits, model(**inputs).logits, atol=1e-5)


def test_the_trainer_does_not_take_keyword_arguments_for_a_promise_to_scale_the_loss() -> None:
    assert ErcForSequenceClassification.accepts_loss_kwargs is False


@every_fusion
def test_groups_for_the_fusion_keep_the_gradients(
    fusion: str, feature_config: MakeConfig, feature_dialogues: Dialogues, monkeypatch: pytest.MonkeyPatch
) -> None:
    feature_dialogues[0][0]["audio_features"] = torch.randn(20, 5).numpy()
    config = feature_config(fusion=fusion)
    model, inputs = fresh(config).train(), pack(config, feature_dialogues)
    expected = gradients(model, inputs, FEATURE_LABELS)
    monkeypatch.setattr(fusion_erc, "BUCKET_SIZE", 2)
    found = gradients(model, inputs, FEATURE_LABELS)
    assert_close(found, expected)
