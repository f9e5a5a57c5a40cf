import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from modeling_erc import ErcConfig, losses_erc
from modeling_erc.losses_erc import CLASSIFICATION_LOSSES, CONTRASTIVE_LOSSES, ErcLoss, cross_entropy, inter_class
from modeling_erc.outputs_erc import ErcClassifierOutput

MakeConfig = Callable[..., ErcConfig]
Further = tuple[Tensor, Tensor]
LABELS = [[0, 0, 1, -100], [2, 0, -100, -100]]


def plain_inter_class(
    embeddings: Tensor, labels: Tensor, prototypes: Tensor, temperature: float, further: Further | None = None
) -> list[float]:
    """The formula of the docstring, sum by sum."""
    points = [*embeddings.tolist(), *prototypes.tolist()]
    classes = [*labels.tolist(), *range(len(prototypes))]
    if further is not None:
        points, classes = points + further[0].tolist(), classes + further[1].tolist()
    losses = []
    for i in range(len(embeddings)):
        similarity = [math.exp(sum(a * b for a, b in zip(points[i], p, strict=True)) / temperature) for p in points]
        denominator = 0.0
        for c in range(len(prototypes)):
            members = [k for k in range(len(points)) if classes[k] == c and k != i]
            denominator += sum(similarity[k] for k in members) / len(members)
        positives = [p for p in range(len(points)) if classes[p] == classes[i] and p != i]
        losses.append(-sum(math.log(similarity[p] / denominator) for p in positives) / len(positives))
    return losses


