"""Layers and tensor functions of encoders, fusion, context, heads and losses."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_erc import ErcConfig

# Most pairs of a query and a key for which attention is computed with elementwise products.
FEW = 9
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
        exact = values.device.type != "cpu" or torch.compiler.is_compiling()
        if not self.training or exact or not 0 < dropped < 256:
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

    def set_initial_weights(self) -> None:
        """Empties the memory."""
        init.zeros_(self.embeddings)
        init.constant_(self.labels, EMPTY)
        init.zeros_(self.position)

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
        query, key, value = self._query_key_value(hidden_states)
        return self._add(hidden_states, attend(query, key, value, attention_mask, self.dropout))

    def _query_key_value(self, hidden_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns query, key and value, each `(batch, heads, length, width)`."""
        batch, length, _ = hidden_states.shape
        qkv = self.qkv(self.attention_norm(hidden_states)).view(batch, length, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        return query, key, value

    def _add(self, hidden_states: Tensor, mixed: Tensor) -> Tensor:
        """Adds the result of attention, `(batch, heads, length, width)`, and the feed-forward network."""
        hidden_states = hidden_states + self.dropout(self.attention_output(mixed.transpose(1, 2).flatten(2)))
        return hidden_states + self.dropout(self.feed_forward(hidden_states))


class BlockLayer(TransformerLayer):
    """Transformer layer over sequences of any length: attention runs over blocks of positions, or step by step."""

    def forward(  # type: ignore[override]
        self, hidden_states: Tensor, blocks: Sequence[tuple[slice, slice]], bias: Callable[[slice, slice], Tensor]
    ) -> Tensor:
        """Applies the layer.

        Args:
            hidden_states: `(batch, length, hidden)`.
            blocks: neighbouring positions, and the positions that they may see; the blocks cover all positions in
                order.
            bias: returns the additive attention mask of a block, `(batch, heads, positions, visible positions)`.

        Returns:
            `(batch, length, hidden)`.
        """
        query, key, value = self._query_key_value(hidden_states)

        def mixed(rows: slice, sources: slice) -> Tensor:
            seen = key[:, :, sources], value[:, :, sources]
            return attend(query[:, :, rows], *seen, bias(rows, sources), self.dropout)

        return self._add(hidden_states, in_blocks(mixed, blocks, dim=2))

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
        mixed = attend(query, key, value, attention_mask, self.dropout)
        return self._add(hidden_states, mixed), (key, value)


def in_blocks(function: Callable[[slice, slice], Tensor], blocks: Sequence[tuple[slice, slice]], dim: int) -> Tensor:
    """Computes a sequence block by block, in memory that is linear in its length.

    The backward pass computes each of several blocks again, with the same random numbers.

    Args:
        function: computes the result of a block from its positions and those that it sees.
        blocks: arguments of `function`, in order.
        dim: axis of the positions in the result.
    """
    if len(blocks) > 1 and torch.is_grad_enabled():
        function = partial(checkpoint, function, use_reentrant=False)
    results = [function(*block) for block in blocks]
    return torch.cat(results, dim=dim) if len(results) > 1 else results[0]


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout: Dropout) -> Tensor:
    """Scaled dot-product attention.

    On a CPU, PyTorch's kernel does not fuse dropout, and elementwise products take two thirds of the time of small
    matrix products over three positions, more over five.

    Args:
        query: `(batch, heads, length, width)`.
        key: `(batch, heads, source length, width)`.
        value: `(batch, heads, source length, width)`.
        mask: boolean (True is seen) or additive, broadcastable to `(batch, heads, length, source length)`.
        dropout: dropout of the attention weights.

    Returns:
        `(batch, heads, length, width)`.
    """
    on_cpu, pairs = query.device.type == "cpu", query.shape[-2] * key.shape[-2]
    few = on_cpu and not torch.compiler.is_compiling() and query.dtype.itemsize >= 4 and pairs <= FEW
    if not few and not (on_cpu and dropout.training and dropout.p):
        mask = mask if mask.dtype == torch.bool else mask.to(query.dtype)
        chance = dropout.p if dropout.training else 0.0
        return nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=chance)
    scaled = query * query.shape[-1] ** -0.5
    scores = (scaled.unsqueeze(-2) * key.unsqueeze(-3)).sum(dim=-1) if few else scaled @ key.transpose(-1, -2)
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min) if mask.dtype == torch.bool else scores + mask
    weights = dropout(scores.softmax(dim=-1).to(value.dtype))
    return (weights.unsqueeze(-1) * value.unsqueeze(-3)).sum(dim=-2) if few else weights @ value


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


