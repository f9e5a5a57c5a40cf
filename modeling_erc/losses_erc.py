"""Losses: classification of utterances, and contrast between classes. Two registries and `ErcLoss`, their sum."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .configuration_erc import ErcConfig
from .registry_erc import Registry

# Label of a slot that holds nothing yet.
EMPTY = -1


class ContrastiveMemory(nn.Module):
    """The last embeddings of training and their labels, after Wang et al. 2020 (XBM, arXiv 1912.06798).

    A small batch has few members of a class, and often none of a rare one. Embeddings drift slowly, so those of the
    last steps stand in for more: they are compared with, but have no gradient and are no anchors themselves.

    The contents are buffers: a checkpoint holds them, so that a resumed run goes on exactly. They are stored in the
    model's dtype. In training on several processes each of them holds the rows of all.

    Args:
        config: `contrastive_memory` slots for embeddings of width `contrastive_size`.

    Example:
        >>> memory = ContrastiveMemory(ErcConfig(contrastive_memory=2, contrastive_size=1))
        >>> memory.push(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([0, 1, 0]))
        >>> memory.read()
        (tensor([[2.],
                [3.]]), tensor([1, 0]))
    """

    embeddings: Tensor
    labels: Tensor
    position: Tensor

    def __init__(self, config: ErcConfig) -> None:
        super().__init__()
        size = config.contrastive_memory
        self.register_buffer("embeddings", torch.zeros(size, config.contrastive_size))
        self.register_buffer("labels", torch.full((size,), EMPTY))
        self.register_buffer("position", torch.tensor(0))  # the slot that is written next

    def read(self) -> tuple[Tensor, Tensor]:
        """Copies of what it holds: embeddings `(k, width)` and labels `(k,)`, k = 0 at first."""
        filled = self.labels != EMPTY
        return self.embeddings[filled], self.labels[filled]

    @torch.no_grad()
    def push(self, embeddings: Tensor, labels: Tensor) -> None:
        """Puts a batch in the place of the oldest.

        Args:
            embeddings: `(n, width)`, unit norm. Those that are not finite are left out: one step that overflowed in
                fp16 would otherwise spoil all that follow.
            labels: `(n,)`.
        """
        size, finite = len(self.labels), embeddings.isfinite().all(dim=1)
        embeddings, labels = embeddings[finite][-size:], labels[finite][-size:]
        places = (self.position + torch.arange(len(labels), device=labels.device)) % size
        self.embeddings[places] = embeddings.to(self.embeddings.dtype)
        self.labels[places] = labels
        self.position.copy_((self.position + len(labels)) % size)


IGNORE_INDEX = -100

ClassificationLoss = Callable[[Tensor, Tensor, Tensor | None, ErcConfig], Tensor]


class ContrastiveLoss(Protocol):
    """What a contrastive loss is called with: see [`inter_class`]."""

    def __call__(
        self,
        embeddings: Tensor,
        labels: Tensor,
        prototypes: Tensor,
        temperature: float,
        further: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor: ...


CLASSIFICATION_LOSSES: Registry[ClassificationLoss] = Registry("classification loss")
CONTRASTIVE_LOSSES: Registry[ContrastiveLoss] = Registry("contrastive loss")


@CLASSIFICATION_LOSSES.register("cross_entropy")
def cross_entropy(logits: Tensor, labels: Tensor, weight: Tensor | None, config: ErcConfig) -> Tensor:
    """Cross-entropy of each utterance, times its class' weight.

    Args:
        logits: `(n, classes)`.
        labels: `(n,)`, none of them ignored.
        weight: `(classes,)` or `None`.
        config: its `label_smoothing` is the share of the target spread over all classes.

    Returns:
        `(n,)`, in float32 at least.
    """
    scores = at_least_float32(logits)
    return torch.nn.functional.cross_entropy(
        scores,
        labels,
        weight=None if weight is None else weight.to(scores.dtype),
        label_smoothing=config.label_smoothing,
        reduction="none",
    )


@CONTRASTIVE_LOSSES.register("none")
def no_contrast(
    embeddings: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    temperature: float,
    further: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """No contrastive loss: zero for every anchor."""
    return embeddings.new_zeros(embeddings.shape[0])


@CONTRASTIVE_LOSSES.register("inter_class")
def inter_class(
    embeddings: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    temperature: float,
    further: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Supervised inter-class contrastive loss, after Shi et al. 2024 (arXiv 2405.17900).

    For an anchor i of class y, P(i) the other members of y together with y's prototype, and B_c the members of class c
    (anchor left out) together with c's prototype:

        L_i = -1/|P(i)| * sum_{p in P(i)} log( exp(z_i.z_p/tau) / sum_c mean_{k in B_c} exp(z_i.z_k/tau) )

    Averaging inside each class makes every class weigh the same however rare it is, and prototypes keep a class present
    that a batch lacks (cf. balanced contrastive learning, Zhu et al. 2022, arXiv 2207.09052). The prototype is a
    positive too: otherwise it would only ever be pushed away, and the only member of a class would learn nothing.

    A mean inside a sum of exponentials is a subtraction of log |B_c| from the similarities, so this is one `logsumexp`.

    Args:
        embeddings: `(n, width)`, unit norm.
        labels: `(n,)`, none of them ignored.
        prototypes: `(classes, width)`, unit norm.
        temperature: tau.
        further: embeddings `(k, width)` and labels `(k,)` of earlier batches or other processes: more members of
            P(i) and B_c, no anchors.

    Returns:
        `(n,)`, the loss of each anchor, in float32 at least.

    Example:
        >>> z = torch.nn.functional.normalize(torch.randn(6, 8), dim=1)
        >>> c = torch.nn.functional.normalize(torch.randn(3, 8), dim=1)
        >>> inter_class(z, torch.tensor([0, 0, 1, 1, 2, 2]), c, temperature=0.1).shape
        torch.Size([6])
    """
    # autocast would turn the similarities back to bf16, whose rounding tau magnifies.
    with torch.autocast(embeddings.device.type, enabled=False):
        classes = prototypes.shape[0]
        further_embeddings, further_labels = further or (embeddings.detach()[:0], labels[:0])
        others = at_least_float32(torch.cat([embeddings, prototypes, further_embeddings]))
        other_labels = torch.cat([labels, torch.arange(classes, device=labels.device), further_labels])
        members = torch.bincount(other_labels, minlength=classes)[other_labels].to(others.dtype)
        log_sizes = members.log()
        # The anchor's own class is one smaller for it, since the anchor is left out.
        own_log_sizes = (members - 1).clamp(min=1).log()

        def losses(similarity: Tensor, same_class: Tensor, itself: Tensor) -> Tensor:
            balanced = similarity - torch.where(same_class, own_log_sizes, log_sizes)
            denominator = torch.logsumexp(balanced.masked_fill(itself, -torch.inf), dim=1)
            positives = same_class & ~itself
            return denominator - (similarity * positives).sum(dim=1) / positives.sum(dim=1)

        return compare(losses, len(embeddings), others, other_labels, temperature)


