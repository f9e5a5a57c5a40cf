"""Layers and tensor functions shared by encoders, fusion, context and losses."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_erc import ErcConfig

# Label of an empty slot of the memory.
EMPTY = -1


class Dropout(nn.Dropout):
    """Dropout (Srivastava et al. 2014) with a faster random mask on a CPU.

    On a CPU PyTorch draws one random number per value. This class draws one byte per value, so the probability `p` is
    rounded to a multiple of 1/256. Other devices use PyTorch's implementation.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Applies dropout in training mode to a tensor of any shape."""
        dropped = round(256 * self.p)
        if not self.training or values.device.type != "cpu" or not 0 < dropped < 256:
            return nn.functional.dropout(values, self.p, self.training)
        dropped_values: Tensor = _ByteDropout.apply(values, dropped)
        return dropped_values


class ContrastiveMemory(nn.Module):
    """Cross-batch memory of embeddings and labels, after Wang et al. 2020 (XBM, arXiv 1912.06798).

    A small batch has few members of a class. Embeddings change slowly, so those of earlier steps serve as extra
    negatives and positives. They have no gradient and are not anchors.

    The contents are buffers in the dtype of the model and part of a checkpoint, so that a resumed run continues
    exactly. In distributed training every process holds the embeddings of all processes.

    Args:
        config: config with `contrastive_memory` (slots) and `contrastive_size` (width).

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
        self.register_buffer("position", torch.tensor(0))  # next slot to write

    def read(self) -> tuple[Tensor, Tensor]:
        """Returns copies of the stored embeddings `(k, width)` and labels `(k,)`; k is 0 at first."""
        filled = self.labels != EMPTY
        return self.embeddings[filled], self.labels[filled]

    @torch.no_grad()
    def push(self, embeddings: Tensor, labels: Tensor) -> None:
        """Stores a batch in place of the oldest embeddings.

        Args:
            embeddings: `(n, width)`, unit norm. Rows that are not finite are left out, so that an fp16 overflow does
                not affect later steps.
            labels: `(n,)`.
        """
        size, finite = len(self.labels), embeddings.isfinite().all(dim=1)
        embeddings, labels = embeddings[finite][-size:], labels[finite][-size:]
        slots = (self.position + torch.arange(len(labels), device=labels.device)) % size
        self.embeddings[slots] = embeddings.to(self.embeddings.dtype)
        self.labels[slots] = labels
        self.position.copy_((self.position + len(labels)) % size)


class _ByteDropout(torch.autograd.Function):
    """Sets `dropped` in 256 of the values to zero; keeps one byte per value for the backward pass."""

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
        config: config with `hidden_size`, `num_attention_heads`, `intermediate_size` and `hidden_dropout_prob`.
        intermediate_size: width of the feed-forward network; default: that of the config.
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
        """Applies the layer.

        Args:
            hidden_states: `(batch, length, hidden)`.
            attention_mask: mask of scaled dot-product attention, broadcastable to `(batch, heads, length, length)`:
                boolean (True is seen) or additive. Each row must see at least one position.

        Returns:
            `(batch, length, hidden)`.
        """
        return self._attend(hidden_states, *self._query_key_value(hidden_states), attention_mask)

    def step(
        self, hidden_states: Tensor, attention_mask: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Applies the layer to the next position, given the keys and values of the earlier ones.

        Args:
            hidden_states: `(batch, 1, hidden)`.
            attention_mask: as for `forward`, `(batch, heads, 1, past + 1)`.
            past: keys and values of the earlier positions, both `(batch, heads, past, width)`; `None` for the first.

        Returns:
            `(batch, 1, hidden)`, and the keys and values including this position.
        """
        query, key, value = self._query_key_value(hidden_states)
        if past is not None:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
        return self._attend(hidden_states, query, key, value, attention_mask), (key, value)

    def _query_key_value(self, hidden_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns query, key and value, each `(batch, heads, length, width)`."""
        batch, length, _ = hidden_states.shape
        qkv = self.qkv(self.attention_norm(hidden_states)).view(batch, length, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        return query, key, value

    def _attend(
        self, hidden_states: Tensor, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor
    ) -> Tensor:
        """Applies attention and the feed-forward network with their residual connections."""
        mixed = attend(query, key, value, attention_mask, self.dropout).transpose(1, 2).flatten(2)
        hidden_states = hidden_states + self.dropout(self.attention_output(mixed))
        return hidden_states + self.dropout(self.feed_forward(hidden_states))


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout: Dropout) -> Tensor:
    """Scaled dot-product attention; uses PyTorch's kernel except on a CPU with dropout, where there is no fused kernel.

    Args:
        query: `(batch, heads, length, width)`.
        key: `(batch, heads, source length, width)`.
        value: `(batch, heads, source length, width)`.
        mask: boolean (True is seen) or additive, broadcastable to `(batch, heads, length, source length)`.
        dropout: dropout of the attention weights.

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
    """Returns the feed-forward network of a pre-norm transformer layer, including its norm, for `(..., hidden)`."""
    return nn.Sequential(
        nn.LayerNorm(config.hidden_size),
        nn.Linear(config.hidden_size, intermediate_size),
        nn.GELU(),
        Dropout(config.hidden_dropout_prob),
        nn.Linear(intermediate_size, config.hidden_size),
    )


class AttentionPool(nn.Module):
    """Attention pooling of tokens into one vector (cf. hierarchical attention, Yang et al. 2016).

    Each head learns weights for its part of the width. At initialisation the result is close to the mean.

    Args:
        config: config with `hidden_size` and `num_attention_heads`.
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
    """Returns the mean of `values` along `dim` over the positions where `mask` is True; zero if there are none.

    Args:
        values: `(..., n, hidden)` with `n` at `dim`.
        mask: boolean, the shape of `values` without its last axis.
        dim: the axis to reduce.
    """
    weights = mask.unsqueeze(-1).to(values.dtype)
    return (values * weights).sum(dim) / weights.sum(dim).clamp(min=1.0)


def scatter_rows(rows: Tensor, mask: Tensor) -> Tensor:
    """Scatters packed rows to the True positions of a mask; the other positions are zero.

    Args:
        rows: `(n, ...)`, one for each True position of `mask`, in row-major order.
        mask: boolean, any shape with `n` True positions.

    Returns:
        `(*mask.shape, ...)`.
    """
    scattered = rows.new_zeros(*mask.shape, *rows.shape[1:])
    scattered[mask] = rows
    return scattered


def length_buckets(lengths: Tensor, size: int) -> tuple[Tensor, ...]:
    """Length bucketing: splits rows into groups of similar length to reduce padding.

    Args:
        lengths: `(n,)`.
        size: largest number of rows in a group.

    Returns:
        index tensors that form a permutation of the rows.
    """
    return lengths.argsort(stable=True).split(size)


def unsplit(parts: list[Tensor], groups: tuple[Tensor, ...]) -> Tensor:
    """Concatenates the results of the groups of [`length_buckets`] in the original order of the rows.

    Args:
        parts: `(rows, width)` or `(rows, ..., length, width)` for each group; shorter ones are padded with zeros.
        groups: the index tensors.

    Returns:
        all rows in the order before the split.
    """
    if parts[0].dim() > 2:
        longest = max(part.shape[-2] for part in parts)
        parts = [nn.functional.pad(part, (0, 0, 0, longest - part.shape[-2])) for part in parts]
    return torch.cat(parts)[torch.cat(groups).argsort()]


def end_of(mask: Tensor) -> int:
    """Returns the length up to the last True position of any row of `mask`, boolean `(rows, length)`; at least 1."""
    positions = mask.any(dim=0).nonzero()
    return int(positions.max()) + 1 if len(positions) else 1


def mean_of_known(cells: Tensor, known: Tensor) -> Tensor:
    """Returns the mean of the known cells of each row `(n, columns)`, 0 for a row without any."""
    return cells.where(known, 0.0).sum(dim=1) / known.sum(dim=1).clamp(min=1)


def at_least_float32(values: Tensor) -> Tensor:
    """Converts bf16 and fp16 to float32, because their rounding is too coarse for a loss."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
