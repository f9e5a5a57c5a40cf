"""The supervised contrastive loss as the field's code mostly writes it, to compare with."""

import torch
from torch import Tensor


def plain_supcon(embeddings: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Khosla et al. 2020, eq. 2, with whole matrices of all against all, averaged over the anchors.

    Args:
        embeddings: `(n, width)`, unit norm.
        labels: `(n,)`.
        temperature: tau.
    """
    similarity = embeddings @ embeddings.T / temperature
    similarity = similarity - similarity.max(dim=1, keepdim=True).values.detach()
    others = 1 - torch.eye(len(labels), device=labels.device)
    positives = (labels[:, None] == labels[None, :]).float() * others
    log_probability = similarity - torch.log((similarity.exp() * others).sum(dim=1, keepdim=True) + 1e-12)
    return -((positives * log_probability).sum(dim=1) / positives.sum(dim=1).clamp(min=1)).mean()
