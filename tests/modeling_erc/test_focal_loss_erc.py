import math

import pytest
import torch
from torch import Tensor

from modeling_erc import ErcConfig
from modeling_erc.losses_erc import cross_entropy, focal

LABELS = torch.tensor([0, 2, 1, 1, 0, 0])
every_smoothing = pytest.mark.parametrize("smoothing", [0.0, 0.3])
every_weight = pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 4.0, 0.5])], ids=["even", "weighted"])


def scores() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (3 * torch.randn(6, 3, dtype=torch.float64, generator=generator)).requires_grad_()


def plain_focal(row: list[float], label: int, weights: list[float], gamma: float, smoothing: float) -> float:
    """The formula of the docstring, class by class."""
    total = sum(math.exp(score) for score in row)
    loss = 0.0
    for c, score in enumerate(row):
        p, target = math.exp(score) / total, smoothing / len(row) + (1 - smoothing) * (c == label)
        loss -= target * weights[c] * (1 - p) ** gamma * math.log(p)
    return loss


@every_smoothing
@every_weight
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_it_equals_the_plain_sums_and_has_their_gradient(gamma: float, weight: Tensor | None, smoothing: float) -> None:
    config, logits = ErcConfig(focal_gamma=gamma, label_smoothing=smoothing), scores()
    weights = [1.0] * 3 if weight is None else weight.tolist()
    pairs = zip(logits.tolist(), LABELS.tolist(), strict=True)
    expected = [plain_focal(row, label, weights, gamma, smoothing) for row, label in pairs]
    assert focal(logits, LABELS, weight, config).tolist() == pytest.approx(expected, rel=1e-9)
    assert torch.autograd.gradcheck(lambda values: focal(values, LABELS, weight, config), logits)


@every_smoothing
@every_weight
def test_gamma_zero_is_cross_entropy(weight: Tensor | None, smoothing: float) -> None:
    config, logits = ErcConfig(focal_gamma=0.0, label_smoothing=smoothing), scores()
    losses = [loss(logits, LABELS, weight, config) for loss in (focal, cross_entropy)]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(torch.autograd.grad(loss.sum(), logits)[0] for loss in losses))


def test_the_paper_s_example_of_an_easy_utterance() -> None:
    """With gamma = 2 an example at p = 0.9 has a hundredth of its cross-entropy (section 3.2)."""
    logits = torch.tensor([[0.9, 0.1]], dtype=torch.float64).log()
    loss = focal(logits, torch.tensor([0]), None, ErcConfig(focal_gamma=2.0))
    assert loss.item() == pytest.approx(-math.log(0.9) / 100)


def test_smoothing_still_counts_against_certainty() -> None:
    label, config = torch.tensor([0]), ErcConfig(label_smoothing=0.1)
    sure, likely = (focal(torch.tensor([[score, 0.0, 0.0]]), label, None, config).item() for score in (30.0, 3.0))
    assert sure > likely


def test_a_negative_gamma_is_refused() -> None:
    with pytest.raises(ValueError, match=r"focal_gamma -1\.0: it cannot be negative"):
        ErcConfig(focal_gamma=-1.0)
