import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from modeling_erc import ErcConfig, ErcModel, context_erc
from modeling_erc.context_erc import CONTEXTS, TransformerContext, distances, visible_utterances

MakeConfig = Callable[..., ErcConfig]

# Dialogues of 6, 3 and 1 utterances.
MASK = torch.arange(6) < torch.tensor([[6], [3], [1]])
SPEAKERS = torch.tensor([[0, 1, 0, 2, 1, 0], [5, 5, 9, -1, -1, -1], [0, 7, 7, 7, 7, 7]])
every_context = pytest.mark.parametrize("name", sorted(CONTEXTS))


def untrained(make_config: MakeConfig, name: str = "transformer", **settings: object) -> nn.Module:
    torch.manual_seed(0)
    model = ErcModel(make_config("text", context=name, context_position="after", **settings))
    assert model.context_after is not None
    return model.context_after.eval()


def fresh(make_config: MakeConfig, name: str = "transformer", **settings: object) -> nn.Module:
    """With random biases, so that every distance and relation counts."""
    context = untrained(make_config, name, **settings)
    if isinstance(context, TransformerContext):
        nn.init.normal_(context.bias)
    return context


def states(length: int = 6) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(3, length, 32)


def table(text: str) -> list[list[bool]]:
    return [[place == "x" for place in row] for row in text.split()]


@pytest.mark.parametrize(
    ("causal", "window", "expected"),
    [
        (False, None, "xx.x xx.x xxxx xx.x"),
        (True, None, "x... xx.. xxx. xx.x"),
        (False, 1, "xx.. xx.. .xxx ...x"),
        (True, 1, "x... xx.. .xx. ...x"),
        (False, 0, "x... .x.. ..x. ...x"),
    ],
)
def test_which_utterance_sees_which(causal: bool, window: int | None, expected: str) -> None:
    mask = torch.tensor([[True, True, False, True]])
    distance = distances(slice(0, 4), slice(0, 4), mask.device)
    assert visible_utterances(mask, distance, causal=causal, window=window)[0].tolist() == table(expected)


