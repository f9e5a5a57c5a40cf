"""Losses: classes, targets, contrast between classes, and the training objective. Three registries and `ErcLoss`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .configuration_erc import ErcConfig
from .layers_erc import ContrastiveMemory, at_least_float32, mean_of_known
from .outputs_erc import ErcClassifierOutput
from .registry_erc import Registry

# Label or target that an utterance does not have.
IGNORE_INDEX = -100
# Similarities that are in memory at a time: 8 MB of float32.
CELLS = 2**21

ClassificationLoss = Callable[[Tensor, Tensor, Tensor | None, ErcConfig], Tensor]
# Maps embeddings `(n, width)` and labels `(n,)` of this process to those of all processes, `(N, width)` and `(N,)`, and
# to a boolean `(N,)` that marks its own.
Gather = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
# Maps predicted and true targets and a mask of the known ones, all `(n, targets)`, to losses of the same shape.
TargetLoss = Callable[[Tensor, Tensor, Tensor, Gather | None], Tensor]


class ContrastiveLoss(Protocol):
    """Signature of a contrastive loss: see [`inter_class`]."""

    def __call__(
        self,
        embeddings: Tensor,
        labels: Tensor,
        prototypes: Tensor,
        temperature: float,
        extra: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor: ...


CLASSIFICATION_LOSSES: Registry[ClassificationLoss] = Registry("classification loss")
TARGET_LOSSES: Registry[TargetLoss] = Registry("target loss")
CONTRASTIVE_LOSSES: Registry[ContrastiveLoss] = Registry("contrastive loss")


@CLASSIFICATION_LOSSES.register("cross_entropy")
def cross_entropy(logits: Tensor, labels: Tensor, weight: Tensor | None, config: ErcConfig) -> Tensor:
    """Cross-entropy of each utterance, multiplied by the weight of its class.

    Args:
        logits: `(n, classes)`.
        labels: `(n,)`, none of them ignored.
        weight: `(classes,)` or `None`.
        config: config with `label_smoothing`, the share of the target that is spread over all classes.

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


