"""Focal loss: cross-entropy that attends to the utterances which are not yet told apart."""

import torch
from torch import Tensor

from .configuration_erc import ErcConfig
from .losses_erc import CLASSIFICATION_LOSSES, at_least_float32


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
