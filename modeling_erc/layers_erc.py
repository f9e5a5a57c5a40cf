"""Small layers that fusion and context share."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_erc import ErcConfig


class Dropout(nn.Module):
    """Dropout (Srivastava et al. 2014) whose mask is cheap to draw on a CPU.

    PyTorch draws a number for each value there, which took two fifths of a training step. Here a byte of a drawn
    64-bit number decides, so the chance is rounded to 1/256; other devices use PyTorch's own.

    Args:
        p: chance that a value is set to zero; the others are scaled up, so that the mean stays.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        """Drops, in training; any shape."""
        dropped = round(256 * self.p)
        if not self.training or values.device.type != "cpu" or not 0 < dropped < 256:
            return nn.functional.dropout(values, self.p, self.training)
        dropped_values: Tensor = _ByteDropout.apply(values, dropped)
        return dropped_values

    def extra_repr(self) -> str:
        """As PyTorch's."""
        return f"p={self.p}"


class _ByteDropout(torch.autograd.Function):
    """`(values, dropped)` to values of which `dropped` in 256 are zero; a byte a value is kept for the way back."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, dropped: int) -> Tensor:
        numbers = torch.empty((values.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        kept = numbers.view(torch.uint8)[: values.numel()].view(values.shape) >= dropped
        ctx.save_for_backward(kept)
        ctx.scale = 256 / (256 - dropped)
        return values * kept.to(values.dtype).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (kept,) = ctx.saved_tensors
        return gradient * kept.to(gradient.dtype).mul_(ctx.scale), None


class TransformerLayer(GradientCheckpointingLayer):
    """Pre-norm transformer encoder layer on scaled dot-product attention (Vaswani et al. 2017; Xiong et al. 2020).

    Args:
        config: gives `hidden_size`, `num_attention_heads`, `intermediate_size` and `hidden_dropout_prob`.
        intermediate_size: width of the feed-forward net; default: the config's.
    """

    def __init__(self, config: ErcConfig, intermediate_size: int | None = None) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.attention_norm = nn.LayerNorm(config.hidden_size)
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.attention_output = nn.Linear(config.hidden_size, config.hidden_size)
        self.feed_forward = feed_forward(config, intermediate_size or config.intermediate_size)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: Tensor, attention_mask: Tensor) -> Tensor:
        """One layer.

        Args:
            hidden_states: `(batch, length, hidden)`.
            attention_mask: what scaled dot-product attention takes, broadcastable to `(batch, heads, length, length)`:
                boolean (True is seen) or additive. Each row must see at least one position.

        Returns:
            `(batch, length, hidden)`.
        """
        return self._attend(hidden_states, *self._query_key_value(hidden_states), attention_mask)

    def step(
        self, hidden_states: Tensor, attention_mask: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One layer for the last position of a row whose earlier ones have been here before.

        Args:
            hidden_states: `(batch, 1, hidden)`.
            attention_mask: as for `forward`, `(batch, heads, 1, past + 1)`.
            past: keys and values of the earlier positions, both `(batch, heads, past, width)`; `None` for the first.

        Returns:
            `(batch, 1, hidden)`, and the keys and values with this position's.
        """
        query, key, value = self._query_key_value(hidden_states)
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        return self._attend(hidden_states, query, key, value, attention_mask), (key, value)

    def _query_key_value(self, hidden_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of each position, `(batch, heads, length, width)`."""
        batch, length, _ = hidden_states.shape
        qkv = self.qkv(self.attention_norm(hidden_states)).view(batch, length, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        return query, key, value

    def _attend(
        self, hidden_states: Tensor, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor
    ) -> Tensor:
        """The rest of the layer, from the attention on."""
        mixed = attend(query, key, value, attention_mask, self.dropout).transpose(1, 2).flatten(2)
        hidden_states = hidden_states + self.dropout(self.attention_output(mixed))
        return hidden_states + self.dropout(self.feed_forward(hidden_states))


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout: Dropout) -> Tensor:
    """Scaled dot-product attention, PyTorch's own wherever it is the faster one.

    On a CPU it has no fused kernel with dropout, and draws the mask of that at length.

    Args:
        query: `(batch, heads, length, width)`.
        key: likewise.
        value: likewise.
        mask: boolean (True is seen) or additive, broadcastable to `(batch, heads, length, length)`.
        dropout: of the attention weights.

    Returns:
        `(batch, heads, length, width)`.
    """
    if query.device.type != "cpu" or not (dropout.training and dropout.p):
        mask = mask if mask.dtype == torch.bool else mask.to(query.dtype)
        chance = dropout.p if dropout.training else 0.0
        return nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=chance)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min) if mask.dtype == torch.bool else scores + mask
    return dropout(scores.softmax(dim=-1).to(value.dtype)) @ value


def feed_forward(config: ErcConfig, intermediate_size: int) -> nn.Sequential:
    """The feed-forward half of a pre-norm transformer layer, its norm included, for `(..., hidden)`."""
    return nn.Sequential(
        nn.LayerNorm(config.hidden_size),
        nn.Linear(config.hidden_size, intermediate_size),
        nn.GELU(),
        Dropout(config.hidden_dropout_prob),
        nn.Linear(intermediate_size, config.hidden_size),
    )


class AttentionPool(nn.Module):
    """One vector for a row of tokens: each head's learned weighted mean of its share of the width.

    It starts near the plain mean and learns which tokens matter (cf. hierarchical attention, Yang et al. 2016).

    Args:
        config: gives `hidden_size` and `num_attention_heads`.
    """

    def __init__(self, config: ErcConfig) -> None:
        super().__init__()
        self.scores = nn.Linear(config.hidden_size, config.num_attention_heads)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Pools `(N, tokens, hidden)` under the boolean mask `(N, tokens)` to `(N, hidden)`; zero if all is masked."""
        weights = self.scores(tokens).masked_fill(~mask[..., None], torch.finfo(tokens.dtype).min).softmax(dim=1)
        heads = tokens.unflatten(-1, (weights.shape[-1], -1))
        pooled = torch.einsum("nth,nthw->nhw", weights, heads).flatten(1)
        return pooled * mask.any(dim=1, keepdim=True)


def masked_mean(values: Tensor, mask: Tensor, dim: int) -> Tensor:
    """Mean of `values` along `dim` over the positions where `mask` is true; zero where none is.

    Args:
        values: `(..., n, hidden)` with `n` at `dim`.
        mask: boolean, the shape of `values` without its last axis.
        dim: the axis to reduce.
    """
    weights = mask.unsqueeze(-1).to(values.dtype)
    return (values * weights).sum(dim) / weights.sum(dim).clamp(min=1.0)


def scatter_rows(rows: Tensor, mask: Tensor) -> Tensor:
    """Puts packed rows back into their places; the others are zero.

    Args:
        rows: `(n, ...)`, one for each true place of `mask`, in row-major order.
        mask: boolean, any shape with `n` true places.

    Returns:
        `(*mask.shape, ...)`.
    """
    places = rows.new_zeros(*mask.shape, *rows.shape[1:])
    places[mask] = rows
    return places


def alike_lengths(lengths: Tensor, size: int) -> tuple[Tensor, ...]:
    """Splits rows into groups of `size` of alike length, so that little of a padded group is padding.

    Args:
        lengths: `(n,)`.
        size: rows in a group at most.

    Returns:
        index tensors that together are a permutation of the rows.
    """
    return lengths.argsort(stable=True).split(size)


def unsplit(parts: list[Tensor], groups: tuple[Tensor, ...]) -> Tensor:
    """Puts the results of the groups of [`alike_lengths`] together again.

    Args:
        parts: for each group `(rows, width)`, or `(rows, ..., length, width)`, padded with zeros to the longest.
        groups: the index tensors.

    Returns:
        all rows, in the order before the split.
    """
    if parts[0].dim() > 2:
        longest = max(part.shape[-2] for part in parts)
        parts = [nn.functional.pad(part, (0, 0, 0, longest - part.shape[-2])) for part in parts]
    return torch.cat(parts)[torch.cat(groups).argsort()]


def end_of(mask: Tensor) -> int:
    """Length up to the last place that any row of `mask`, boolean `(rows, length)`, has; 1 at least."""
    places = mask.any(dim=0).nonzero()
    return int(places.max()) + 1 if len(places) else 1