def points(labels: list[int], classes: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    embeddings = normalize(torch.randn(len(labels), 5, dtype=dtype), dim=1)
    return embeddings, torch.tensor(labels, dtype=torch.long), normalize(torch.randn(classes, 5, dtype=dtype), dim=1)


LABELLINGS = {
    "mixed": ([0, 1, 1, 2, 0, 1, 1], 4),
    "one class only": ([1, 1, 1], 3),
    "one class there is": ([0, 0], 1),
    "singletons": ([2, 0, 1], 3),
    "one anchor": ([1], 2),
}


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("labels", LABELLINGS.values(), ids=LABELLINGS)
def test_inter_class_equals_the_plain_sums(labels: tuple[list[int], int], temperature: float) -> None:
    embeddings, targets, prototypes = points(*labels)
    some = points([0, 0, 1], labels[1])[:2] if labels[1] > 1 else points([0, 0], 1)[:2]
    for further in (None, some):
        loss = inter_class(embeddings, targets, prototypes, temperature, further)
        expected = plain_inter_class(embeddings, targets, prototypes, temperature, further)
        assert torch.allclose(loss, torch.tensor(expected, dtype=torch.float64), rtol=1e-10)


def test_inter_class_of_two_like_points_and_an_orthogonal_class() -> None:
    right, up = [1.0, 0.0], [0.0, 1.0]
    loss = inter_class(torch.tensor([right, right]), torch.tensor([0, 0]), torch.tensor([right, up]), 1.0)
    assert loss.tolist() == pytest.approx([math.log(1 + math.exp(-1))] * 2)
    alone = inter_class(torch.tensor([right]), torch.tensor([0]), torch.tensor([up, right]), 0.5)
    assert alone.tolist() == pytest.approx([math.log(1 + math.exp(2))])  # its own prototype is the farther one


def test_a_class_weighs_the_same_however_many_members_it_has() -> None:
    embeddings, labels, prototypes = points([0, 0, 1], 3)
    rare = inter_class(torch.cat([embeddings[:2], prototypes[1:2]]), labels, prototypes, 0.1)
    frequent = torch.cat([embeddings[:2], prototypes[1:2].expand(50, -1)])
    loss = inter_class(frequent, torch.tensor([0, 0, *[1] * 50]), prototypes, 0.1)
    assert torch.allclose(loss[:2], rare[:2])


def test_the_order_of_the_anchors_does_not_matter() -> None:
    embeddings, labels, prototypes = points([0, 1, 1, 2, 0, 1], 3)
    loss, order = inter_class(embeddings, labels, prototypes, 0.1), torch.tensor([3, 5, 0, 2, 1, 4])
    assert torch.allclose(inter_class(embeddings[order], labels[order], prototypes, 0.1), loss[order])


@pytest.mark.parametrize("labels", LABELLINGS.values(), ids=LABELLINGS)
def test_inter_class_has_the_gradient_of_its_value(labels: tuple[list[int], int]) -> None:
    embeddings, targets, prototypes = points(*labels)
    inputs = (embeddings.requires_grad_(), prototypes.requires_grad_())
    assert torch.autograd.gradcheck(lambda z, c: inter_class(z, targets, c, 0.3), inputs)
    further = (points([0, 0, 0], labels[1])[0], torch.tensor([0, 0, labels[1] - 1]))

    def of_any_norm(raw: Tensor, raw_prototypes: Tensor) -> Tensor:
        return inter_class(normalize(raw, dim=1), targets, normalize(raw_prototypes, dim=1), 0.3, further)

    assert torch.autograd.gradcheck(of_any_norm, tuple((3 * value.detach()).requires_grad_() for value in inputs))


@pytest.mark.parametrize("name", ["inter_class", "supcon"])
def test_many_anchors_come_in_pieces_with_the_same_losses_and_gradients(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    embeddings, targets, prototypes = points([0, 1, 1, 2, 0, 1, 1], 4)
    further = points([0, 0, 1], 4)
    given = [tensor.requires_grad_() for tensor in (embeddings, prototypes, further[0])]

    def loss(*tensors: Tensor) -> Tensor:
        return CONTRASTIVE_LOSSES[name](tensors[0], targets, tensors[1], 0.3, (tensors[2], further[1]))

    def losses_and_gradients() -> list[Tensor]:
        found = loss(*given)
        return [found, *torch.autograd.grad(found.square().sum(), given)]

    whole = losses_and_gradients()
    # Room for two anchors: four pieces, the last of one.
    monkeypatch.setattr(losses_erc, "CELLS", 2 * (7 + 4 + 3))
    for found, expected in zip(losses_and_gradients(), whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(loss, given)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux' /proc")
@pytest.mark.parametrize("name", ["inter_class", "supcon"])
def test_sixteen_thousand_anchors_take_less_than_600_mb(name: str) -> None:
    """One matrix of them against each other would take 1,024 MB."""
    program = f"""
import torch
from modeling_erc.losses_erc import CONTRASTIVE_LOSSES
import modeling_erc.losses_erc

def peak():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1])

def step(n):
    z = torch.nn.functional.normalize(torch.randn(n, 256), dim=1).requires_grad_()
    c = torch.nn.functional.normalize(torch.randn(7, 256), dim=1).requires_grad_()
    y = torch.randint(0, 7, (n,))
    before = peak()
    CONTRASTIVE_LOSSES[{name!r}](z, y, c, 0.1).sum().backward()
    assert z.grad.isfinite().all()
    return peak() - before

step(64)
print(step(16384) // 1024)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 600


@pytest.mark.parametrize("autocast", [False, True])
def test_inter_class_computes_in_float32_what_comes_in_bf16(autocast: bool) -> None:
    embeddings, labels, prototypes = points([0, 1, 1, 2, 0, 1], 3, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = inter_class(embeddings, labels, prototypes, 0.05)
    exact = inter_class(embeddings.double(), labels, prototypes.double(), 0.05)
    assert loss.dtype == torch.float32 and torch.allclose(loss.double(), exact, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(CONTRASTIVE_LOSSES))
def test_every_contrastive_loss_takes_no_anchor_at_all(name: str) -> None:
    prototypes = normalize(torch.randn(3, 5), dim=1).requires_grad_()
    embeddings = torch.zeros(0, 5, requires_grad=True)
    loss = CONTRASTIVE_LOSSES[name](embeddings, torch.zeros(0, dtype=torch.long), prototypes, 0.1)
    assert loss.shape == (0,) and loss.sum() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", ["one sample", "one class", "singletons", "all equal", "opposite", "many"])
@pytest.mark.parametrize("name", sorted(CONTRASTIVE_LOSSES))
def test_every_contrastive_loss_is_finite_with_a_low_temperature(name: str, case: str, dtype: torch.dtype) -> None:
    labels = {
        "one sample": [1],
        "one class": [0, 0, 0],
        "singletons": [0, 1, 2],
        "all equal": [0, 0, 1, 2, 1],
        "opposite": [0, 0, 1, 1],
        "many": [0] * 1500 + [1] * 499 + [2],
    }[case]
    raw, targets, prototypes = points(labels, 3, torch.float32)
    if case == "all equal":
        raw, prototypes = (torch.ones(5).expand_as(value) for value in (raw, prototypes))
    elif case == "opposite":
        raw = torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None] * torch.ones(5)
    raw, prototypes = (value.to(dtype).contiguous().requires_grad_() for value in (raw, prototypes))
    for further in (None, (torch.ones(2, 5) / 5**0.5, torch.tensor([0, 2]))):
        loss = CONTRASTIVE_LOSSES[name](normalize(raw, dim=1), targets, normalize(prototypes, dim=1), 0.01, further)
        assert loss.isfinite().all() and (loss >= -1e-3).all()
        if name == "none":
            continue
        gradients = torch.autograd.grad(loss.sum(), (raw, prototypes))
        assert all(gradient.isfinite().all() for gradient in gradients)


def output_for(config: ErcConfig, dtype: torch.dtype = torch.float32) -> Any:
    """Random scores for two dialogues of four slots and two modalities, of which some are absent."""
    torch.manual_seed(0)
    mask = torch.tensor([[[1, 1], [1, 0], [0, 0], [1, 1]], [[0, 1], [1, 1], [0, 0], [0, 0]]]).bool()
    scores: dict[str, Any] = {
        "logits": torch.randn(2, 4, 3),
        "modality_logits": torch.randn(2, 4, 2, 3) * mask[..., None],
        "embeddings": normalize(torch.randn(2, 4, 5), dim=-1),
        "prototypes": normalize(torch.randn(3, 5), dim=-1),
    }
    scores = {name: value.to(dtype).requires_grad_() for name, value in scores.items()}
    if config.contrastive == "none":
        scores = {**scores, "embeddings": None, "prototypes": None}
    return ErcClassifierOutput(modality_mask=mask, **scores)


def log_loss(scores: Tensor, label: int, weights: list[float], smoothing: float) -> float:
    """Cross-entropy by hand: the target is `1 - smoothing` on the label and `smoothing / 3` on every class."""
    log_probabilities = [value - math.log(sum(math.exp(v) for v in scores.tolist())) for value in scores.tolist()]
    target = [smoothing / 3 + (1 - smoothing) * (c == label) for c in range(3)]
    return -sum(w * t * p for w, t, p in zip(weights, target, log_probabilities, strict=True))


every_smoothing = pytest.mark.parametrize("smoothing", [0.0, 0.3])
every_weights = pytest.mark.parametrize("weights", [None, [1.0, 4.0, 0.5]])


@every_smoothing
@every_weights
def test_cross_entropy_equals_the_plain_sums_and_has_their_gradient(
    weights: list[float] | None, smoothing: float
) -> None:
    torch.manual_seed(0)
    logits, labels = (5 * torch.randn(6, 3, dtype=torch.float64)).requires_grad_(), torch.tensor([0, 2, 1, 1, 0, 0])
    weight, config = None if weights is None else torch.tensor(weights), ErcConfig(label_smoothing=smoothing)
    loss = cross_entropy(logits, labels, weight, config)
    pairs = zip(logits, labels.tolist(), strict=True)
    expected = [log_loss(row, label, weights or [1.0] * 3, smoothing) for row, label in pairs]
    assert loss.tolist() == pytest.approx(expected, rel=1e-10)
    assert torch.autograd.gradcheck(lambda scores: cross_entropy(scores, labels, weight, config), logits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
@every_smoothing
def test_every_classification_loss_is_finite_however_sure_the_scores(
    smoothing: float, name: str, dtype: torch.dtype
) -> None:
    weight = torch.tensor([1.0, 4.0, 0.5])
    for gamma in (0.0, 0.3, 2.0):
        config = ErcConfig(label_smoothing=smoothing, focal_gamma=gamma)
        logits = torch.tensor([[6e4, -6e4, 0], [0, 0, 0], [-6e4, 6e4, 0], [20, 0, 0]], dtype=dtype).requires_grad_()
        loss = CLASSIFICATION_LOSSES[name](logits, torch.tensor([0, 1, 0, 0]), weight, config)
        assert loss.dtype == torch.float32 and loss.isfinite().all()
        loss.sum().backward()
        assert logits.grad is not None and logits.grad.isfinite().all()
        one_class = torch.ones(2, 1, dtype=dtype, requires_grad=True)
        alone = CLASSIFICATION_LOSSES[name](one_class, torch.tensor([0, 0]), None, config)
        assert alone.tolist() == [0.0, 0.0]
        assert torch.autograd.grad(alone.sum(), one_class)[0].isfinite().all()


@every_smoothing
@every_weights
def test_the_objective_is_the_sum_of_its_three_terms(
    weights: list[float] | None, smoothing: float, feature_config: MakeConfig
) -> None:
    config = feature_config("text", "audio", class_weights=weights, label_smoothing=smoothing)
    config.modality_loss_weight, config.contrastive_weight, config.contrastive_temperature = 0.7, 0.3, 0.2
    output = output_for(config)
    places = [(row, u) for row in range(2) for u in range(4) if LABELS[row][u] >= 0]
    expected = 0.0
    for row, u in places:
        label, w = LABELS[row][u], weights or [1.0, 1.0, 1.0]
        expected += log_loss(output.logits[row, u], label, w, smoothing)
        own = [
            log_loss(output.modality_logits[row, u, m], label, w, smoothing)
            for m in range(2)
            if output.modality_mask[row, u, m]
        ]
        expected += 0.7 * sum(own) / max(len(own), 1)
    anchors = torch.stack([output.embeddings[place] for place in places])
    labels = torch.tensor([LABELS[row][u] for row, u in places])
    expected += 0.3 * sum(plain_inter_class(anchors, labels, output.prototypes, 0.2))
    loss = ErcLoss(config)(output, torch.tensor(LABELS))
    assert loss.shape == () and loss.item() == pytest.approx(expected / len(places), rel=1e-5)


@pytest.mark.parametrize("contrastive", sorted(CONTRASTIVE_LOSSES))
@pytest.mark.parametrize("classification", ["cross_entropy", "focal"])
def test_the_objective_has_the_gradient_of_its_value(
    contrastive: str, classification: str, feature_config: MakeConfig
) -> None:
    settings = {"contrastive": contrastive, "classification_loss": classification, "class_weights": [1.0, 4.0, 0.5]}
    config = feature_config("text", "audio", label_smoothing=0.1, contrastive_weight=0.7, **settings)
    output = output_for(config, torch.float64)
    names = [name for name, value in output.items() if value.is_floating_point()]

    def objective(*values: Tensor) -> Tensor:
        changed = {**output, **dict(zip(names, values, strict=True))}
        return ErcLoss(config)(ErcClassifierOutput(**changed), torch.tensor(LABELS))

    assert torch.autograd.gradcheck(objective, tuple(output[name] for name in names))


def test_logit_adjustment_adds_the_log_priors_to_all_logits(feature_config: MakeConfig) -> None:
    priors = [0.8, 0.15, 0.05]
    plain = without_contrast(feature_config)
    config = without_contrast(feature_config, logit_adjustment=0.5, class_priors=priors)
    output = output_for(config)
    shift = 0.5 * torch.tensor(priors).log()
    shifted = {**output, "logits": output.logits + shift, "modality_logits": output.modality_logits + shift}
    expected = ErcLoss(plain)(ErcClassifierOutput(**shifted), torch.tensor(LABELS))
    assert ErcLoss(config)(output, torch.tensor(LABELS)).item() == pytest.approx(expected.item(), rel=1e-6)
    config.class_priors = None
    with pytest.raises(ValueError, match="logit_adjustment needs class_priors"):
        ErcLoss(config)(output, torch.tensor(LABELS))


def test_logit_adjustment_gives_a_class_without_training_labels_a_finite_loss(feature_config: MakeConfig) -> None:
    config = without_contrast(feature_config, logit_adjustment=1.0, class_priors=[0.7, 0.3, 0.0])
    assert ErcLoss(config)(output_for(config), torch.tensor(LABELS)).isfinite()


def without_contrast(feature_config: MakeConfig, **settings: Any) -> ErcConfig:
    return feature_config("text", "audio", contrastive="none", **settings)


@pytest.mark.parametrize("settings", [{}, {"class_weights": [1.0, 4.0, 0.5]}, {"modality_loss_weight": 0.0}])
def test_two_halves_with_num_items_add_up_to_the_whole(settings: dict[str, Any], feature_config: MakeConfig) -> None:
    config = without_contrast(feature_config, **settings)
    output, labels = output_for(config), torch.tensor(LABELS)  # three labels and two
    whole = ErcLoss(config)(output, labels)
    total = 0.0
    counts: list[int | Tensor] = [5, torch.tensor(5)]
    for row, items in enumerate(counts):
        half = {name: output[name][row : row + 1] for name in ("logits", "modality_logits", "modality_mask")}
        total += ErcLoss(config)(ErcClassifierOutput(**half), labels[row : row + 1], num_items=items).item()
    assert total == pytest.approx(whole.item(), rel=1e-6)


@pytest.mark.parametrize("contrastive", sorted(CONTRASTIVE_LOSSES))
@pytest.mark.parametrize("classification", ["cross_entropy", "focal"])
def test_with_everything_ignored_loss_and_gradient_are_zero(
    contrastive: str, classification: str, feature_config: MakeConfig
) -> None:
    config = feature_config("text", "audio", contrastive=contrastive, classification_loss=classification)
    output = output_for(config)
    loss = ErcLoss(config)(output, torch.full((2, 4), -100))
    assert loss.item() == 0.0 and loss.requires_grad
    loss.backward()
    for scores in (output.logits, output.modality_logits, output.embeddings, output.prototypes):
        assert scores is None or scores.grad is None or torch.equal(scores.grad, torch.zeros_like(scores))


def test_ignored_utterances_and_absent_modalities_get_no_gradient(feature_config: MakeConfig) -> None:
    config = feature_config("text", "audio", contrastive_weight=1.0)
    output, scored = output_for(config), torch.tensor(LABELS) >= 0
    ErcLoss(config)(output, torch.tensor(LABELS)).backward()
    for scores, counts in (
        (output.logits, scored),
        (output.embeddings, scored),
        (output.modality_logits, output.modality_mask & scored[..., None]),
    ):
        assert torch.equal(scores.grad.abs().sum(dim=-1) > 0, counts)


def test_bf16_scores_give_a_float32_loss_near_the_exact_one(feature_config: MakeConfig) -> None:
    config = feature_config("text", "audio", class_weights=[1.0, 4.0, 0.5])
    exact = ErcLoss(config)(output_for(config), torch.tensor(LABELS))
    output = output_for(config, torch.bfloat16)
    loss = ErcLoss(config)(output, torch.tensor(LABELS))
    loss.backward()
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(exact.item(), rel=0.02)
    assert output.logits.grad.isfinite().all() and output.embeddings.grad.isfinite().all()


@pytest.mark.parametrize("label", [3, -1, 100])
def test_a_label_outside_the_classes_is_named(label: int, feature_config: MakeConfig) -> None:
    config = without_contrast(feature_config)
    labels = torch.tensor(LABELS)
    labels[0, 1] = label
    with pytest.raises(ValueError, match=rf"labels reach from .*{label}.* the model has 3 classes.*label2id"):
        ErcLoss(config)(output_for(config), labels)


@pytest.mark.parametrize("setting", ["classification_loss", "contrastive"])
def test_an_unknown_loss_is_named_with_the_choices(setting: str, feature_config: MakeConfig) -> None:
    config = feature_config("text", "audio", **{setting: "focus"})
    with pytest.raises(ValueError, match=r"unknown .* loss 'focus': choose one of "):
        ErcLoss(config)(output_for(config), torch.tensor(LABELS))
