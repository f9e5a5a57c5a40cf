"""Spans of time and frequency blanked in training, so that a speech backbone does not learn its few clips by heart."""

import torch
from torch import Tensor

SPANS = 2


def mask_spans(values: Tensor, share: float) -> Tensor:
    """SpecAugment without the warping (Park et al. 2019, arXiv 1904.08779).

    In each row, `SPANS` spans of the last axis, and of the one before where there is one, take the row's mean. A span
    is anything up to `share` of its axis long and lies anywhere.

    Args:
        values: `(N, samples)`, `(N, mels, frames)`, `(N, frames, mels)` or `(N, channels, height, width)`.
        share: of each axis, from 0 to 1.

    Returns:
        what `values` is, with the spans blanked.

    Example:
        >>> mask_spans(torch.randn(4, 80, 300), share=0.2).shape
        torch.Size([4, 80, 300])
    """
    rows = len(values)
    blank = torch.zeros_like(values, dtype=torch.bool)
    for axis in range(1 if values.dim() == 2 else values.dim() - 2, values.dim()):
        length = values.shape[axis]
        for _ in range(SPANS):
            width = torch.rand(rows, 1, device=values.device) * share * length
            start = torch.rand(rows, 1, device=values.device) * (length - width)
            place = torch.arange(length, device=values.device)
            span = (place >= start) & (place < start + width)
            blank |= span.view(rows, *(length if i == axis else 1 for i in range(1, values.dim())))
    mean = values.flatten(1).mean(dim=1).view(rows, *[1] * (values.dim() - 1))
    return torch.where(blank, mean, values)


__all__ = ["mask_spans"]