class ContrastiveHead(nn.Module):
    """Projection of the joint feature to unit-norm embeddings, and one learned prototype per class."""

    def __init__(self, config: ErcConfig) -> None:
        super().__init__()
        self.projection = nn.Sequential(
            nn.Linear(config.hidden_size, config.hidden_size),
            nn.GELU(),
            nn.Linear(config.hidden_size, config.contrastive_size),
        )
        self.prototypes = nn.Parameter(torch.empty(config.num_labels, config.contrastive_size))

    def set_initial_weights(self) -> None:
        """Draws the prototypes."""
        init.normal_(self.prototypes)

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """Maps `(..., hidden)` to embeddings `(..., contrastive_size)`; returns them and the prototypes, unit norm."""
        embeddings = nn.functional.normalize(self.projection(hidden_states).float(), dim=-1)
        return embeddings, nn.functional.normalize(self.prototypes.float(), dim=-1)


def masked_mean(values: Tensor, mask: Tensor, dim: int) -> Tensor:
    """Returns the mean of `values` along `dim` over the positions where `mask` is True; zero if there are none.

    Args:
        values: `(..., n, hidden)` with `n` at `dim`.
        mask: boolean, the shape of `values` without its last axis.
        dim: the axis to reduce.
    """
    weights = mask.unsqueeze(-1).to(values.dtype)
    return (values * weights).sum(dim) / weights.sum(dim).clamp(min=1.0)


def drop_modalities(present: Tensor, chance: float) -> Tensor:
    """Modality dropout: masks present modalities `(N, modalities)` with probability `chance`, except the last one."""
    if not chance:
        return present
    number = torch.rand(present.shape, device=present.device)
    # The present modality with the highest random number is always kept.
    always = nn.functional.one_hot(number.masked_fill(~present, -1.0).argmax(dim=1), present.shape[1]).bool()
    return present & ((number >= chance) | always)


class Packing:
    """Packed order: the real utterances of a batch in row-major order, and their slots in it.

    Args:
        mask: boolean `(batch, utterances)`, False in padded slots.
        index: `(N, 2)`, dialogue and position of each real utterance in row-major order. Default: computed from the
            mask, or in a compiled graph all slots, because the number of real ones depends on the data.
    """

    def __init__(self, mask: Tensor, index: Tensor | None = None) -> None:
        self.shape = mask.shape
        if index is not None:
            self.slots = index[:, 0] * mask.shape[1] + index[:, 1]
        elif torch.compiler.is_compiling():
            self.slots = torch.arange(mask.numel(), device=mask.device)
        else:
            self.slots = mask.flatten().nonzero()[:, 0]

    def pack(self, values: Tensor) -> Tensor:
        """Gathers `(batch, utterances, ...)` to `(N, ...)`."""
        return values.flatten(0, 1).index_select(0, self.slots)

    def unpack(self, rows: Tensor) -> Tensor:
        """Scatters `(N, ...)` to `(batch, utterances, ...)`; the other slots are zero."""
        flat = rows.new_zeros(self.shape[0] * self.shape[1], *rows.shape[1:])
        return flat.index_copy(0, self.slots, rows).unflatten(0, self.shape)


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


def pick_tokens(states: Tensor, places: Tensor) -> Tensor:
    """Returns the tokens of utterances that share windows, `(N, [layers,] tokens, width)`.

    Args:
        states: hidden states of the windows, `(windows, [layers,] length, width)`.
        places: `(N, tokens)`, `length` times the window plus the position of each token.
    """
    return states.movedim(-2, 1).flatten(0, 1)[places].movedim(1, -2)


def end_of(mask: Tensor) -> int:
    """Returns the length up to the last True position of any row of `mask`, boolean `(rows, length)`; at least 1."""
    positions = mask.any(dim=0).nonzero()
    return int(positions.max()) + 1 if len(positions) else 1


