"""Gated recurrent units over padded rows, written out for CPUs."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def run_gru(gru: nn.GRU, rows: Tensor, lengths: Tensor) -> Tensor:
    """What `gru` gives for rows of unequal length.

    On a CPU PyTorch's own spends most of a training step on the book-keeping of thousands of tiny operations, since it
    differentiates each time step by itself; there the same steps run with their gradient written out, and with both
    directions at once: two to three times faster. Elsewhere its fused kernels are at work.

    Args:
        gru: batch first, without dropout between its layers.
        rows: `(n, longest, width)`.
        lengths: `(n,)`, 1 at least.

    Returns:
        `(n, longest, directions * width)`, zero after a row's end.
    """
    # One whose weights were made eight-bit is of another class, and can only be called.
    if rows.device.type != "cpu" or not isinstance(gru, nn.GRU):
        packed = nn.utils.rnn.pack_padded_sequence(rows, lengths.cpu(), batch_first=True, enforce_sorted=False)
        output: Tensor = nn.utils.rnn.pad_packed_sequence(gru(packed)[0], batch_first=True, total_length=rows.shape[1])[
            0
        ]
        return output
    place = torch.arange(rows.shape[1])
    inside = place < lengths[:, None]
    # Turns each row round and leaves its padding at the end; done twice it is undone.
    turn = (lengths[:, None] - 1 - place).where(inside, place)
    each = torch.arange(len(rows))[:, None]
    for layer in range(gru.num_layers):
        names = [f"l{layer}", f"l{layer}_reverse"][: 2 if gru.bidirectional else 1]
        weight_in, bias_in, weight, bias = (
            [getattr(gru, f"{kind}_{name}") for name in names]
            for kind in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
        )
        directed = [rows, rows[each, turn]][: len(names)]
        inputs = torch.stack([nn.functional.linear(*given) for given in zip(directed, weight_in, bias_in, strict=True)])
        states = _Steps.apply(inputs.permute(2, 0, 1, 3).contiguous(), torch.stack(weight), torch.stack(bias))
        forward, *backward = states.permute(1, 2, 0, 3)
        rows = torch.cat([forward, *(reverse[each, turn] for reverse in backward)], dim=-1) * inside[..., None]
    return rows


class _Steps(torch.autograd.Function):
    """The time steps of one layer (Cho et al. 2014, in the form of `torch.nn.GRU`).

    From what the inputs contribute to the gates (reset, update, new), `(steps, directions, n, 3 * width)`, recurrent
    weights `(directions, 3 * width, width)` and their bias `(directions, 3 * width)` to the states after each step,
    `(steps, directions, n, width)`. It starts at zero.
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
        # How the input of each gate moves the state; only what comes from later steps is left for the loop.
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


__all__ = ["run_gru"]