# Similarities that stand in memory at a time: 8 MB of float32.
CELLS = 2**21


def compare(
    losses: Callable[[Tensor, Tensor, Tensor], Tensor],
    anchors: int,
    others: Tensor,
    other_labels: Tensor,
    temperature: float,
) -> Tensor:
    """Holds every anchor against every other, piece by piece: memory grows with the anchors, not with their square.

    Args:
        losses: gives the losses `(rows,)` of some anchors from three `(rows, m)`: z_i.z_k/tau in the dtype of `others`;
            whether k is of i's class; whether k is i.
        anchors: n.
        others: `(m, width)`, of which the first n are the anchors themselves.
        other_labels: `(m,)`.
        temperature: tau.

    Returns:
        `(n,)`, the losses of all anchors.
    """
    everyone = torch.arange(len(others), device=others.device)

    def of_rows(points: Tensor, rows: Tensor) -> Tensor:
        similarity = points[rows] @ points.T / temperature
        return losses(similarity, other_labels[rows, None] == other_labels, rows[:, None] == everyone)

    pieces = everyone[:anchors].split(max(1, CELLS // max(1, len(others))))
    if len(pieces) == 1:
        return of_rows(others, pieces[0])
    found: Tensor = _InPieces.apply(others, of_rows, pieces)
    return found


class _InPieces(torch.autograd.Function):
    """Computes each piece again in backward, one after the other, where autograd would keep them all."""

    @staticmethod
    def forward(
        ctx: Any, points: Tensor, of_rows: Callable[[Tensor, Tensor], Tensor], pieces: Sequence[Tensor]
    ) -> Tensor:
        ctx.save_for_backward(points)
        ctx.of_rows, ctx.pieces = of_rows, pieces
        return torch.cat([of_rows(points, rows) for rows in pieces])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        points = ctx.saved_tensors[0].detach().requires_grad_()
        total = torch.zeros_like(points)
        for rows in ctx.pieces:
            with torch.enable_grad(), torch.autocast(points.device.type, enabled=False):
                found = ctx.of_rows(points, rows)
            total += torch.autograd.grad(found, points, gradient[rows])[0]
        return total, None, None


def at_least_float32(values: Tensor) -> Tensor:
    """bf16 and fp16 become float32: their rounding is too coarse for a loss."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


# From embeddings `(n, width)` and labels `(n,)` of this process to those of all, `(N, width)` and `(N,)`, and a boolean
# `(N,)` that says which are its own.
Gather = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


class LossInputs(Protocol):
    """What [`ErcLoss`] reads of a model's output; only `logits` must be there.

    Args:
        logits: `(batch, utterances, classes)`.
        modality_logits: `(batch, utterances, modalities, classes)`, each modality's own.
        modality_mask: boolean `(batch, utterances, modalities)`.
        embeddings: `(batch, utterances, width)`, unit norm, for the contrastive loss.
        prototypes: `(classes, width)`, unit norm.
    """

    logits: Tensor | None
    modality_logits: Tensor | None
    modality_mask: Tensor | None
    embeddings: Tensor | None
    prototypes: Tensor | None


@dataclass
class ErcLoss:
    """The training objective: classification of the averaged logits, of each modality's own, and the contrastive loss.

    Args:
        config: names and weights of the three terms.
        memory: embeddings of earlier batches, the classifier's `contrastive_memory`. While it is in training mode each
            call contrasts with what it holds and then puts this batch's in; in evaluation it is not touched, so that
            the loss there depends on the batch alone.
        gather: brings the labelled utterances of all processes together, with gradients, so that the contrastive loss
            sees the whole batch: this process' are its anchors, which meet all. `None` where there is one process.

    Example:
        >>> from modeling_erc import ErcConfig, ErcForSequenceClassification
        >>> config = ErcConfig(feature_sizes={"text": 4}, num_labels=3)
        >>> output = ErcForSequenceClassification(config)(torch.ones(1, 2).bool(), text_features=torch.randn(2, 4))
        >>> ErcLoss(config)(output, labels=torch.tensor([[0, -100]])).shape
        torch.Size([])
    """

    config: ErcConfig
    memory: ContrastiveMemory | None = None
    gather: Gather | None = None

    def __call__(
        self,
        output: LossInputs,
        labels: Tensor,
        num_items: Tensor | int | None = None,
        cached: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor:
        """The loss.

        Args:
            output: of [`ErcForSequenceClassification`].
            labels: `(batch, utterances)`, -100 where there is nothing to learn.
            num_items: labelled utterances of the whole optimizer step, over accumulation steps and processes. The
                default is this batch's own. With it, the losses of the parts add up to that of the whole.
            cached: from the embeddings `(n, width)` of the labelled utterances and the prototypes to the sum of the
                contrastive losses, where these are known already (GradCache).

        Returns:
            a scalar in float32 at least; zero, with zero gradient, if everything is ignored.

        Raises:
            ValueError: a label is outside the classes.
        """
        assert output.logits is not None
        scored = labels != IGNORE_INDEX
        targets = labels[scored]
        _check_labels(targets, output.logits.shape[-1])
        loss = self._classification(output, scored, targets)
        if output.embeddings is not None and output.prototypes is not None:
            embeddings, prototypes = output.embeddings[scored], output.prototypes
            if cached is not None:
                contrast = cached(embeddings, prototypes)
            else:
                contrast = self.contrast(embeddings, targets, prototypes).sum()
            loss = loss + self.config.contrastive_weight * contrast
        items = targets.numel() if num_items is None else num_items
        return loss / torch.as_tensor(items, device=loss.device).clamp(min=1)

    def contrast(self, embeddings: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
        """The contrastive loss alone, of labelled utterances, neither weighted nor divided.

        Args:
            embeddings: `(n, width)`, unit norm.
            labels: `(n,)`, none of them ignored.
            prototypes: `(classes, width)`, unit norm.

        Returns:
            `(n,)`, the loss of each anchor.
        """
        loss = CONTRASTIVE_LOSSES[self.config.contrastive]
        memory = self.memory if self.memory is not None and self.memory.training else None
        every, every_label, further = embeddings, labels, []
        if self.gather is not None:
            every, every_label, own = self.gather(embeddings, labels)
            further.append((every[~own], every_label[~own]))
        if memory is not None:
            further.append(memory.read())
        others = (torch.cat([e for e, _ in further]), torch.cat([y for _, y in further])) if further else None
        anchors = loss(embeddings, labels, prototypes, self.config.contrastive_temperature, others)
        if memory is not None:
            memory.push(every, every_label)
        # All processes take part in the way back, those without an anchor of their own too.
        return anchors if self.gather is None else anchors + 0.0 * (every.sum() + prototypes.sum())

    def _classification(self, output: LossInputs, scored: Tensor, targets: Tensor) -> Tensor:
        """The sum over utterances of the loss of the averaged logits and of each modality's own."""
        config, logits = self.config, output.logits
        assert logits is not None
        weight = None if config.class_weights is None else logits.new_tensor(config.class_weights, dtype=torch.float32)
        classify = CLASSIFICATION_LOSSES[config.classification_loss]
        loss = classify(logits[scored], targets, weight, config).sum()
        if output.modality_logits is not None and output.modality_mask is not None and config.modality_loss_weight:
            present = output.modality_mask[scored]
            repeated = targets[:, None].expand_as(present)[present]
            own = classify(output.modality_logits[scored][present], repeated, weight, config)
            share = (1.0 / present.sum(dim=1, keepdim=True).clamp(min=1)).expand_as(present)[present]
            loss = loss + config.modality_loss_weight * (own * share).sum()
        return loss


def _check_labels(targets: Tensor, classes: int) -> None:
    if targets.numel() and (targets.min() < 0 or targets.max() >= classes):
        raise ValueError(
            f"labels reach from {targets.min().item()} to {targets.max().item()}, but the model has {classes} classes: "
            "map the corpus' labels to the model's by name (config.label2id)"
        )


@CLASSIFICATION_LOSSES.register("focal")
def focal(logits: Tensor, labels: Tensor, weight: Tensor | None, config: ErcConfig) -> Tensor:
    """Focal loss of each utterance, Lin et al. 2017 (arXiv 1708.02002), eq. 5, over the softmax of all classes.

    With p_c the probability of class c, w_c its weight (the paper's alpha) and q_c the target, 1 for the label, or
    smoothed as in [`cross_entropy`]:

        L = -sum_c q_c * w_c * (1 - p_c)^gamma * log(p_c)

    Each class of a smoothed target has a factor of its own. One common factor, (1 - p_label)^gamma, would let certainty
    bring the loss to zero and so undo the smoothing. With gamma = 0 this is `cross_entropy`.

    Args:
        logits: `(n, classes)`.
        labels: `(n,)`, none of them ignored.
        weight: `(classes,)` or `None`.
        config: its `focal_gamma` and `label_smoothing`.

    Returns:
        `(n,)`, in float32 at least.

    Example:
        >>> logits = torch.tensor([[0.0, 0.0]])
        >>> loss = focal(logits, torch.tensor([1]), None, ErcConfig(focal_gamma=1.0))
        >>> round(loss.item(), 4)  # half of log(2)
        0.3466
    """
    log_probabilities = torch.log_softmax(at_least_float32(logits), dim=1)
    classes = logits.shape[1]
    label = torch.nn.functional.one_hot(labels, classes).to(log_probabilities.dtype)
    target = label * (1 - config.label_smoothing) + config.label_smoothing / classes
    # 1 - p. At zero a power below one has no finite slope.
    rest = (-torch.expm1(log_probabilities)).clamp(min=torch.finfo(log_probabilities.dtype).tiny)
    losses = -target * rest**config.focal_gamma * log_probabilities
    return (losses if weight is None else losses * weight.to(losses.dtype)).sum(dim=1)


@CONTRASTIVE_LOSSES.register("supcon")
def supcon(
    embeddings: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    temperature: float,
    further: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Supervised contrastive loss, Khosla et al. 2020 (arXiv 2004.11362), eq. 2 (L_out).

    For an anchor i, P(i) the other members of its class and A(i) all others:

        L_i = -1/|P(i)| * sum_{p in P(i)} log( exp(z_i.z_p/tau) / sum_{a in A(i)} exp(z_i.z_a/tau) )

    An anchor without positives has no loss. Prototypes play no part: their gradient is zero.

    Args:
        embeddings: `(n, width)`, unit norm.
        labels: `(n,)`, none of them ignored.
        prototypes: `(classes, width)`.
        temperature: tau.
        further: embeddings `(k, width)` and labels `(k,)` of earlier batches or other processes: more members of
            P(i) and A(i), no anchors.

    Returns:
        `(n,)`, the loss of each anchor, in float32 at least.

    Example:
        >>> z = torch.nn.functional.normalize(torch.randn(4, 8), dim=1)
        >>> c = torch.nn.functional.normalize(torch.randn(3, 8), dim=1)
        >>> supcon(z, torch.tensor([0, 0, 0, 1]), c, temperature=0.1)[3].item()
        0.0
    """
    # autocast would turn the similarities back to bf16, whose rounding tau magnifies.
    with torch.autocast(embeddings.device.type, enabled=False):
        further_embeddings, further_labels = further or (embeddings.detach()[:0], labels[:0])
        others = at_least_float32(torch.cat([embeddings, further_embeddings]))
        other_labels = torch.cat([labels, further_labels])

        def losses(similarity: Tensor, same_class: Tensor, itself: Tensor) -> Tensor:
            denominator = torch.logsumexp(similarity.masked_fill(itself, -torch.inf), dim=1)
            positives = same_class & ~itself
            count = positives.sum(dim=1)
            mean = (similarity * positives).sum(dim=1) / count.clamp(min=1)
            # A batch's only utterance has no others: `where` takes out its -inf.
            return (denominator - mean).where(count > 0, 0.0)

        # DDP waits for a gradient of all that the model's output shows, prototypes too.
        return compare(losses, len(embeddings), others, other_labels, temperature) + 0.0 * prototypes.sum()
