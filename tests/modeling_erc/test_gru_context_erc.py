from typing import Any

import pytest
import torch
from torch import Tensor

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.context_erc import GruContext

HIDDEN = 8


def make(**settings: Any) -> GruContext:
    torch.manual_seed(0)
    config = ErcConfig(feature_sizes={"text": 4}, hidden_size=HIDDEN, num_attention_heads=2, context="gru", **settings)
    return GruContext(config).eval()


def inputs(batch: int = 3, utterances: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    mask = torch.rand(batch, utterances) < 0.7
    mask[0] = True
    speakers = torch.randint(0, 3, (batch, utterances))
    return torch.randn(batch, utterances, HIDDEN), mask, speakers


def slow(gru: torch.nn.GRU, states: Tensor, seen: list[bool], directions: int) -> Tensor:
    """What each step of one sequence gets, by running the recurrence step by step over the seen ones."""
    width = gru.hidden_size
    kept = [i for i, here in enumerate(seen) if here]
    out = gru(states[kept][None])[0][0] if kept else torch.zeros(0, directions * width)
    rows = []
    for i in range(len(seen)):
        past = [k for k, j in enumerate(kept) if j <= i]
        future = [k for k, j in enumerate(kept) if j >= i]
        row = [out[past[-1], :width] if past else torch.zeros(width)]
        if directions == 2:
            row.append(out[future[0], width:] if future else torch.zeros(width))
        rows.append(torch.cat(row))
    return torch.stack(rows)


@pytest.mark.parametrize("causal", [False, True])
def test_states_equal_those_of_one_sequence_after_the_other(causal: bool) -> None:
    context = make(context_causal=causal)
    hidden, mask, speakers = inputs()
    directions = 1 if causal else 2
    normed = context.input_norm(hidden)
    expected = torch.empty_like(hidden)
    for b in range(len(hidden)):
        heard = slow(context.dialogue, normed[b], mask[b].tolist(), directions)
        own = torch.zeros_like(heard)
        for speaker in speakers[b].unique():
            turns = (speakers[b] == speaker).nonzero()[:, 0]
            own[turns] = slow(context.speaker, normed[b][turns], mask[b][turns].tolist(), directions)
        expected[b] = context.norm(hidden[b] + context.merge(torch.cat([heard, own], dim=-1)))
    torch.testing.assert_close(context(hidden, mask, speakers), expected, atol=1e-6, rtol=1e-5)


def test_padding_changes_nothing() -> None:
    context = make()
    hidden, mask, speakers = inputs()
    padded = torch.nn.functional.pad(hidden, (0, 0, 0, 5), value=7.0)
    longer = context(padded, torch.nn.functional.pad(mask, (0, 5)), torch.nn.functional.pad(speakers, (0, 5), value=-1))
    torch.testing.assert_close(longer[:, :7], context(hidden, mask, speakers))


def test_dialogues_and_names_of_speakers_do_not_matter_to_each_other() -> None:
    context = make()
    hidden, mask, speakers = inputs()
    together = context(hidden, mask, speakers)
    torch.testing.assert_close(context(hidden[1:2], mask[1:2], speakers[1:2] * 10 + 5), together[1:2])


def test_a_causal_context_does_not_see_what_follows() -> None:
    context = make(context_causal=True)
    hidden, mask, speakers = inputs()
    changed = hidden.clone()
    changed[:, 4:] += 1.0
    assert torch.equal(context(changed, mask, speakers)[:, :4], context(hidden, mask, speakers)[:, :4])
    assert not torch.equal(make()(changed, mask, speakers)[:, :4], make()(hidden, mask, speakers)[:, :4])


def test_nothing_at_all_to_see_stays_finite() -> None:
    hidden, _, speakers = inputs()
    assert make()(hidden, torch.zeros(3, 7, dtype=torch.bool), speakers).isfinite().all()


def test_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="no window"):
        make(context_window=3)


def test_a_model_with_it_learns_how_far_into_the_dialogue_it_is() -> None:
    torch.manual_seed(0)
    config = ErcConfig(feature_sizes={"text": 4}, hidden_size=32, num_labels=3, context="gru", contrastive="none")
    model = ErcForSequenceClassification(config)
    mask = torch.ones(4, 9, dtype=torch.bool)
    labels = torch.arange(9).div(3, rounding_mode="floor").expand(4, 9)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        output = model(mask, text_features=torch.randn(36, 4), labels=labels)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    predicted = model.eval()(mask, text_features=torch.randn(36, 4)).logits.argmax(-1)
    assert (predicted == labels).float().mean() > 0.9


def test_autocast_leaves_the_recurrence_in_full_precision() -> None:
    context = make()
    hidden, mask, speakers = inputs()
    states, dialogues = hidden.flatten(0, 1), torch.arange(3).repeat_interleave(7)
    expected = context._run(context.dialogue, states, dialogues, mask.flatten())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(context._run(context.dialogue, states, dialogues, mask.flatten()), expected)
        # What a layer before it has cast is no obstacle.
        assert context(hidden.bfloat16(), mask, speakers).isfinite().all()