@CLASSIFICATION_LOSSES.register("focal")
def focal(logits: Tensor, labels: Tensor, weight: Tensor | None, config: ErcConfig) -> Tensor:
    """Focal loss of each utterance, Lin et al. 2017 (arXiv 1708.02002), eq. 5, over the softmax of all classes.

    With p_c the probability of class c, w_c its weight (the paper's alpha) and q_c the target, 1 for the label, or
    smoothed as in [`cross_entropy`]:

        L = -sum_c q_c * w_c * (1 - p_c)^gamma * log(p_c)

    Each class of a smoothed target has its own factor. With the common factor (1 - p_label)^gamma a confident
    prediction would have no loss, which would undo the smoothing. With gamma = 0 this is `cross_entropy`.

    Args:
        logits: `(n, classes)`.
        labels: `(n,)`, none of them ignored.
        weight: `(classes,)` or `None`.
        config: config with `focal_gamma` and `label_smoothing`.

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
    # 1 - p, clamped because powers below one have no finite slope at zero.
    rest = (-torch.expm1(log_probabilities)).clamp(min=torch.finfo(log_probabilities.dtype).tiny)
    losses = -target * rest**config.focal_gamma * log_probabilities
    return (losses if weight is None else losses * weight.to(losses.dtype)).sum(dim=1)


@CLASSIFICATION_LOSSES.register("binary_cross_entropy")
def binary_cross_entropy(logits: Tensor, labels: Tensor, weight: Tensor | None, config: ErcConfig) -> Tensor:
    """Binary cross-entropy of each utterance that may have several labels: the mean over the known ones.

    Args:
        logits: `(n, classes)`.
        labels: `(n, classes)`, 1 or 0, -100 where a label is unknown.
        weight: `(classes,)`, weight of the utterances that have a label, or `None`.
        config: config with `label_smoothing`, which moves a label towards one half.

    Returns:
        `(n,)`, in float32 at least.
    """
    scores, known = at_least_float32(logits), labels != IGNORE_INDEX
    smoothed = labels.clamp(min=0).to(scores.dtype) * (1 - config.label_smoothing) + config.label_smoothing / 2
    cells = torch.nn.functional.binary_cross_entropy_with_logits(scores, smoothed, pos_weight=weight, reduction="none")
    return mean_of_known(cells, known)


@TARGET_LOSSES.register("mse")
def squared_error(predicted: Tensor, true: Tensor, known: Tensor, gather: Gather | None) -> Tensor:
    """Squared error of each target, in squared standard deviations."""
    return (predicted - true) ** 2


@TARGET_LOSSES.register("mae")
def absolute_error(predicted: Tensor, true: Tensor, known: Tensor, gather: Gather | None) -> Tensor:
    """Absolute error of each target, in standard deviations."""
    return (predicted - true).abs()


@TARGET_LOSSES.register("ccc")
def concordance(predicted: Tensor, true: Tensor, known: Tensor, gather: Gather | None) -> Tensor:
    """One minus the concordance correlation (Lin 1989) of each target over the batch, the same for each utterance.

    It is 1 for a target with fewer than two different values. `gather` collects the rows of all processes.
    """
    rows = torch.cat([predicted, true, known.to(predicted.dtype)], dim=1)
    if gather is not None:
        rows = gather(rows, torch.zeros(len(rows), dtype=torch.long, device=rows.device))[0]
    x, y, mask = rows.chunk(3, dim=1)
    count = mask.sum(dim=0).clamp(min=1)
    x_mean, y_mean = (x * mask).sum(dim=0) / count, (y * mask).sum(dim=0) / count
    x, y = (x - x_mean) * mask, (y - y_mean) * mask
    spread = ((x**2).sum(dim=0) + (y**2).sum(dim=0)) / count + (x_mean - y_mean) ** 2
    loss = 1 - 2 * (x * y).sum(dim=0) / count / spread.clamp(min=1e-6)
    return loss.expand_as(predicted)


def is_labelled(labels: Tensor) -> Tensor:
    """Returns which utterances have a label or a target, boolean `(batch, utterances)`; see [`ErcLoss`]."""
    return labels != IGNORE_INDEX if labels.dim() == 2 else (labels != IGNORE_INDEX).any(dim=-1)


def class_labels(labels: Tensor) -> Tensor:
    """Returns the class indices `(...)` of labels with or without targets behind them, -100 where there is none."""
    return labels[..., 0].long() if labels.is_floating_point() else labels


@CONTRASTIVE_LOSSES.register("none")
def no_contrast(
    embeddings: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    temperature: float,
    extra: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """No contrastive loss: zero for every anchor."""
    return embeddings.new_zeros(embeddings.shape[0])


@CONTRASTIVE_LOSSES.register("inter_class")
def inter_class(
    embeddings: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    temperature: float,
    extra: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Supervised inter-class contrastive loss, after Shi et al. 2024 (arXiv 2405.17900).

    For an anchor i of class y, P(i) the other members of y and its prototype, and B_c the members of class c (without
    the anchor) and its prototype:

        L_i = -1/|P(i)| * sum_{p in P(i)} log( exp(z_i.z_p/tau) / sum_c mean_{k in B_c} exp(z_i.z_k/tau) )

    The mean inside each class gives all classes the same weight, and prototypes represent classes that a batch lacks
    (cf. balanced contrastive learning, Zhu et al. 2022, arXiv 2207.09052). The prototype is also a positive: otherwise
    it would only be pushed away, and the only member of a class would have no gradient. Subtracting log |B_c| from the
    similarities turns the means into one `logsumexp`.

    Args:
        embeddings: `(n, width)`, unit norm.
        labels: `(n,)`, none of them ignored.
        prototypes: `(classes, width)`, unit norm.
        temperature: tau.
        extra: embeddings `(k, width)` and labels `(k,)` of earlier batches or other processes. They are members of
            P(i) and B_c, not anchors.

    Returns:
        `(n,)`, the loss of each anchor, in float32 at least.

    Example:
        >>> z = torch.nn.functional.normalize(torch.randn(6, 8), dim=1)
        >>> c = torch.nn.functional.normalize(torch.randn(3, 8), dim=1)
        >>> inter_class(z, torch.tensor([0, 0, 1, 1, 2, 2]), c, temperature=0.1).shape
        torch.Size([6])
    """
    # autocast would compute the similarities in bf16, and dividing by tau magnifies its rounding errors.
    with torch.autocast(embeddings.device.type, enabled=False):
        classes = prototypes.shape[0]
        extra_embeddings, extra_labels = extra or (embeddings.detach()[:0], labels[:0])
        others = at_least_float32(torch.cat([embeddings, prototypes, extra_embeddings]))
        other_labels = torch.cat([labels, torch.arange(classes, device=labels.device), extra_labels])
        members = torch.bincount(other_labels, minlength=classes)[other_labels].to(others.dtype)
        log_sizes = members.log()
        # The anchor's class has one member fewer, because the anchor is left out.
        own_log_sizes = (members - 1).clamp(min=1).log()

        def losses(similarity: Tensor, same_class: Tensor, itself: Tensor) -> Tensor:
            balanced = similarity - torch.where(same_class, own_log_sizes, log_sizes)
            denominator = torch.logsumexp(balanced.masked_fill(itself, -torch.inf), dim=1)
            positives = same_class & ~itself
            return denominator - (similarity * positives).sum(dim=1) / positives.sum(dim=1)

        return compare(losses, len(embeddings), others, other_labels, temperature)