@every_context
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "settings", [{}, {"context_causal": True, "num_context_layers": 2}, {"context_window": 3}, {"context_window": 0}]
)
def test_blocks_equal_one_pass_in_result_and_gradient(
    name: str, training: bool, settings: dict[str, Any], feature_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "gru" and "context_window" in settings:
        pytest.skip("a recurrence has no window")
    context = fresh(feature_config, name, hidden_dropout_prob=0.0, **settings).double().train(training)
    mask, speakers = torch.rand(2, 23) < 0.8, torch.randint(3, (2, 23))
    found = []
    for block in (64, 5, 1):
        monkeypatch.setattr(context_erc, "BLOCK", block)
        torch.manual_seed(2)
        hidden = torch.randn(2, 23, 32, dtype=torch.float64, requires_grad=True)
        output = context(hidden, mask, speakers)
        gradients = torch.autograd.grad((output * torch.randn_like(output)).sum(), [hidden, *context.parameters()])
        found.append([output, *gradients])
    for blocks in found[1:]:
        torch.testing.assert_close(blocks, found[0], rtol=0, atol=1e-6)


def test_blocks_draw_the_same_dropout_in_the_backward_pass(
    feature_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context_erc, "BLOCK", 2)
    context = fresh(feature_config, hidden_dropout_prob=0.5).double().train()

    def output(hidden: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)
        result: torch.Tensor = context(hidden, MASK, SPEAKERS)
        return result

    assert torch.autograd.gradcheck(output, states().double().requires_grad_(), fast_mode=True)


def bytes_kept(context: nn.Module, length: int) -> int:
    """Of what the backward pass needs."""
    hidden, mask = torch.randn(1, length, 32, requires_grad=True), torch.ones(1, length, dtype=torch.bool)
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        context(hidden, mask, mask.long())
    return sum(kept.values())


@every_context
def test_memory_of_training_is_linear_in_the_length(name: str, feature_config: MakeConfig) -> None:
    context = fresh(feature_config, name).train()
    assert bytes_kept(context, 2048) <= 2.2 * bytes_kept(context, 1024)


@pytest.mark.parametrize(
    ("settings", "training", "bounded"),
    [({}, False, True), ({}, True, False), ({"context_window": 30}, False, False)],
)
def test_attention_over_a_very_long_dialogue_has_a_window_in_inference(
    settings: dict[str, Any],
    training: bool,
    bounded: bool,
    feature_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"BLOCK": 4, "LONG": 40, "LONG_WINDOW": 5}.items():
        monkeypatch.setattr(context_erc, name, value)
    context = fresh(feature_config, hidden_dropout_prob=0.0, **settings).train(training)
    for length in (40, 41):
        mask, hidden = torch.ones(3, length, dtype=torch.bool), states(length)
        before = context(hidden, mask, mask.long())
        hidden[:, 0] = torch.randn(3, 32)
        changed = (context(hidden, mask, mask.long()) - before).abs().amax(dim=(0, 2)) > 1e-7
        window = 5 if bounded and length > 40 else settings.get("context_window", length)
        assert changed.tolist() == [place <= window for place in range(length)]


@every_context
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("garbage", [1e6, -3.0])
def test_masked_slots_change_nothing(name: str, causal: bool, garbage: float, feature_config: MakeConfig) -> None:
    context = fresh(feature_config, name, context_causal=causal)
    hidden, holes = states(), MASK & (torch.arange(6) != 1)
    expected = context(hidden, holes, SPEAKERS)[holes]
    spoilt = hidden.masked_fill(~holes[..., None], garbage)
    assert torch.allclose(context(spoilt, holes, SPEAKERS.masked_fill(~holes, 0))[holes], expected, atol=1e-5)


@every_context
@pytest.mark.parametrize("settings", [{}, {"context_causal": True}, {"context_window": 2}, {"num_context_layers": 2}])
def test_a_dialogue_alone_equals_itself_in_a_batch(
    name: str, settings: dict[str, object], feature_config: MakeConfig
) -> None:
    if name == "gru" and "context_window" in settings:
        pytest.skip("a recurrence has no window")
    context = fresh(feature_config, name, **settings)
    together = context(states(), MASK, SPEAKERS)
    assert together.shape == (3, 6, 32) and together.isfinite().all()
    for row, length in enumerate(MASK.sum(dim=1).tolist()):
        alone = context(
            states()[row : row + 1, :length], MASK[row : row + 1, :length], SPEAKERS[row : row + 1, :length]
        )
        assert torch.allclose(alone, together[row : row + 1, :length], atol=1e-5)


def test_speakers_matter_only_up_to_renaming(feature_config: MakeConfig) -> None:
    context = fresh(feature_config)
    output = context(states(), MASK, SPEAKERS)
    renamed = torch.tensor([[8, 3, 8, 1, 3, 8], [0, 0, 1, 0, 0, 0], [4, 0, 0, 0, 0, 0]])
    assert torch.allclose(context(states(), MASK, renamed)[MASK], output[MASK], atol=1e-6)
    others = torch.tensor([[0, 1, 0, 2, 0, 0], [5, 9, 9, 0, 0, 0], [0, 7, 7, 7, 7, 7]])
    changed = (context(states(), MASK, others) - output).abs().amax(dim=-1) > 1e-6
    # To the only speaker 2 the fifth utterance is somebody else's before and after.
    assert changed[0].tolist() == [True, True, True, False, True, True]
    assert changed[1, :3].all() and not changed[2, 0]


@pytest.mark.parametrize("layers", [1, 2])
def test_causal_context_does_not_know_the_future(layers: int, feature_config: MakeConfig) -> None:
    context = fresh(feature_config, context_causal=True, num_context_layers=layers)
    hidden = states()
    output = context(hidden, MASK, SPEAKERS)
    hidden[:, 4:] = torch.randn(3, 2, 32)
    speakers = SPEAKERS.clone()
    speakers[0, 4:] = 3
    later = context(hidden, MASK, speakers)
    assert torch.allclose(later[0, :4], output[0, :4], atol=1e-6)
    assert not torch.allclose(later[0, 4:], output[0, 4:], atol=1e-2)


def test_without_causal_the_past_hears_of_the_future(feature_config: MakeConfig) -> None:
    context, hidden = fresh(feature_config), states()
    output = context(hidden, MASK, SPEAKERS)
    hidden[0, 5] = torch.randn(32)
    assert (context(hidden, MASK, SPEAKERS)[0, :5] - output[0, :5]).abs().amax(dim=-1).min() > 1e-6


@pytest.mark.parametrize("window", [0, 1, 2])
def test_a_window_ends_where_it_says(window: int, feature_config: MakeConfig) -> None:
    context, hidden = fresh(feature_config, context_window=window), states()
    output = context(hidden, MASK, SPEAKERS)
    hidden[0, 3] = torch.randn(32)
    changed = (context(hidden, MASK, SPEAKERS)[0] - output[0]).abs().amax(dim=-1) > 1e-6
    assert changed.tolist() == [abs(place - 3) <= window for place in range(6)]


def test_order_and_distance_matter(feature_config: MakeConfig) -> None:
    context, hidden = fresh(feature_config), states()
    speakers, mask = torch.zeros(3, 6, dtype=torch.long), torch.ones(3, 6, dtype=torch.bool)
    swapped = hidden[:, [0, 2, 1, 3, 4, 5]]
    assert not torch.allclose(context(swapped, mask, speakers)[:, 5], context(hidden, mask, speakers)[:, 5], atol=1e-4)


@pytest.mark.parametrize(("same", "distance"), [(0, -1), (0, 2), (1, -2), (1, 1)])
def test_a_bias_belongs_to_one_relation_and_distance(same: int, distance: int, feature_config: MakeConfig) -> None:
    context, hidden, mask = fresh(feature_config), states(), torch.ones(3, 6, dtype=torch.bool)
    assert isinstance(context, TransformerContext)
    nn.init.constant_(context.bias, -1e4)  # with this one place left, everyone hears of one other only
    context.bias.data[same * (2 * context.max_distance + 1) + context.max_distance + distance] = 0.0
    for speakers, heard in ((torch.zeros(6).long(), same == 1), (torch.arange(6), same == 0)):
        output = context(hidden, mask, speakers.expand(3, 6))
        other = hidden.clone()
        other[:, 3] = torch.randn(3, 32)
        changed = (context(other, mask, speakers.expand(3, 6)) - output).abs().amax(dim=(0, 2)) > 1e-5
        for place in range(6):
            alone = heard and 0 <= place + distance < 6  # else nobody is preferred
            assert changed[place] == (not alone or place == 3 or place + distance == 3)


def test_two_hundred_utterances_share_the_bias_of_far_ones(feature_config: MakeConfig) -> None:
    context = fresh(feature_config)
    hidden, mask = states(200), torch.ones(3, 200, dtype=torch.bool)
    output = context(hidden, mask, mask.long())
    assert output.shape == (3, 200, 32) and output.isfinite().all()
    far = hidden[:, [0, 2, 1, *range(3, 200)]]
    assert torch.allclose(context(far, mask, mask.long())[:, 150:], output[:, 150:], atol=1e-5)


def test_gradient_reaches_every_bias_that_a_long_dialogue_uses(feature_config: MakeConfig) -> None:
    context = fresh(feature_config)
    mask, speakers = torch.ones(3, 30, dtype=torch.bool), torch.randint(2, (3, 30))
    (context(states(30), mask, speakers) * torch.randn(3, 30, 32)).sum().backward()
    for name, parameter in context.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0, name
    assert isinstance(context, TransformerContext) and context.bias.grad is not None
    unused = context.max_distance  # no utterance is at no distance from itself and another speaker's
    assert (context.bias.grad.abs() > 0).all(dim=1).logical_not().nonzero().flatten().tolist() == [unused]


def test_each_of_the_first_four_heads_starts_on_a_relation_of_its_own(feature_config: MakeConfig) -> None:
    context = untrained(feature_config)
    assert isinstance(context, TransformerContext)
    distances = 2 * context.max_distance + 1
    favourites = [divmod(int(place), distances) for place in context.bias.argmax(dim=0)]
    relations = {(same, distance - context.max_distance) for same, distance in favourites}
    assert relations == {(0, -1), (0, 1), (1, -1), (1, 1)}


def test_heads_beyond_four_start_on_the_same_relations_with_half_the_slope(feature_config: MakeConfig) -> None:
    context = CONTEXTS["transformer"](feature_config(num_attention_heads=8))
    assert isinstance(context, TransformerContext)
    bias = context.initial_bias().unflatten(0, (2, -1))  # (same speaker, distance, head)
    for head in range(8):
        past, same_speaker = head % 2 == 0, head // 2 % 2
        steps = [d for d in range(-context.max_distance, context.max_distance + 1) if (d < 0 if past else d > 0)]
        for step in steps:
            slope = 1.0 if head < 4 else 0.5
            assert bias[same_speaker, step + context.max_distance, head] == -slope * abs(step)
        assert (bias[:, :, head] == context.away).sum() >= 2 * 17 - len(steps)


def test_without_context_everyone_stays_alone(feature_config: MakeConfig) -> None:
    assert torch.equal(fresh(feature_config, "none")(states(), MASK, SPEAKERS), states())


def test_an_unknown_context_is_named_with_the_choices(feature_config: MakeConfig) -> None:
    with pytest.raises(ValueError, match=r"unknown context 'transfomer'.*Did you mean 'transformer'"):
        ErcModel(feature_config(context="transfomer"))


@pytest.mark.parametrize("causal", [False, True])
def test_the_relational_context_is_a_weighted_mean_over_each_relation(causal: bool, feature_config: MakeConfig) -> None:
    context = fresh(feature_config, "relational", context_causal=causal, context_window=3)
    layer: Any = context.layers[0]  # type: ignore[index]
    hidden = states()
    seen = MASK & (torch.arange(6) != 1)
    output = context(hidden, seen, SPEAKERS)
    with torch.no_grad():
        for row in range(3):
            for here in range(int(MASK[row].sum())):
                parts = [layer.norm(hidden[row, here])]
                for past, same in ((True, True), (True, False), (False, True), (False, False))[: 2 if causal else 4]:
                    total, sum_of_weights = torch.zeros(32), 0.0
                    for there in range(6):
                        related = (SPEAKERS[row, there] == SPEAKERS[row, here]).item() == same
                        direction = there < here if past else there > here
                        if seen[row, there] and related and direction and abs(there - here) <= 3:
                            weight = math.exp(-abs(there - here) / 5)
                            total += weight * layer.norm(hidden[row, there])
                            sum_of_weights += weight
                    parts.append(total / (sum_of_weights or 1.0))
                mixed = nn.functional.gelu(layer.mix(torch.cat(parts)))
                expected = context.norm(hidden[row, here] + mixed)  # type: ignore[operator]
                torch.testing.assert_close(output[row, here], expected, atol=1e-5, rtol=0)


def test_a_relational_context_that_reads_later_utterances_cannot_step(feature_config: MakeConfig) -> None:
    context = fresh(feature_config, "relational")
    one = torch.ones(1, 1)
    with pytest.raises(ValueError, match="steps only with context_causal"):
        context.step(torch.zeros(1, 1, 32), one.bool(), one.long(), None)  # type: ignore[operator]
