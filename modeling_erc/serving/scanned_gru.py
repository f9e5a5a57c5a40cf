"""The recurrent context as one pass over a dialogue, in a form that export can follow."""

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from ..context_erc import GruContext


class ScannedGruContext(nn.Module):
    """A `GruContext` for one dialogue of any length, without packed sequences or a loop over speakers.

    The turns are sorted by speaker, and the recurrence begins afresh at each speaker's first one: so one pass over the
    utterances serves all speakers, however many there are. What is not seen leaves the state as it is.

    Args:
        context: gives weights and settings.
    """

    def __init__(self, context: GruContext) -> None:
        super().__init__()
        self.context = context

    def forward(self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor) -> Tensor:
        """See [`Context.forward`]; the batch is one dialogue."""
        context, seen = self.context, mask[0]
        states = context.input_norm(hidden_states)[0]
        place = torch.arange(seen.shape[0], device=seen.device)  # len() would fix the length in the graph
        first = place == 0
        heard = run(context.dialogue, states, seen, first)
        # ONNX has no stable sort, so the keys are made to differ.
        order = (speaker_ids[0] * seen.shape[0] + place).argsort()
        speakers = speaker_ids[0][order]
        turns = run(
            context.speaker, states[order], seen[order], first | (speakers != speakers[(place - 1).clamp(min=0)])
        )
        own = turns[order.argsort()]
        return context.norm(hidden_states + context.merge(torch.cat([heard, own], dim=-1))[None])


def run(gru: nn.GRU, states: Tensor, seen: Tensor, first: Tensor) -> Tensor:
    """Runs every layer and direction.

    Args:
        gru: one or two directions.
        states: `(utterances, hidden)`.
        seen: boolean `(utterances,)`.
        first: boolean `(utterances,)`, where a sequence begins.

    Returns:
        what is known at each utterance, `(utterances, directions * width)`.
    """
    # A sequence ends before the next begins; by index, because slices would bound the length in the graph.
    place = torch.arange(first.shape[0], device=first.device)
    end = place.max()
    last = first[torch.minimum(place + 1, end)] | (place == end)
    for layer in range(gru.num_layers):
        known = [run_direction(gru, f"l{layer}", states, seen, first)]
        if gru.bidirectional:
            backward = run_direction(gru, f"l{layer}_reverse", states.flip(0), seen.flip(0), last.flip(0))
            known.append(backward.flip(0))
        states = torch.cat(known, dim=-1)
    return states


def run_direction(gru: nn.GRU, name: str, states: Tensor, seen: Tensor, first: Tensor) -> Tensor:
    """One layer in one direction, `(utterances, width)`; `name` is the suffix of its weights in `gru`."""
    names = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
    weight_in, bias_in, weight, bias = (getattr(gru, f"{kind}_{name}") for kind in names)
    # Of each step only what needs the state before is left for the loop.
    inputs = nn.functional.linear(states, weight_in, bias_in)

    def step(state: Tensor, given: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        here, sees, begins = given
        state = torch.where(begins, torch.zeros_like(state), state)
        reset_in, update_in, new_in = here.chunk(3)
        reset_by, update_by, new_by = nn.functional.linear(state[None], weight, bias)[0].chunk(3)
        update = torch.sigmoid(update_in + update_by)
        new = torch.tanh(new_in + torch.sigmoid(reset_in + reset_by) * new_by)
        state = torch.where(sees, (1 - update) * new + update * state, state)
        return state, state.clone()

    known: Tensor = scan(step, states.new_zeros(gru.hidden_size), (inputs, seen, first))[1]
    return known


__all__ = ["ScannedGruContext"]
