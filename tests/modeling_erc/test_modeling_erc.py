from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from modeling_erc import ErcConfig, ErcForSequenceClassification, ErcModel, fusion_erc
from modeling_erc.configuration_erc import MODALITIES
from modeling_erc.context_erc import CONTEXTS, TransformerContext
from modeling_erc.fusion_erc import FUSIONS
from modeling_erc.losses_erc import ErcLoss
from modeling_erc.processing_erc import ErcProcessor

MakeConfig = Callable[..., ErcConfig]
Dialogues = list[list[dict[str, Any]]]
Inputs = dict[str, Tensor]

SIZES = [5, 1, 3]
every_fusion = pytest.mark.parametrize("fusion", sorted(FUSIONS))
every_position = pytest.mark.parametrize("position", ["before", "after", "both"])
every_context = pytest.mark.parametrize("context", sorted(CONTEXTS))
every_subset = pytest.mark.parametrize("modalities", [("text",), ("audio", "vision"), ("text", "audio", "vision")])


def fresh(config: ErcConfig) -> ErcForSequenceClassification:
    """With no parameter at its first value: biases at zero and norms at one hide what they do."""
    torch.manual_seed(0)
    model = ErcForSequenceClassification(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    for module in model.modules():
        if isinstance(module, TransformerContext):
            torch.nn.init.normal_(module.bias)  # every distance and relation counts
    return model


def pack(config: ErcConfig, dialogues: Dialogues) -> Inputs:
    return dict(ErcProcessor(modalities=config.modalities)(dialogues))


@every_fusion
@every_position
@every_context
@every_subset
def test_shapes_and_zeros_in_padded_slots(
    fusion: str,
    position: str,
    context: str,
    modalities: tuple[str, ...],
    feature_config: MakeConfig,
    feature_dialogues: Dialogues,
) -> None:
    config = feature_config(*modalities, fusion=fusion, context_position=position, context=context)
    inputs, model = pack(config, feature_dialogues), fresh(config)
    output, mask, m = model(**inputs), inputs["utterance_mask"], len(modalities)
    assert output.logits.shape == (3, 5, 3) and output.modality_logits.shape == (3, 5, m, 3)
    assert output.embeddings.shape == (3, 5, 8) and output.prototypes.shape == (3, 8)
    some = inputs["modality_mask"].any(dim=-1)
    assert torch.allclose(output.embeddings.norm(dim=-1)[some], torch.ones(int(some.sum())), atol=1e-5)
    assert torch.allclose(output.prototypes.norm(dim=-1), torch.ones(3), atol=1e-5)
    assert all(value.isfinite().all() for value in output.to_tuple())
    encoded = model.erc(**inputs)
    assert encoded.last_hidden_state.shape == (3, 5, 32) and encoded.modality_states.shape == (3, 5, m, 32)
    assert torch.equal(encoded.modality_mask, inputs["modality_mask"])
    hidden = encoded.last_hidden_state.abs().sum(dim=-1)
    assert not hidden[~mask].any() and hidden[some].all()
    assert torch.equal(encoded.modality_states.abs().sum(dim=-1) > 0, inputs["modality_mask"])
    assert torch.equal(output.last_hidden_state, encoded.last_hidden_state)
    plain_tuple = model(inputs.pop("utterance_mask"), return_dict=False, **inputs)
    assert all(torch.equal(a, b) for a, b in zip(output.to_tuple(), plain_tuple, strict=True))


@every_fusion
@every_position
@pytest.mark.parametrize("garbage", [1e6, -1e6])
def test_garbage_in_padded_places_changes_nothing(
    fusion: str, position: str, garbage: float, feature_config: MakeConfig, feature_dialogues: Dialogues
) -> None:
    config = feature_config(fusion=fusion, context_position=position)
    inputs, model = pack(config, feature_dialogues), fresh(config)
    spoilt = {name: value.clone() for name, value in inputs.items()}
    for m in config.modalities:
        name = MODALITIES[m].features
        spoilt[name][~inputs[f"{name}_mask"]] = garbage
    padded = ~inputs["utterance_mask"]
    spoilt["speaker_ids"][padded] = 0
    spoilt["modality_mask"][padded] = True
    for key, value in model(**inputs).items():
        places = slice(None) if key == "prototypes" else inputs["utterance_mask"]
        assert torch.allclose(model(**spoilt)[key][places].float(), value[places].float(), atol=1e-5), key


@every_fusion
@every_position
@every_subset
def test_a_dialogue_alone_equals_itself_in_a_batch(
    fusion: str,
    position: str,
    modalities: tuple[str, ...],
    feature_config: MakeConfig,
    feature_dialogues: Dialogues,
) -> None:
    config = feature_config(*modalities, fusion=fusion, context_position=position)
    model = fresh(config)
    together = model(**pack(config, feature_dialogues))
    for row, size in enumerate(SIZES):
        alone = model(**pack(config, [feature_dialogues[row]]))
        for key in ("logits", "modality_logits", "embeddings", "last_hidden_state"):
            assert torch.allclose(alone[key][0], together[key][row, :size], atol=1e-5), key


@every_fusion
def test_raw_dialogues_alone_equal_themselves_in_a_batch(
    fusion: str, raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues
) -> None:
    """Text, wav and mp4, through the processor: also padded words and padded sound change nothing."""
    model = fresh(raw_config(fusion=fusion))
    together = model(**processor(dialogues))
    assert together.modality_mask.sum(dim=(0, 1)).tolist() == [4, 4, 3]
    for row, dialogue in enumerate(dialogues):
        alone = model(**processor(dialogue))
        assert torch.equal(alone.modality_mask[0], together.modality_mask[row, : len(dialogue)])
        for key in ("logits", "last_hidden_state"):
            assert torch.allclose(alone[key][0], together[key][row, : len(dialogue)], atol=1e-5), key


@every_fusion
@every_position
def test_taking_a_modality_away_is_as_if_it_had_never_been_there(
    fusion: str, position: str, feature_config: MakeConfig, feature_dialogues: Dialogues
) -> None:
    config = feature_config(fusion=fusion, context_position=position, context="none")
    model = fresh(config)
    before = model(**pack(config, feature_dialogues))
    del feature_dialogues[0][1]["audio_features"]
    after = model(**pack(config, feature_dialogues))
    others = torch.ones(3, 5).bool()
    others[0, 1] = False
    assert torch.allclose(after.logits[others], before.logits[others], atol=1e-5)
    assert not torch.allclose(after.logits[0, 1], before.logits[0, 1], atol=1e-4)
    # A modality that the whole batch lacks need not be given at all.
    silent = [
        [{k: v for k, v in u.items() if k != "audio_features"} for u in dialogue] for dialogue in feature_dialogues
    ]
    inputs = pack(config, silent)
    assert "audio_features" not in inputs
    empty = {"audio_features": torch.zeros(0, 5), "audio_features_mask": torch.zeros(0, 1)}
    assert torch.equal(model(**inputs).logits, model(**inputs, **empty).logits)


@every_fusion
@every_position
@every_context
def test_utterances_without_any_modality_are_finite_forth_and_back(
    fusion: str, position: str, context: str, feature_config: MakeConfig
) -> None:
    config = feature_config(fusion=fusion, context_position=position, context=context)
    model = fresh(config).train()
    mask = torch.tensor([[True, True, False], [True, False, False]])
    nothing = torch.zeros(2, 3, 3).bool()
    output = model(
        utterance_mask=mask,
        modality_mask=nothing,
        text_features=torch.zeros(0, 6),
        labels=torch.tensor([[0, 1, -100], [2, -100, -100]]),
    )
    output.loss.backward()
    assert output.logits.isfinite().all() and output.loss.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("weight", [1.0, 0.5, 0.0])
@every_subset
def test_logits_are_the_weighted_mean_of_the_joint_head_and_those_of_what_is_present(
    modalities: tuple[str, ...], weight: float, feature_config: MakeConfig, feature_dialogues: Dialogues
) -> None:
    config = feature_config(*modalities, modality_logit_weight=weight)
    model, inputs = fresh(config), pack(config, feature_dialogues)
    output, encoded = model(**inputs), model.erc(**inputs)
    for row, size in enumerate(SIZES):
        for column in range(size):
            total, weights = model.classifier(encoded.last_hidden_state[row, column]), 1.0
            for index, m in enumerate(modalities):
                own = model.modality_classifiers[m](encoded.modality_states[row, column, index])
                here = inputs["modality_mask"][row, column, index]
                assert torch.allclose(output.modality_logits[row, column, index], own * here, atol=1e-6)
                if here:
                    total, weights = total + weight * own, weights + weight
            assert torch.allclose(output.logits[row, column], total / weights, atol=1e-5)


def test_a_long_dialogue_goes_through(feature_config: MakeConfig) -> None:
    config = feature_config("text", "audio")
    mask = torch.ones(2, 200).bool()
    features = {"text_features": torch.randn(400, 6), "audio_features": torch.randn(400, 3, 5)}
    logits = fresh(config)(utterance_mask=mask, speaker_ids=torch.randint(9, (2, 200)), **features).logits
    assert logits.shape == (2, 200, 3) and logits.isfinite().all()


@every_position
def test_speakers_matter_only_up_to_renaming(
    position: str, feature_config: MakeConfig, feature_dialogues: Dialogues
) -> None:
    config = feature_config(context_position=position)
    model, inputs = fresh(config), pack(config, feature_dialogues)
    mask = inputs["utterance_mask"]
    logits = model(**inputs).logits[mask]
    renamed = {**inputs, "speaker_ids": 17 - 3 * inputs["speaker_ids"]}
    assert torch.allclose(model(**renamed).logits[mask], logits, atol=1e-6)
    one = {**inputs, "speaker_ids": torch.zeros_like(inputs["speaker_ids"])}
    assert not torch.allclose(model(**one).logits[mask], logits, atol=1e-5)
    del inputs["speaker_ids"]  # by default there is one speaker
    assert torch.equal(model(**inputs).logits, model(**one).logits)


@every_position
def test_who_lacks_a_modality_is_nobodys_context_in_it(
    position: str, feature_config: MakeConfig, feature_dialogues: Dialogues
) -> None:
    config = feature_config("text", context_position=position)
    model = fresh(config)
    for utterance in feature_dialogues[0]:
        utterance["text_features"] = torch.randn(2, 6).numpy()
    del feature_dialogues[0][1]["text_features"]
    before = model(**pack(config, feature_dialogues)).logits[0]
    feature_dialogues[0][1]["speaker"] = feature_dialogues[0][0]["speaker"]
    changed = (model(**pack(config, feature_dialogues)).logits[0] - before).abs().amax(dim=-1) > 1e-6
    # Only the context after the fusion knows of utterances that have nothing; the first and third speaker are one.
    assert changed.tolist() == [position != "before" and column < 3 for column in range(5)]


@every_fusion
@every_position
@pytest.mark.parametrize("settings", [{"context_causal": True}, {"context_window": 1}, {"context": "none"}])
def test_what_an_utterance_may_not_see_does_not_change_it(
    fusion: str, position: str, settings: dict[str, Any], feature_config: MakeConfig, feature_dialogues: Dialogues
) -> None:
    config = feature_config(fusion=fusion, context_position=position, **settings)
    model = fresh(config)
    for utterance in feature_dialogues[0]:
        utterance["text_features"] = torch.randn(2, 6).numpy()
    before = model(**pack(config, feature_dialogues)).logits[0]
    feature_dialogues[0][3].update(speaker="somebody new", text_features=torch.randn(3, 6).numpy())
    after = model(**pack(config, feature_dialogues)).logits[0]
    # Context before and after the fusion is two steps of the window.
    window = (2 if position == "both" else 1) if "context_window" in settings else 0 if "context" in settings else 9
    reached = [column >= 3 if "context_causal" in settings else abs(column - 3) <= window for column in range(5)]
    changed = (after - before).abs().amax(dim=-1)
    assert [bool(c > 1e-6) for c in changed] == reached


@every_position
def test_without_such_a_limit_everyone_hears_of_everyone(
    position: str, feature_config: MakeConfig, feature_dialogues: Dialogues
) -> None:
    config = feature_config("text", context_position=position)
    model = fresh(config)
    before = model(**pack(config, feature_dialogues)).logits
    feature_dialogues[0][4]["text_features"] = torch.randn(2, 6).numpy()
    changed = (model(**pack(config, feature_dialogues)).logits - before).abs().amax(dim=-1) > 1e-6
    has_text = torch.tensor(["text_features" in u for u in feature_dialogues[0]])
    heard = has_text | torch.tensor(position != "before")  # an absent modality has no context vector to hear with
    assert torch.equal(changed[0], heard) and not changed[1:].any()


@pytest.mark.parametrize("rows", [1, 2, 4])
@every_fusion
def test_fusing_few_utterances_at_a_time_changes_nothing(
    fusion: str,
    rows: int,
    feature_config: MakeConfig,
    feature_dialogues: Dialogues,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number, utterance in enumerate(u for dialogue in feature_dialogues for u in dialogue):
        if "audio_features" in utterance:
            utterance["audio_features"] = torch.randn(3 + 4 * number, 5).numpy()
    config = feature_config(fusion=fusion)
    model, inputs = fresh(config), pack(config, feature_dialogues)
    expected = model(**inputs)
    monkeypatch.setattr(fusion_erc, "BUCKET_SIZE", rows)
    calls: list[int] = []
    model.erc.fusion.register_forward_hook(lambda module, args, output: calls.append(len(args[2])))
    grouped = model(**inputs)
    assert max(calls) == rows and sum(calls) == 9
    for key in ("logits", "modality_logits", "last_hidden_state"):
        assert torch.allclose(grouped[key], expected[key], atol=1e-5), key


@every_position
def test_dialogues_of_alike_length_meet_in_the_context_and_nothing_else_changes(
    position: str, feature_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    config = feature_config("text", "audio", context_position=position)
    model, lengths = fresh(config), torch.tensor([3, 25, 1, 18, 9, 30])
    # Two places more than the longest dialogue has.
    mask = torch.arange(32) < lengths[:, None]
    has = torch.rand(6, 32, 2) < 0.8
    has[5, -5:, 0] = False
    present = has & mask[..., None]
    rows = present.sum(dim=(0, 1)).tolist()
    inputs = {
        "utterance_mask": mask,
        "modality_mask": present,
        "speaker_ids": torch.randint(3, (6, 32)),
        "text_features": torch.randn(rows[0], 6),
        "audio_features": torch.randn(rows[1], 5),
    }
    widths: list[int] = []
    for module in model.modules():
        if isinstance(module, TransformerContext):
            module.register_forward_pre_hook(lambda module, given: widths.append(given[0].shape[1]))
    together = model(**inputs)
    assert set(widths) == {18, 30}
    monkeypatch.setattr(TransformerContext, "bucket_size", None)
    padded = model(**inputs)
    assert widths[-1] == 32
    torch.testing.assert_close(together.logits, padded.logits, rtol=0, atol=1e-6)
    torch.testing.assert_close(together.embeddings[mask], padded.embeddings[mask], rtol=0, atol=1e-6)


def test_by_default_everyone_has_what_is_given(feature_config: MakeConfig) -> None:
    model, mask = fresh(feature_config()), torch.tensor([[True, True], [True, False]])
    features = {"text_features": torch.randn(3, 6), "visual_features": torch.randn(3, 4)}
    explicit = torch.tensor([True, False, True]).expand(2, 2, 3)
    output = model(utterance_mask=mask, **features)
    assert torch.equal(output.modality_mask, explicit & mask[..., None])
    assert torch.equal(output.logits, model(utterance_mask=mask, modality_mask=explicit, **features).logits)


@pytest.mark.parametrize("layer", ["last", "mix", "1"])
def test_stored_outputs_of_a_backbone_stand_in_for_it(
    layer: str, raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues
) -> None:
    layers = {f"{m}_layer": layer for m in MODALITIES}
    model, inputs = fresh(raw_config(**layers)), dict(processor(dialogues))
    expected = model(**inputs).logits
    texts = {name: inputs.pop(name) for name in ("input_ids", "attention_mask", "text_token_mask")}
    inputs["text_features"], inputs["text_features_mask"] = model.erc.encoder("text")(**texts)
    sounds = {name: inputs.pop(name) for name in ("audio_values", "audio_attention_mask")}
    inputs["audio_features"], inputs["audio_features_mask"] = model.erc.encoder("audio")(**sounds)
    inputs["visual_features"], _ = model.erc.encoder("vision")(pixel_values=inputs.pop("pixel_values"))
    assert torch.allclose(model(**inputs).logits, expected, atol=1e-6)


def test_feature_statistics_standardise(feature_config: MakeConfig) -> None:
    model = fresh(feature_config("text"))
    mask, features = torch.ones(1, 50).bool(), torch.randn(50, 6)
    expected = model(utterance_mask=mask, text_features=features).logits
    mean, scale = torch.arange(6.0), torch.tensor([1.0, 10.0, 0.1, 5.0, 1.0, 100.0])
    model.set_feature_statistics("text", mean, scale)
    standardised = model(utterance_mask=mask, text_features=features * scale + mean).logits
    assert torch.allclose(standardised, expected, atol=1e-4)
    model.set_feature_statistics("text", mean, torch.zeros(6))
    assert model(utterance_mask=mask, text_features=mean.expand(50, 6)).logits.isfinite().all()


def test_a_feature_that_was_constant_in_training_is_ignored_in_use(feature_config: MakeConfig) -> None:
    model = fresh(feature_config("text"))
    model.set_feature_statistics("text", torch.zeros(6), torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 0.0]))
    features = torch.randn(2, 6)
    features[1, :5] = features[0, :5]
    logits = model(utterance_mask=torch.ones(2, 1).bool(), text_features=features).logits
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=1e-5)


