from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from modeling_erc import ErcConfig, ErcModel
from modeling_erc.fusion_erc import FUSIONS, ConcatFusion, Fusion, FusionOutput, JointVectorFusion

MakeConfig = Callable[..., ErcConfig]
Inputs = tuple[dict[str, Tensor], dict[str, Tensor], Tensor]

LENGTHS = {"text": 5, "audio": 7, "vision": 1}
# Which modality each of six utterances has, in the order above; the fourth one has none.
PRESENT = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1], [0, 1, 1]]).bool()
NAMES = ["concat", "cross_attention", "gated", "joint_vector", "tensor"]
every_fusion = pytest.mark.parametrize("name", NAMES)
every_subset = pytest.mark.parametrize("modalities", [("text",), ("audio", "vision"), ("text", "audio", "vision")])


def fresh(name: str, make_config: MakeConfig, *modalities: str) -> Fusion:
    """With no parameter at its first value: biases at zero and norms at one hide what they do."""
    torch.manual_seed(0)
    fusion = ErcModel(make_config(*modalities, fusion=name)).fusion.eval()
    for parameter in fusion.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return fusion


def inputs_for(fusion: Fusion) -> Inputs:
    """Random tokens; odd utterances have one token less than there is room for, absent modalities have none."""
    torch.manual_seed(1)
    columns = [list(LENGTHS).index(m) for m in fusion.modalities]
    tokens, token_mask = {}, {}
    for m, column in zip(fusion.modalities, columns, strict=True):
        tokens[m] = torch.randn(len(PRESENT), LENGTHS[m], 32)
        room = torch.full((len(PRESENT),), LENGTHS[m]) - (torch.arange(len(PRESENT)) % 2) * (LENGTHS[m] > 1)
        token_mask[m] = (torch.arange(LENGTHS[m]) < room[:, None]) & PRESENT[:, column, None]
    return tokens, token_mask, PRESENT[:, columns]


def assert_equal(first: FusionOutput, second: FusionOutput, present: Tensor, rows: slice = slice(None)) -> None:
    assert torch.allclose(first.joint, second.joint[rows], atol=1e-5)
    for column, m in enumerate(first.per_modality):
        here = present[rows, column]
        assert torch.allclose(first.per_modality[m][here], second.per_modality[m][rows][here], atol=1e-5)


def loss(output: FusionOutput) -> Tensor:
    """Random weights: the norms at the end hide a plain sum of their outputs."""
    states = torch.cat([output.joint, *output.per_modality.values()])
    return (states * torch.randn(states.shape, generator=torch.Generator().manual_seed(2))).sum()


def test_the_fusions_are_these() -> None:
    assert sorted(FUSIONS) == NAMES and ErcConfig().fusion == "joint_vector"


@every_fusion
@every_subset
def test_one_joint_feature_an_utterance_and_one_for_each_modality(
    name: str, modalities: tuple[str, ...], feature_config: MakeConfig
) -> None:
    fusion = fresh(name, feature_config, *modalities)
    output = fusion(*inputs_for(fusion))
    assert output.joint.shape == (6, 32) and output.joint.isfinite().all()
    assert tuple(output.per_modality) == modalities
    assert all(states.shape == (6, 32) and states.isfinite().all() for states in output.per_modality.values())


@every_fusion
@every_subset
@pytest.mark.parametrize("garbage", [1e6, -1e6, 3.0, float("nan"), float("inf")])
def test_masked_tokens_and_absent_modalities_change_nothing(
    name: str, modalities: tuple[str, ...], garbage: float, feature_config: MakeConfig
) -> None:
    fusion = fresh(name, feature_config, *modalities)
    tokens, token_mask, present = inputs_for(fusion)
    spoilt = {m: states.masked_fill(~token_mask[m][..., None], garbage) for m, states in tokens.items()}
    clean, dirty = fusion(tokens, token_mask, present), fusion(spoilt, token_mask, present)
    assert_equal(dirty, clean, present)
    expected = torch.autograd.grad(loss(clean), list(fusion.parameters()))
    for found, grad in zip(torch.autograd.grad(loss(dirty), list(fusion.parameters())), expected, strict=True):
        assert torch.allclose(found, grad, rtol=1e-4, atol=1e-5)


@every_fusion
@every_subset
def test_order_of_the_batch_is_order_of_the_output(
    name: str, modalities: tuple[str, ...], feature_config: MakeConfig
) -> None:
    fusion = fresh(name, feature_config, *modalities)
    tokens, token_mask, present = inputs_for(fusion)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    moved = fusion(
        {m: t[order] for m, t in tokens.items()}, {m: t[order] for m, t in token_mask.items()}, present[order]
    )
    expected = fusion(tokens, token_mask, present)
    ordered = FusionOutput(expected.joint[order], {m: s[order] for m, s in expected.per_modality.items()})
    assert_equal(moved, ordered, present[order])