def run_gru(gru: nn.GRU, rows: Tensor, lengths: Tensor) -> Tensor:
    """Runs `gru` over rows of different lengths.

    On a CPU the time steps have a hand-written gradient and both directions run together. In the `growth` benchmark a
    training step with packed `nn.GRU` takes 1.2 times as long at 15 utterances and 2.7 to 4 times at 1,000. Other
    devices use PyTorch's fused kernels.

    Args:
        gru: batch first, without dropout between its layers.
        rows: `(n, longest, width)`.
        lengths: `(n,)`, at least 1.

    Returns:
        `(n, longest, directions * width)`, zero after the end of a row.
    """
    # A GRU with eight-bit weights has another class and can only be called.
    if rows.device.type != "cpu" or not isinstance(gru, nn.GRU):
        packed = nn.utils.rnn.pack_padded_sequence(rows, lengths.cpu(), batch_first=True, enforce_sorted=False)
        output: Tensor
        output, _ = nn.utils.rnn.pad_packed_sequence(gru(packed)[0], batch_first=True, total_length=rows.shape[1])
        return output
    position = torch.arange(rows.shape[1])
    inside = position < lengths[:, None]
    # Reverses each row and leaves its padding at the end.
    reverse = (lengths[:, None] - 1 - position).where(inside, position)
    index = torch.arange(len(rows))[:, None]
    for layer in range(gru.num_layers):
        names = [f"l{layer}", f"l{layer}_reverse"][: 2 if gru.bidirectional else 1]
        weight_in, bias_in, weight, bias = (
            [getattr(gru, f"{kind}_{name}") for name in names]
            for kind in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
        )
        directed = [rows, rows[index, reverse]][: len(names)]
        inputs = torch.stack(
            [nn.functional.linear(*arguments) for arguments in zip(directed, weight_in, bias_in, strict=True)]
        )
        states = _Steps.apply(inputs.permute(2, 0, 1, 3).contiguous(), torch.stack(weight), torch.stack(bias))
        forward, *backward = states.permute(1, 2, 0, 3)
        rows = torch.cat([forward, *(states[index, reverse] for states in backward)], dim=-1) * inside[..., None]
    return rows


class _Steps(torch.autograd.Function):
    """Time steps of one layer (Cho et al. 2014, in the form of `torch.nn.GRU`), starting at zero.

    Arguments are the input parts of the gates (reset, update, new), `(steps, directions, n, 3 * width)`, the recurrent
    weights `(directions, 3 * width, width)` and their bias `(directions, 3 * width)`. The result holds the states after
    each step, `(steps, directions, n, width)`.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        width = weight.shape[-1]
        across = weight.transpose(1, 2).contiguous()
        state = inputs.new_zeros(*inputs.shape[1:-1], width)
        steps = []
        for here in inputs.unbind():
            recurrent = torch.baddbmm(bias[:, None], state, across)
            gates = (here[..., : 2 * width] + recurrent[..., : 2 * width]).sigmoid_()
            reset, update = gates.chunk(2, dim=-1)
            old = recurrent[..., 2 * width :]
            new = torch.addcmul(here[..., 2 * width :], reset, old).tanh_()
            state = torch.lerp(new, state, update)
            steps.append((state, reset, update, old, new))
        states, *gated = (torch.stack(values) for values in zip(*steps, strict=True))
        ctx.save_for_backward(weight, states, *gated)
        return states

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weight, states, reset, update, old, new = ctx.saved_tensors
        before = torch.cat([torch.zeros_like(states[:1]), states[:-1]])
        # Derivatives of the state by the input of each gate; the loop adds the gradients of later steps.
        to_new = (1 - update) * (1 - new * new)
        to_update = (before - new) * update * (1 - update)
        to_reset = to_new * old * reset * (1 - reset)
        moved = torch.stack([to_reset, to_update, to_new * reset], dim=-2)
        totals = torch.empty_like(states)
        later = torch.zeros_like(states[0])
        for step in range(len(states) - 1, -1, -1):
            total = torch.add(gradient[step], later, out=totals[step])
            later = torch.baddbmm(total * update[step], (total[..., None, :] * moved[step]).flatten(-2), weight)
        recurrent = (totals[..., None, :] * moved).flatten(-2)
        inputs = torch.cat([recurrent[..., : 2 * states.shape[-1]], totals * to_new], dim=-1)
        return inputs, torch.einsum("tdng,tdnh->dgh", recurrent, before), recurrent.sum(dim=(0, 2))


def mean_of_known(cells: Tensor, known: Tensor) -> Tensor:
    """Returns the mean of the known cells of each row `(n, columns)`, 0 for a row without any."""
    return cells.where(known, 0.0).sum(dim=1) / known.sum(dim=1).clamp(min=1)


def at_least_float32(values: Tensor) -> Tensor:
    """Converts bf16 and fp16 to float32, because their rounding is too coarse for a loss."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
