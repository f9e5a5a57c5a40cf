"""The rows of all processes on each of them, with gradients: a contrastive loss needs the whole batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..losses_erc import IGNORE_INDEX, ErcLoss
from ..outputs_erc import ErcClassifierOutput


@dataclass
class CachedContrast:
    """The contrastive loss of one part of a step, and its gradient.

    Args:
        value: a scalar, the sum of the losses of the part's anchors.
        embeddings: `(n, width)`, gradient of the whole step's loss in the part's labelled utterances.
        prototypes: `(classes, width)`, the part's share of the gradient in the prototypes.
    """

    value: Tensor
    embeddings: Tensor
    prototypes: Tensor

    def __call__(self, embeddings: Tensor, prototypes: Tensor) -> Tensor:
        """A scalar that is `value` and passes the cached gradients on to what the part's own forward pass made."""
        carrier = (embeddings * self.embeddings).sum() + (prototypes * self.prototypes).sum()
        return self.value + carrier - carrier.detach()


def cache_contrast(model: nn.Module, parts: Sequence[dict[str, Tensor]], loss: ErcLoss) -> list[CachedContrast]:
    """The contrastive loss over all parts of an optimizer step, as if they were one batch.

    The loss of a batch is no sum over its parts: anchors have to meet the members of all. After Gao et al. 2021
    (GradCache, arXiv 2101.06983), a first pass without graph makes all embeddings, the loss is differentiated down to
    them alone, and each part's own pass then carries those gradients on. That costs one more forward pass.

    The generators of random numbers are put back, so that a second pass over the parts, in the same order and next,
    draws the same dropout.

    Args:
        model: in training mode, wrapped as it is trained.
        parts: inputs of the model with `labels`, on its device.
        loss: its memory, if it has one, is read and added to once, for the whole step.

    Returns:
        one for each part. The sum of their values, and of their gradients, is the whole step's.
    """
    device = parts[0]["labels"].device
    embeddings, labels = [], []
    # The CPU's generator is put back in any case.
    with torch.random.fork_rng([] if device.type == "cpu" else [device]):
        for part in parts:
            scored = part["labels"] != IGNORE_INDEX
            with torch.no_grad():
                output: ErcClassifierOutput = model(**{name: x for name, x in part.items() if name != "labels"})
            assert output.embeddings is not None
            embeddings.append(output.embeddings[scored])
            labels.append(part["labels"][scored])
    assert output.prototypes is not None
    rows, prototypes = torch.cat(embeddings).requires_grad_(), output.prototypes.detach().requires_grad_()
    anchors = loss.contrast(rows, torch.cat(labels), prototypes)
    gradients = torch.autograd.grad(anchors.sum(), (rows, prototypes), materialize_grads=True)
    sizes = [len(part) for part in labels]
    return [
        CachedContrast(value.sum(), gradient, gradients[1] / len(parts))
        for value, gradient in zip(anchors.detach().split(sizes), gradients[0].split(sizes), strict=True)
    ]


class GatherBatch:
    """Gathers embeddings and labels over all processes; `ErcLoss` takes it as its `gather`.

    Gradients flow back to the process that a row is from: an anchor here is compared with rows of others, whose
    encoders have to hear of it. With the anchors' losses added up over the processes, loss and gradient are those of
    the whole batch on one process.

    It talks in a process group of its own, so that DDP's traffic in the same backward pass may come in any order.
    Every process has to make one, and to call it equally often.

    Example:
        >>> gather = GatherBatch() if torch.distributed.is_initialized() else None
    """

    def __init__(self) -> None:
        self.group = dist.new_group()

    def __call__(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gathers.

        Args:
            embeddings: `(n, width)` of this process; n may differ from process to process, and be zero.
            labels: `(n,)`.

        Returns:
            embeddings `(N, width)` and labels `(N,)` of all processes in their order, and a boolean `(N,)` that says
            which are this process' own.
        """
        sizes = [torch.zeros(1, dtype=torch.long, device=labels.device) for _ in range(dist.get_world_size(self.group))]
        dist.all_gather(sizes, torch.tensor([len(labels)], device=labels.device), group=self.group)
        counts = torch.cat(sizes)
        # Rows are exchanged in blocks of one size, as long as the longest; what fills them up is cut off again.
        missing = int(counts.max()) - len(labels)
        blocks = [torch.full((int(counts.max()),), IGNORE_INDEX, device=labels.device) for _ in sizes]
        dist.all_gather(blocks, torch.nn.functional.pad(labels, (0, missing), value=IGNORE_INDEX), group=self.group)
        rows: Tensor = _GatherRows.apply(torch.nn.functional.pad(embeddings, (0, 0, 0, missing)), self.group)
        filled = torch.arange(rows.shape[1], device=labels.device) < counts[:, None]
        ranks = torch.arange(len(counts), device=labels.device)[:, None].expand_as(filled)
        return rows[filled], torch.stack(blocks)[filled], ranks[filled] == dist.get_rank(self.group)


class _GatherRows(torch.autograd.Function):
    """`(rows, width)` of each process to `(processes, rows, width)` on all of them."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: Any) -> Tensor:
        ctx.group = group
        blocks = [torch.empty_like(rows) for _ in range(dist.get_world_size(group))]
        dist.all_gather(blocks, rows.contiguous(), group=group)
        return torch.stack(blocks)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        # What every process' loss asks of every row; each keeps what was asked of its own.
        gradient = gradient.contiguous()
        dist.all_reduce(gradient, group=ctx.group)
        return gradient[dist.get_rank(ctx.group)], None
