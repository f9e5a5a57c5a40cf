"""Cross-batch memory: embeddings of earlier batches for the contrastive loss."""

import torch
from torch import Tensor, nn

from .configuration_erc import ErcConfig

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
