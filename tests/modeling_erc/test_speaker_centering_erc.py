"""Modalities that are taken relative to the mean of their speaker."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from modeling_erc import ErcConfig, ErcForSequenceClassification, context_erc
from modeling_erc.context_erc import SpeakerCentering
from modeling_erc.processing_erc import ErcProcessor
from tests.conftest import perturbed

MakeConfig = Callable[..., ErcConfig]

# Two dialogues of 5 and 2 utterances; the third utterance of the first one lacks the modality.
MASK = torch.tensor([[True, True, False, True, True], [True, True, False, False, False]])
SPEAKERS = torch.tensor([[0, 1, 0, 0, 0], [0, 0, 0, 0, 0]])


def centering(make_config: MakeConfig, *, causal: bool = False) -> SpeakerCentering:
    return SpeakerCentering(make_config("audio", context_causal=causal)).eval()


def test_each_speaker_of_each_dialogue_has_a_mean_of_its_own(feature_config: MakeConfig) -> None:
    states = torch.tensor([[6.0, 8.0, 100.0, 12.0, 3.0], [4.0, 1.0, 100.0, 100.0, 100.0]])[..., None]
    shifts = centering(feature_config)(states, MASK, SPEAKERS)[..., 0]
    # (6 + 12 + 3) / (3 + 3), 8 / (1 + 3) and (4 + 1) / (2 + 3).
    assert shifts[0].tolist() == [-3.5, -2.0, -3.5, -3.5, -3.5]
    assert shifts[1, :2].tolist() == [-1.0, -1.0]


def test_a_causal_mean_is_that_of_the_utterances_so_far(feature_config: MakeConfig) -> None:
    states = torch.tensor([6.0, 8.0, 100.0, 12.0, 3.0])[None, :, None]
    module = centering(feature_config, causal=True)
    whole = module(states, MASK[:1], SPEAKERS[:1])
    assert whole[0, :, 0].tolist() == pytest.approx([-6 / 4, -8 / 4, -6 / 4, -18 / 5, -21 / 6])
    state, steps = None, []
    for place in range(5):
        now = slice(place, place + 1)
        shift, state = module.step(states[:, now], MASK[:1, now], SPEAKERS[:1, now], state)
        steps.append(shift)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole)


def test_a_stream_in_bf16_counts_beyond_256_utterances(feature_config: MakeConfig) -> None:
    module, state = centering(feature_config, causal=True), None
    one = torch.ones(1, 1, 4, dtype=torch.bfloat16)
    for _ in range(300):
        shift, state = module.step(one, torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 1, dtype=torch.long), state)
    assert state is not None and shift.dtype == torch.bfloat16 and state[0][1] == 300


@pytest.mark.parametrize("causal", [False, True])
def test_blocks_equal_one_pass(causal: bool, feature_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    module = centering(feature_config, causal=causal)
    states, mask, speakers = torch.randn(2, 23, 8), torch.rand(2, 23) < 0.8, torch.randint(3, (2, 23))
    whole = module(states, mask, speakers)
    monkeypatch.setattr(context_erc, "BLOCK", 5)
    torch.testing.assert_close(module(states, mask, speakers), whole)


def others_in_the_mean(module: SpeakerCentering, utterances: int) -> torch.Tensor:
    """Returns how many others are in the mean of each utterance of 30 speakers."""
    speakers = torch.zeros(30, utterances, dtype=torch.long)
    means = -module.train()(torch.ones(30, utterances, 1), torch.ones_like(speakers, dtype=torch.bool), speakers)
    return (means * module.PRIOR / (1 - means)).round().squeeze(-1) - 1


def test_in_training_the_mean_is_of_few_utterances_as_often_as_of_many(feature_config: MakeConfig) -> None:
    others = others_in_the_mean(centering(feature_config), 64)
    assert others.min() == 0 and others.max() > 50
    # Between 1 and 64, half of them are below 8, the geometric middle.
    assert (others < 8).float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_in_training_a_causal_mean_is_that_of_earlier_utterances(feature_config: MakeConfig) -> None:
    others = others_in_the_mean(centering(feature_config, causal=True), 64)
    assert (others >= 0).all() and (others <= torch.arange(64)).all() and others.max() > 50


def voices(offset: float) -> list[dict[str, object]]:
    """Utterances of Ann, whose features are higher by `offset`, and of Bo."""
    noise = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    noise[::2] += offset
    return [{"speaker": ("Ann", "Bo")[place % 2], "audio_features": row} for place, row in enumerate(noise)]


def test_a_voice_that_is_always_higher_changes_little(feature_config: MakeConfig) -> None:
    moved = {}
    for modalities in ([], ["audio"]):
        config = feature_config("audio", context="none", centered_modalities=modalities)
        model, processor = perturbed(config), ErcProcessor(modalities=["audio"])
        low, high = (model(**processor(voices(offset))).logits for offset in (0.0, 1.0))
        moved[bool(modalities)] = (high - low)[:, ::2].abs().mean().item()
    assert moved[True] < 0.3 * moved[False]


def test_a_modality_that_the_model_lacks_is_no_error(feature_config: MakeConfig) -> None:
    model = perturbed(feature_config("audio", centered_modalities=["audio", "vision"]))
    assert list(model.erc.centering) == ["audio"]


def test_it_needs_no_weights(feature_config: MakeConfig) -> None:
    plain, centered = (
        ErcForSequenceClassification(feature_config("audio", centered_modalities=names)) for names in ([], ["audio"])
    )
    assert plain.state_dict().keys() == centered.state_dict().keys()
