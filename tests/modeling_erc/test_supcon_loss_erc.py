import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from modeling_erc.losses_erc import supcon

Further = tuple[Tensor, Tensor]
UNUSED = torch.full((3, 5), 0.5)
LABELLINGS = {
    "mixed": [0, 1, 1, 2, 0, 1, 1],
    "one class": [1, 1, 1],
    "no two of a class": [2, 0, 1],
    "one anchor": [1],
}


def plain_supcon(embeddings: Tensor, labels: Tensor, temperature: float, further: Further | None) -> list[float]:
    """Equation 2, sum by sum."""
    points, classes = embeddings.tolist(), labels.tolist()
    if further is not None:
        points, classes = points + further[0].tolist(), classes + further[1].tolist()
    losses = []
    for i in range(len(embeddings)):
        others = [a for a in range(len(points)) if a != i]
        cosines = {a: sum(x * y for x, y in zip(points[i], points[a], strict=True)) for a in others}
        similarity = {a: math.exp(cosine / temperature) for a, cosine in cosines.items()}
        positives = [p for p in others if classes[p] == classes[i]]
        terms = [math.log(similarity[p] / sum(similarity.values())) for p in positives]
        losses.append(-sum(terms) / len(positives) if positives else 0.0)
    return losses


def points(labels: list[int], seed: int = 0) -> Further:
    generator = torch.Generator().manual_seed(seed)
    embeddings = normalize(torch.randn(len(labels), 5, dtype=torch.float64, generator=generator), dim=1)
    return embeddings, torch.tensor(labels)


every_further = pytest.mark.parametrize("further", [None, points([1, 1, 0], seed=1)], ids=["alone", "further"])
every_labelling = pytest.mark.parametrize("labels", LABELLINGS.values(), ids=LABELLINGS)


@every_labelling
@every_further
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_it_equals_the_plain_sums(labels: list[int], further: Further | None, temperature: float) -> None:
    embeddings, targets = points(labels)
    loss = supcon(embeddings, targets, UNUSED, temperature, further)
    assert loss.tolist() == pytest.approx(plain_supcon(embeddings, targets, temperature, further), rel=1e-10)


@every_labelling
@every_further
def test_it_has_the_gradient_of_its_value(labels: list[int], further: Further | None) -> None:
    embeddings, targets = points(labels)
    raw = (3 * embeddings).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: supcon(normalize(z, dim=1), targets, UNUSED, 0.3, further), raw)


def test_an_anchor_without_positives_adds_nothing_but_is_a_negative_of_others() -> None:
    embeddings, targets = points([0, 0, 1])
    embeddings.requires_grad_()
    loss = supcon(embeddings, targets, UNUSED, 0.1)
    assert loss[2] == 0 and (loss[:2] > 0).all()
    (alone,) = torch.autograd.grad(loss[2], embeddings, retain_graph=True)
    assert torch.equal(alone, torch.zeros_like(alone))
    (pushed,) = torch.autograd.grad(loss[0], embeddings)
    assert pushed[2].abs().sum() > 0


def test_one_of_the_past_can_be_an_only_positive() -> None:
    right, up = [1.0, 0.0], [0.0, 1.0]
    anchors, labels = torch.tensor([right, up]), torch.tensor([0, 1])
    loss = supcon(anchors, labels, UNUSED, 1.0, (torch.tensor([right]), torch.tensor([0])))
    assert loss.tolist() == pytest.approx([math.log(1 + math.exp(-1)), 0.0])


def test_prototypes_have_a_gradient_and_it_is_zero() -> None:
    """None at all would make DDP wait for one."""
    embeddings, targets = points([0, 0, 1])
    prototypes = torch.randn(3, 5, requires_grad=True)
    supcon(embeddings, targets, prototypes, 0.1).sum().backward()
    assert prototypes.grad is not None and torch.equal(prototypes.grad, torch.zeros(3, 5))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("autocast", [False, True])
def test_it_computes_in_float32_what_comes_in_half_precision(autocast: bool, dtype: torch.dtype) -> None:
    embeddings, labels = points([0, 1, 1, 2, 0, 1])
    rounded = embeddings.to(dtype)
    with torch.autocast("cpu", dtype, enabled=autocast):
        loss = supcon(rounded, labels, UNUSED, 0.05)
    exact = supcon(rounded.double(), labels, UNUSED, 0.05)
    assert loss.dtype == torch.float32 and torch.allclose(loss.double(), exact, rtol=1e-4)