@CONTRASTIVE_LOSSES.register("supcon")
def supcon(
    embeddings: Tensor,
    labels: Tensor,
    prototypes: Tensor,
    temperature: float,
    extra: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Supervised contrastive loss, Khosla et al. 2020 (arXiv 2004.11362), eq. 2 (L_out).

    For an anchor i, P(i) the other members of its class and A(i) all other utterances:

        L_i = -1/|P(i)| * sum_{p in P(i)} log( exp(z_i.z_p/tau) / sum_{a in A(i)} exp(z_i.z_a/tau) )

    The loss of an anchor without positives is zero. Prototypes are not used and have a gradient of zero.

    Args:
        embeddings: `(n, width)`, unit norm.
        labels: `(n,)`, none of them ignored.
        prototypes: `(classes, width)`.
        temperature: tau.
        extra: embeddings `(k, width)` and labels `(k,)` of earlier batches or other processes. They are members of
            P(i) and A(i), not anchors.

    Returns:
        `(n,)`, the loss of each anchor, in float32 at least.

    Example:
        >>> z = torch.nn.functional.normalize(torch.randn(4, 8), dim=1)
        >>> c = torch.nn.functional.normalize(torch.randn(3, 8), dim=1)
        >>> supcon(z, torch.tensor([0, 0, 0, 1]), c, temperature=0.1)[3].item()
        0.0
    """
    # autocast would compute the similarities in bf16, and dividing by tau magnifies its rounding errors.
    with torch.autocast(embeddings.device.type, enabled=False):
        extra_embeddings, extra_labels = extra or (embeddings.detach()[:0], labels[:0])
        others = at_least_float32(torch.cat([embeddings, extra_embeddings]))
        other_labels = torch.cat([labels, extra_labels])

        def losses(similarity: Tensor, same_class: Tensor, itself: Tensor) -> Tensor:
            denominator = torch.logsumexp(similarity.masked_fill(itself, -torch.inf), dim=1)
            positives = same_class & ~itself
            count = positives.sum(dim=1)
            mean = (similarity * positives).sum(dim=1) / count.clamp(min=1)
            # The only utterance of a batch has a denominator of -inf, which `where` replaces.
            return (denominator - mean).where(count > 0, 0.0)

        # DDP waits for a gradient of every output of the model, including the prototypes.
        return compare(losses, len(embeddings), others, other_labels, temperature) + 0.0 * prototypes.sum()


def compare(
    losses: Callable[[Tensor, Tensor, Tensor], Tensor],
    anchors: int,
    others: Tensor,
    other_labels: Tensor,
    temperature: float,
) -> Tensor:
    """Computes per-anchor losses over chunks of the similarity matrix; peak memory is linear in the number of anchors.

    Args:
        losses: function from three matrices `(rows, m)` to the losses `(rows,)` of a chunk of anchors: similarities
            z_i.z_k/tau, whether k is in the class of i, whether k is i.
        anchors: number n of anchors.
        others: `(m, width)`; the first n rows are the anchors.
        other_labels: `(m,)`, their classes.
        temperature: tau.

    Returns:
        `(n,)`, the losses of all anchors.
    """
    indices = torch.arange(len(others), device=others.device)

    def of_rows(points: Tensor, rows: Tensor) -> Tensor:
        similarity = points[rows] @ points.T / temperature
        return losses(similarity, other_labels[rows, None] == other_labels, rows[:, None] == indices)

    pieces = indices[:anchors].split(max(1, CELLS // max(1, len(others))))
    if len(pieces) == 1:
        return of_rows(others, pieces[0])
    result: Tensor = _InPieces.apply(others, of_rows, pieces)
    return result


class _InPieces(torch.autograd.Function):
    """Recomputes each chunk in the backward pass, where autograd would keep all chunks in memory."""

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
                losses = ctx.of_rows(points, rows)
            total += torch.autograd.grad(losses, points, gradient[rows])[0]
        return total, None, None


@dataclass
class ErcLoss:
    """The training objective: losses of the averaged logits and of the modality logits, and the contrastive loss.

    `labels` are class indices `(batch, utterances)` for a single label. Where an utterance has several labels or has
    targets, they are float `(batch, utterances, columns)`: first the class index (`single_label_classification`), or 1
    or 0 for each class (`multi_label_classification`), or nothing (`regression`), then the targets in their own units.
    In all forms -100 marks what an utterance does not have. The loss of an utterance is that of its classes plus
    `target_loss_weight` times the mean loss of its targets, in standard deviations of the training split.

    With `logit_adjustment` tau, tau * log(prior) of each class is added to all logits before the classification loss
    (Menon et al. 2021, arXiv 2007.07314, eq. 10). The model's own logits, without this term, then favour rare classes
    as much as frequent ones. The priors are those of the whole training split, so that they do not depend on batches
    or processes.

    Args:
        config: config with names and weights of the three terms.
        memory: the `contrastive_memory` of the classifier. In training mode each call uses its contents and then
            stores the batch; in evaluation mode it is not used, so that the loss depends only on the batch.
        gather: gathers the labelled utterances of all processes with gradients, so that the anchors of this process
            are compared with the global batch. `None` for a single process.

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
        output: ErcClassifierOutput,
        labels: Tensor,
        num_items: Tensor | int | None = None,
        cached: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Computes the loss.

        Args:
            output: output of [`ErcForSequenceClassification`]; only `logits` is required.
            labels: `(batch, utterances)`, or `(batch, utterances, columns)` as described above.
            num_items: number of labelled utterances of the optimizer step, over accumulation steps and processes, so
                that the losses of its parts add up. Default: those of this batch.
            cached: function from the embeddings `(n, width)` of the labelled utterances and the prototypes to the sum
                of the contrastive losses, if these were computed before (GradCache).

        Returns:
            a scalar in float32 at least; zero, with zero gradient, if everything is ignored.

        Raises:
            ValueError: a label is outside the classes.
        """
        assert output.logits is not None
        scored = is_labelled(labels)
        loss = self._of_heads(output, scored, labels[scored])
        if output.embeddings is not None and output.prototypes is not None:
            classes = class_labels(labels)
            known = classes != IGNORE_INDEX
            embeddings, prototypes = output.embeddings[known], output.prototypes
            if cached is not None:
                contrast = cached(embeddings, prototypes)
            else:
                contrast = self.contrast(embeddings, classes[known], prototypes).sum()
            loss = loss + self.config.contrastive_weight * contrast
        items = int(scored.sum()) if num_items is None else num_items
        return loss / torch.as_tensor(items, device=loss.device).clamp(min=1)

    def contrast(self, embeddings: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
        """Computes the contrastive loss of labelled utterances without weight and normalisation.

        Args:
            embeddings: `(n, width)`, unit norm.
            labels: `(n,)`, none of them ignored.
            prototypes: `(classes, width)`, unit norm.

        Returns:
            `(n,)`, the loss of each anchor.
        """
        loss = CONTRASTIVE_LOSSES[self.config.contrastive]
        memory = self.memory if self.memory is not None and self.memory.training else None
        all_embeddings, all_labels, extra = embeddings, labels, []
        if self.gather is not None:
            all_embeddings, all_labels, own = self.gather(embeddings, labels)
            extra.append((all_embeddings[~own], all_labels[~own]))
        if memory is not None:
            extra.append(memory.read())
        others = (torch.cat([e for e, _ in extra]), torch.cat([y for _, y in extra])) if extra else None
        anchors = loss(embeddings, labels, prototypes, self.config.contrastive_temperature, others)
        if memory is not None:
            memory.push(all_embeddings, all_labels)
        # All processes take part in the backward pass, including those without an anchor.
        return anchors if self.gather is None else anchors + 0.0 * (all_embeddings.sum() + prototypes.sum())

    def _of_heads(self, output: ErcClassifierOutput, scored: Tensor, labels: Tensor) -> Tensor:
        """Sums the losses of the averaged logits and of the modality logits over utterances."""
        assert output.logits is not None
        loss = self._of_rows(output.logits[scored], labels).sum()
        weight = self.config.modality_loss_weight
        if output.modality_logits is not None and output.modality_mask is not None and weight:
            present = output.modality_mask[scored]
            counts = present.sum(dim=1)
            own = self._of_rows(output.modality_logits[scored][present], labels.repeat_interleave(counts, dim=0))
            share = (1.0 / counts[:, None].clamp(min=1)).expand_as(present)[present]
            loss = loss + weight * (own * share).sum()
        return loss

    def _of_rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Returns the losses `(n,)` of logits `(n, outputs)` for their labels `(n,)` or `(n, columns)`."""
        config = self.config
        loss = at_least_float32(logits.new_zeros(len(logits)))
        if config.num_classes:
            weight = config.class_weights
            weights = None if weight is None else logits.new_tensor(weight, dtype=torch.float32)
            scores = logits[:, : config.num_classes] + self._adjustment(logits)
            classify = CLASSIFICATION_LOSSES[config.classification_loss]
            if config.problem_type == "multi_label_classification":
                loss = classify(scores, labels[:, : config.num_classes], weights, config)
            else:
                classes = class_labels(labels)
                known = classes != IGNORE_INDEX
                _check_labels(classes[known], config.num_classes)
                loss = classify(scores, classes.clamp(min=0), weights, config).where(known, 0.0)
        if config.target_names:
            count = len(config.target_names)
            known = labels[:, -count:] != IGNORE_INDEX
            mean, scale = logits.new_tensor(config.target_mean), logits.new_tensor(config.target_scale)
            predicted = at_least_float32((logits[:, -count:] - mean) / scale)
            true = ((labels[:, -count:] - mean) / scale).where(known, 0.0).to(predicted.dtype)
            cells = TARGET_LOSSES[config.target_loss](predicted, true, known, self.gather)
            loss = loss + config.target_loss_weight * mean_of_known(cells, known)
        return loss

    def _adjustment(self, logits: Tensor) -> Tensor:
        """Returns what logit adjustment adds to the logits of every utterance, `(classes,)`."""
        config = self.config
        if not config.logit_adjustment:
            return logits.new_zeros(())
        if config.class_priors is None:
            raise ValueError("logit_adjustment needs class_priors: the frequencies of the classes in training")
        # A class without a training label keeps a finite shift.
        priors = logits.new_tensor(config.class_priors, dtype=torch.float32).clamp(min=1e-6)
        several = config.problem_type == "multi_label_classification"
        return config.logit_adjustment * (priors.clamp(max=1 - 1e-6).logit() if several else priors.log())


def _check_labels(targets: Tensor, classes: int) -> None:
    if targets.numel() and (targets.min() < 0 or targets.max() >= classes):
        raise ValueError(
            f"labels reach from {targets.min().item()} to {targets.max().item()}, but the model has {classes} classes: "
            "map the corpus' labels to the model's by name (config.label2id)"
        )
