"""Supervised contrastive loss, the baseline of `inter_class`."""

import torch
from torch import Tensor

from .losses_erc import CONTRASTIVE_LOSSES, at_least_float32, compare


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
