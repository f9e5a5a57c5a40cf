"""The recurrent context as one pass over a dialogue, in operations that ONNX export supports."""

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from ..context_erc import Context, GruContext, GruState


class ScannedGruContext(Context):
    """A `GruContext` for one dialogue of any length, without packed sequences or a loop over speakers.

    The turns are sorted by speaker and the state is reset at each speaker's first turn, so one pass serves any number
    of speakers. A masked turn leaves the state unchanged.

    Args:
        context: module that provides weights and settings.
    """

    def __init__(self, context: GruContext) -> None:
        nn.Module.__init__(self)
        self.context = context

    def forward(self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor) -> Tensor:
        """See [`Context.forward`]; the batch size is 1."""
        context, seen = self.context, mask[0]
        states = context.input_norm(hidden_states)[0]
        place = torch.arange(seen.shape[0], device=seen.device)  # len() would fix the length in the graph
        first = place == 0
        dialogue = run(context.dialogue, states, seen, first)
        # ONNX has no stable sort, so the sort keys are made distinct.
        order = (speaker_ids[0] * seen.shape[0] + place).argsort()
        speakers = speaker_ids[0][order]
        first = first | (speakers != speakers[(place - 1).clamp(min=0)])
        own = run(context.speaker, states[order], seen[order], first)[order.argsort()]
        return context.norm(hidden_states + context.merge(torch.cat([dialogue, own], dim=-1))[None])

    def step(
        self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor, state: GruState | None
    ) -> tuple[Tensor, GruState]:
        """See [`GruContext.step`]."""
        return self.context.step(hidden_states, mask, speaker_ids, state)


def run(gru: nn.GRU, states: Tensor, seen: Tensor, first: Tensor) -> Tensor:
    """Runs every layer and direction of a GRU over concatenated sequences.

    Args:
        gru: the layers, in one or two directions.
        states: `(utterances, hidden)`.
        seen: boolean `(utterances,)`, False for a masked utterance.
        first: boolean `(utterances,)`, True where a sequence begins.

    Returns:
        outputs `(utterances, directions * width)`.
    """
    # A sequence ends just before the next one begins. An index is used because a slice would bound the length.
    place = torch.arange(first.shape[0], device=first.device)
    end = place.max()
    last = first[torch.minimum(place + 1, end)] | (place == end)
    for layer in range(gru.num_layers):
        outputs = [run_direction(gru, f"l{layer}", states, seen, first)]
        if gru.bidirectional:
            backward = run_direction(gru, f"l{layer}_reverse", states.flip(0), seen.flip(0), last.flip(0))
            outputs.append(backward.flip(0))
        states = torch.cat(outputs, dim=-1)
    return states


def run_direction(gru: nn.GRU, name: str, states: Tensor, seen: Tensor, first: Tensor) -> Tensor:
    """Runs one layer in one direction, `(utterances, width)`; `name` is the suffix of its weights in `gru`."""
    names = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
    weight_in, bias_in, weight, bias = (getattr(gru, f"{kind}_{name}") for kind in names)
    # The loop computes only what depends on the previous state.
    inputs = nn.functional.linear(states, weight_in, bias_in)

    def step(state: Tensor, given: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        here, is_seen, begins = given
        state = torch.where(begins, torch.zeros_like(state), state)
        reset_in, update_in, new_in = here.chunk(3)
        reset_by, update_by, new_by = nn.functional.linear(state[None], weight, bias)[0].chunk(3)
        update = torch.sigmoid(update_in + update_by)
        new = torch.tanh(new_in + torch.sigmoid(reset_in + reset_by) * new_by)
        state = torch.where(is_seen, (1 - update) * new + update * state, state)
        return state, state.clone()

    outputs: Tensor = scan(step, states.new_zeros(gru.hidden_size), (inputs, seen, first))[1]
    return outputs
