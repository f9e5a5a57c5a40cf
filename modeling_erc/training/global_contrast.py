"""The contrastive loss over a whole optimizer step: gathered over processes, cached over accumulated parts."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..losses_erc import IGNORE_INDEX, ErcLoss, class_labels
from ..outputs_erc import ErcClassifierOutput


class GatherBatch:
    """Gathers embeddings and labels over all processes; the `gather` of `ErcLoss`.

    Gradients flow back to the process of each row. With the losses of the anchors summed over the processes, loss and
    gradient equal those of the whole batch on one process.

    It communicates in its own process group, so that DDP's communication in the same backward pass may come in any
    order. Every process has to create one, and to call it the same number of times.

    Example:
        >>> gather = GatherBatch() if torch.distributed.is_initialized() else None
    """

    def __init__(self) -> None:
        self.group = dist.new_group()

    def __call__(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gathers the rows of all processes.

        Args:
            embeddings: `(n, width)` of this process; n may differ between processes, and be zero.
            labels: `(n,)`.

        Returns:
            Embeddings `(N, width)` and labels `(N,)` of all processes in their order, and a boolean `(N,)` that marks
            the rows of this process.
        """
        sizes = [torch.zeros(1, dtype=torch.long, device=labels.device) for _ in range(dist.get_world_size(self.group))]
        dist.all_gather(sizes, torch.tensor([len(labels)], device=labels.device), group=self.group)
        counts = torch.cat(sizes)
        # Blocks have to be of equal size: they are padded to the longest, and the padding is removed again.
        missing = int(counts.max()) - len(labels)
        blocks = [torch.full((int(counts.max()),), IGNORE_INDEX, device=labels.device) for _ in sizes]
        dist.all_gather(blocks, torch.nn.functional.pad(labels, (0, missing), value=IGNORE_INDEX), group=self.group)
        rows: Tensor = _GatherRows.apply(torch.nn.functional.pad(embeddings, (0, 0, 0, missing)), self.group)
        filled = torch.arange(rows.shape[1], device=labels.device) < counts[:, None]
        ranks = torch.arange(len(counts), device=labels.device)[:, None].expand_as(filled)
        return rows[filled], torch.stack(blocks)[filled], ranks[filled] == dist.get_rank(self.group)


class _GatherRows(torch.autograd.Function):
    """Turns `(rows, width)` of each process into `(processes, rows, width)` on all of them."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: Any) -> Tensor:
        ctx.group = group
        blocks = [torch.empty_like(rows) for _ in range(dist.get_world_size(group))]
        dist.all_gather(blocks, rows.contiguous(), group=group)
        return torch.stack(blocks)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        # Sums the gradients of all processes' losses; each process keeps those of its own rows.
        gradient = gradient.contiguous()
        dist.all_reduce(gradient, group=ctx.group)
        return gradient[dist.get_rank(ctx.group)], None


@dataclass
class CachedContrast:
    """The contrastive loss of one part of an optimizer step, and its gradient.

    Args:
        value: scalar, the sum of the losses of the part's anchors.
        embeddings: `(n, width)`, gradient of the whole step's loss with respect to the part's labelled utterances.
        prototypes: `(classes, width)`, this part's fraction of the gradient with respect to the prototypes.
    """

    value: Tensor
    embeddings: Tensor
    prototypes: Tensor

    def __call__(self, embeddings: Tensor, prototypes: Tensor) -> Tensor:
        """Returns a scalar equal to `value` that passes the cached gradients to the part's own forward pass."""
        carrier = (embeddings * self.embeddings).sum() + (prototypes * self.prototypes).sum()
        return self.value + carrier - carrier.detach()


@contextmanager
def _restored_generators(device: torch.device) -> Iterator[None]:
    """Restores the generators of PyTorch, NumPy (wav2vec2's SpecAugment draws from it) and Python (layer drop)."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        # fork_rng always restores the CPU's generator.
        with torch.random.fork_rng([] if device.type == "cpu" else [device]):
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


def cache_contrast(model: nn.Module, parts: Sequence[dict[str, Tensor]], loss: ErcLoss) -> list[CachedContrast]:
    """Computes the contrastive loss over all parts of an optimizer step, as if they were one batch.

    The loss of a batch is not the sum over its parts, since anchors have to meet the members of all parts. As in
    GradCache (Gao et al. 2021, arXiv 2101.06983), a first forward pass without graph computes all embeddings, the loss
    is differentiated with respect to them, and each part's own forward pass then continues from those gradients. The
    cost is one more forward pass.

    The state of all random number generators is restored, so that the next pass over the parts, in the same order,
    draws the same dropout and the same masks of SpecAugment.

    Args:
        model: in training mode, wrapped as it is trained.
        parts: inputs of the model with `labels`, on its device.
        loss: its memory, if it has one, is read and extended once for the whole step.

    Returns:
        One item for each part. The sums of their values and of their gradients are those of the whole step.
    """
    device = parts[0]["labels"].device
    embeddings, labels = [], []
    with _restored_generators(device):
        for part in parts:
            classes = class_labels(part["labels"])
            scored = classes != IGNORE_INDEX
            with torch.no_grad():
                output: ErcClassifierOutput = model(**{name: x for name, x in part.items() if name != "labels"})
            assert output.embeddings is not None
            embeddings.append(output.embeddings[scored])
            labels.append(classes[scored])
    assert output.prototypes is not None
    rows, prototypes = torch.cat(embeddings).requires_grad_(), output.prototypes.detach().requires_grad_()
    anchors = loss.contrast(rows, torch.cat(labels), prototypes)
    gradients = torch.autograd.grad(anchors.sum(), (rows, prototypes), materialize_grads=True)
    sizes = [len(part) for part in labels]
    return [
        CachedContrast(value.sum(), gradient, gradients[1] / len(parts))
        for value, gradient in zip(anchors.detach().split(sizes), gradients[0].split(sizes), strict=True)
    ]
