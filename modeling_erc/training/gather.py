"""The rows of all processes on each of them, with gradients: a contrastive loss needs the whole batch."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..losses_erc import IGNORE_INDEX


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
