"""A contrastive loss over all parts of an accumulated step, exact and in the memory of one part (GradCache)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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