@every_fusion
@every_subset
def test_an_utterance_alone_equals_itself_in_a_batch(
    name: str, modalities: tuple[str, ...], feature_config: MakeConfig
) -> None:
    fusion = fresh(name, feature_config, *modalities)
    tokens, token_mask, present = inputs_for(fusion)
    together = fusion(tokens, token_mask, present)
    for row in range(len(present)):
        ends = {m: max(int(mask[row].sum()), 1) for m, mask in token_mask.items()}
        alone = fusion(
            {m: tokens[m][row : row + 1, : ends[m]] for m in tokens},
            {m: token_mask[m][row : row + 1, : ends[m]] for m in tokens},
            present[row : row + 1],
        )
        assert_equal(alone, together, present, slice(row, row + 1))


@every_fusion
@every_subset
def test_every_token_of_every_present_modality_reaches_the_joint_feature(
    name: str, modalities: tuple[str, ...], feature_config: MakeConfig
) -> None:
    fusion = fresh(name, feature_config, *modalities)
    tokens, token_mask, present = inputs_for(fusion)
    for states in tokens.values():
        states.requires_grad_()
    # The norm at the end hides a plain sum of its outputs.
    (fusion(tokens, token_mask, present).joint * torch.randn(6, 32)).sum().backward()
    for m, states in tokens.items():
        assert states.grad is not None
        assert torch.equal(states.grad.abs().sum(dim=-1) > 0, token_mask[m]), m


@every_fusion
@every_subset
def test_gradient_reaches_every_parameter_even_beside_an_utterance_without_any_modality(
    name: str, modalities: tuple[str, ...], feature_config: MakeConfig
) -> None:
    fusion = fresh(name, feature_config, *modalities)
    loss(fusion(*inputs_for(fusion))).backward()
    for key, parameter in fusion.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0, key


@every_fusion
def test_what_a_present_modality_does_to_the_joint_feature_depends_on_the_others(
    name: str, feature_config: MakeConfig
) -> None:
    """What a change of text does is another thing once audio, or vision, is another: they are fused, not added up."""
    fusion = fresh(name, feature_config)
    first, token_mask, present = inputs_for(fusion)
    other = {m: torch.randn_like(states) for m, states in first.items()}

    def joint(*changed: str) -> Tensor:
        tokens = {m: other[m] if m in changed else first[m] for m in first}
        states: Tensor = fusion(tokens, token_mask, present).joint[0]
        return states

    for m in ("text", "audio", "vision"):
        assert (joint(m) - joint()).abs().max() > 0.05, m
    for one, two in (("text", "audio"), ("text", "vision"), ("audio", "vision")):
        together = joint(one, two) - joint(one) - joint(two) + joint()
        assert together.abs().max() > 0.05, (one, two)


@every_fusion
def test_it_learns_whether_two_modalities_agree(name: str, feature_config: MakeConfig) -> None:
    """Exclusive or: neither modality says anything about the class by itself."""
    torch.manual_seed(0)
    signs = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]]).repeat(16, 1).float()
    label = (signs[:, 0] != signs[:, 1]).float()
    config = feature_config("text", "audio", fusion=name, initializer_range=0.1)
    fusion, head = ErcModel(config).fusion.train(), nn.Linear(32, 1)
    directions = torch.randn(2, 32)
    tokens = {
        m: (signs[:, i, None] * directions[i] + 0.1 * torch.randn(64, 32))[:, None]
        for i, m in enumerate(LENGTHS)
        if i < 2
    }
    token_mask, present = {m: torch.ones(64, 1).bool() for m in tokens}, torch.ones(64, 2).bool()
    optimizer = torch.optim.Adam([*fusion.parameters(), *head.parameters()], lr=3e-3)
    train, test = slice(0, 32), slice(32, 64)

    def scores(rows: slice) -> Tensor:
        output = fusion(
            {m: t[rows] for m, t in tokens.items()}, {m: t[rows] for m, t in token_mask.items()}, present[rows]
        )
        answers: Tensor = head(output.joint)[:, 0]
        return answers

    for _step in range(60):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(scores(train), label[train]).backward()
        optimizer.step()
    assert torch.equal(scores(test) > 0, label[test].bool())


@every_fusion
def test_a_batch_in_which_nobody_has_anything_is_finite(name: str, feature_config: MakeConfig) -> None:
    fusion = fresh(name, feature_config)
    tokens, token_mask, present = inputs_for(fusion)
    nothing = {m: torch.zeros_like(mask) for m, mask in token_mask.items()}
    output = fusion(tokens, nothing, torch.zeros_like(present))
    output.joint.square().sum().backward()
    assert output.joint.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in fusion.parameters())