def test_the_loss_is_that_of_the_config(feature_config: MakeConfig, feature_dialogues: Dialogues) -> None:
    config = feature_config(class_weights=[1.0, 2.0, 3.0], contrastive_weight=0.5)
    model, labels = fresh(config), torch.tensor([[0, 1, 2, 2, -100], [1] + [-100] * 4, [0, 0, 1, -100, -100]])
    output = model(**pack(config, feature_dialogues), labels=labels)
    assert torch.equal(output.loss, ErcLoss(config)(output, labels)) and output.loss > 0
    assert model(**pack(config, feature_dialogues)).loss is None
    assert fresh(feature_config(contrastive="none"))(**pack(config, feature_dialogues)).embeddings is None


def test_what_does_not_fit_is_named(feature_config: MakeConfig) -> None:
    model, mask = fresh(feature_config("text", "audio")), torch.ones(1, 3).bool()
    with pytest.raises(ValueError, match=r"no input for any of the model's modalities \(text, audio\)"):
        model(utterance_mask=mask, visual_features=torch.randn(3, 4))
    with pytest.raises(ValueError, match=r"2 rows of audio for 3 utterances that have it \(modality_mask\)"):
        model(utterance_mask=mask, audio_features=torch.randn(2, 5))
    with pytest.raises(ValueError, match=r"modality_mask has 3 column\(s\), not text, audio: set processor"):
        model(utterance_mask=mask, modality_mask=torch.ones(1, 3, 3).bool(), text_features=torch.randn(3, 6))
    with pytest.raises(ValueError, match="the config has no modality: give the config of a backbone"):
        ErcModel(ErcConfig())


def test_features_far_from_those_of_training_give_finite_logits(feature_config: MakeConfig) -> None:
    config = feature_config("text", "audio")
    model, sizes = fresh(config), config.feature_sizes or {}
    model.set_feature_statistics("text", torch.zeros(sizes["text"]), torch.full((sizes["text"],), 0.01))
    features = {f"{m}_features": torch.randn(3, size) for m, size in sizes.items()}
    mask = torch.ones(1, 3, dtype=torch.bool)
    for value in (1e38, -1e38, torch.finfo(torch.float32).max):
        features["text_features"][1] = value
        assert model(utterance_mask=mask, **features).logits.isfinite().all()