@every_fusion
def test_tokens_that_are_present_but_all_masked_are_finite(name: str, feature_config: MakeConfig) -> None:
    """Text of which the tokenizer leaves nothing, for instance."""
    fusion = fresh(name, feature_config)
    tokens, token_mask, present = inputs_for(fusion)
    token_mask["text"] = torch.zeros_like(token_mask["text"])
    output = fusion(tokens, token_mask, present)
    assert output.joint.isfinite().all()
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(loss(output), list(fusion.parameters())))


@every_fusion
def test_bf16_is_close_to_float32(name: str, feature_config: MakeConfig) -> None:
    fusion = fresh(name, feature_config)
    tokens, token_mask, present = inputs_for(fusion)
    exact = fusion(tokens, token_mask, present).joint
    rounded = fusion.bfloat16()({m: states.bfloat16() for m, states in tokens.items()}, token_mask, present).joint
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).abs().max() < 0.15


def test_joint_vectors_equal_a_plain_loop_over_utterances_and_their_modalities(feature_config: MakeConfig) -> None:
    fusion = cast(JointVectorFusion, fresh("joint_vector", feature_config))
    tokens, token_mask, present = inputs_for(fusion)
    output = fusion(tokens, token_mask, present)
    for row in range(len(present)):
        own = {
            m: tokens[m][row : row + 1, : int(token_mask[m][row].sum())]
            for column, m in enumerate(fusion.modalities)
            if present[row, column]
        }
        joint = fusion.joint_vectors[None]
        for layer in fusion.layers:
            copies = []
            for m in own:
                seen = torch.cat([own[m], joint], dim=1)
                states = cast(nn.ModuleDict, layer)[m](seen, torch.ones(seen.shape[1], seen.shape[1]).bool())
                own[m], copy = states[:, : own[m].shape[1]], states[:, own[m].shape[1] :]
                copies.append(copy)
            joint = torch.stack(copies).mean(dim=0) if copies else joint
        assert torch.allclose(output.joint[row], fusion.joint_norm(joint.mean(dim=1))[0], atol=1e-5)
        for m, states in own.items():
            expected = fusion.modality_norms[m](states.mean(dim=1))[0]
            assert torch.allclose(output.per_modality[m][row], expected, atol=1e-5)


def test_concatenation_takes_absent_modalities_for_zeros(feature_config: MakeConfig) -> None:
    fusion = cast(ConcatFusion, fresh("concat", feature_config))
    tokens, token_mask, present = inputs_for(fusion)
    output = fusion(tokens, token_mask, present)
    side_by_side = [output.per_modality[m] * present[:, column, None] for column, m in enumerate(fusion.modalities)]
    assert torch.allclose(output.joint, fusion.net(torch.cat(side_by_side, dim=1)), atol=1e-6)
    assert all(output.per_modality[m][~present[:, column]].any() for column, m in enumerate(fusion.modalities))


@pytest.mark.parametrize(
    ("name", "layers", "exchanges"),
    [
        ("joint_vector", 1, False),  # they hear of each other through the joint vectors of an earlier layer
        ("joint_vector", 2, True),
        ("cross_attention", 1, True),
        ("concat", 2, False),
        ("gated", 2, False),
        ("tensor", 2, False),
    ],
)
def test_whether_modalities_hear_of_each_other_before_they_are_merged(
    name: str, layers: int, exchanges: bool, feature_config: MakeConfig
) -> None:
    torch.manual_seed(0)
    fusion = ErcModel(feature_config(fusion=name, num_fusion_layers=layers)).fusion.eval()
    tokens, token_mask, present = inputs_for(fusion)
    before = fusion(tokens, token_mask, present).per_modality["text"]
    after = fusion({**tokens, "audio": torch.randn(6, 7, 32)}, token_mask, present).per_modality["text"]
    assert torch.equal(before[1], after[1])  # this utterance has text alone
    assert torch.allclose(before[0], after[0], atol=1e-6) is not exchanges


def test_fresh_joint_vectors_differ_from_each_other(feature_config: MakeConfig) -> None:
    fusion = ErcModel(feature_config(num_joint_vectors=5)).fusion
    assert isinstance(fusion, JointVectorFusion)
    distances = torch.cdist(fusion.joint_vectors, fusion.joint_vectors) + 100 * torch.eye(5)
    assert distances.min() > 1.0


def test_an_unknown_fusion_is_named_with_the_choices(feature_config: MakeConfig) -> None:
    with pytest.raises(ValueError, match=r"unknown fusion 'joint_vectors'.*concat.*Did you mean 'joint_vector'"):
        ErcModel(feature_config(fusion="joint_vectors"))
