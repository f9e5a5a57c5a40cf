"""Conversation context: layers that connect the utterances of a dialogue. One registry: `CONTEXTS`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .configuration_erc import ErcConfig
from .layers_erc import Dropout, TransformerLayer, end_of, length_buckets, unsplit
from .registry_erc import Registry


class Context(nn.Module, ABC):
    """Interface of a context, for complete dialogues and, if it is causal, for streaming."""

    # Number of dialogues in a length bucket; `None`: padding has no cost.
    bucket_size: ClassVar[int | None] = None

    def __init__(self, config: ErcConfig) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor) -> Tensor:
        """Computes the context of all utterances.

        Args:
            hidden_states: `(batch, utterances, hidden)`.
            mask: boolean `(batch, utterances)`, True for utterances that are visible to others.
            speaker_ids: `(batch, utterances)`, any integers, equal for the same speaker of a dialogue.

        Returns:
            `(batch, utterances, hidden)`.
        """

    @abstractmethod
    def step(self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Computes the context of the next utterance of a dialogue; equals `forward` of a causal context.

        Args:
            hidden_states: `(1, 1, hidden)`.
            mask: boolean `(1, 1)`.
            speaker_ids: `(1, 1)`.
            state: state returned by the previous step, `None` at the start. It is not modified.

        Returns:
            `(1, 1, hidden)` and the state for the next step.
        """


CONTEXTS: Registry[type[Context]] = Registry("context")


def in_context(
    context: Context, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor, utterance_mask: Tensor
) -> Tensor:
    """Computes the context of complete dialogues, with length bucketing where padding is expensive.

    Args:
        context: context to run.
        hidden_states: `(batch, utterances, hidden)`.
        mask: boolean `(batch, utterances)`, True for utterances that are visible to others.
        speaker_ids: `(batch, utterances)`.
        utterance_mask: boolean `(batch, utterances)`, False in padded slots.

    Returns:
        `(batch, utterances, hidden)`.
    """
    bucket_size = context.bucket_size
    batch, longest = utterance_mask.shape
    if bucket_size is None or batch <= bucket_size or longest <= 16 or torch.compiler.is_compiling():
        whole: Tensor = context(hidden_states, mask, speaker_ids)
        return whole
    groups = length_buckets(utterance_mask.sum(dim=1), bucket_size)
    parts = []
    for rows in groups:
        end = end_of(utterance_mask[rows])
        parts.append(context(hidden_states[rows, :end], mask[rows, :end], speaker_ids[rows, :end]))
    joined = unsplit(parts, groups)
    return nn.functional.pad(joined, (0, 0, 0, longest - joined.shape[1]))


def visible_utterances(mask: Tensor, *, causal: bool, window: int | None) -> Tensor:
    """Returns which utterance sees which.

    Args:
        mask: boolean `(batch, utterances)`, True for utterances that are visible to others.
        causal: whether later utterances are hidden.
        window: largest visible distance in utterances.

    Returns:
        boolean `(batch, utterances, utterances)`; an utterance always sees itself, so that no softmax is empty.
    """
    order = torch.arange(mask.shape[1], device=mask.device)
    distance = order[None, :] - order[:, None]
    allowed = torch.ones_like(distance, dtype=torch.bool)
    if causal:
        allowed &= distance <= 0
    if window is not None:
        allowed &= distance.abs() <= window
    return (mask[:, None, :] & allowed) | (distance == 0)


@dataclass(frozen=True)
class PastState:
    """State of a causal context: what it keeps of the earlier utterances that are visible to later ones.

    Args:
        length: number of utterances so far, visible or not.
        positions: `(kept,)`, position of each kept utterance in the dialogue.
        speaker_ids: `(kept,)`.
        past: tensors of each layer, `(..., kept, width)`.
    """

    length: int
    positions: Tensor
    speaker_ids: Tensor
    past: list[tuple[Tensor, ...]]

    def after(self, speaker: Tensor, visible: Tensor, window: int | None, past: list[tuple[Tensor, ...]]) -> Self:
        """Returns the state after the next utterance.

        Args:
            speaker: `(1,)`, its speaker.
            visible: boolean `(1,)`, False where it is hidden from later ones.
            window: largest visible distance in utterances.
            past: tensors of each layer with this utterance as the last one, `(..., kept + 1, width)`.
        """
        positions = torch.cat([self.positions, speaker.new_tensor([self.length])])
        seen = torch.cat([torch.ones_like(self.positions, dtype=torch.bool), visible])
        if window is not None:
            seen &= positions > self.length - window  # as seen from the next utterance
        kept = [tuple(tensor[..., seen, :] for tensor in layer) for layer in past]
        speakers = torch.cat([self.speaker_ids, speaker])[seen]
        return replace(self, length=self.length + 1, positions=positions[seen], speaker_ids=speakers, past=kept)


@CONTEXTS.register("transformer")
class TransformerContext(Context):
    """Self-attention over the dialogue with a learned bias for distance and for same or other speaker.

    The bias depends on relative positions (Shaw et al. 2018) and on whether two utterances have the same speaker, so
    that names and number of speakers do not matter. The heads are initialised with the four relations of DialogueGCN
    (Ghosal et al. 2019, arXiv 1908.11540): past or future utterances by the same or another speaker, nearest ones
    first; the slope over distance is halved for every further four heads. From a random initialisation the attention
    to the previous utterance of another speaker was not learned in hundreds of steps.
    """

    bucket_size = 4
    max_distance = 8  # more distant utterances share one bias
    away = -4.0  # initial bias outside the relation of a head: a small weight that still has a gradient

    def __init__(self, config: ErcConfig) -> None:
        super().__init__(config)
        self.causal, self.window = config.context_causal, config.context_window
        self.bias = nn.Parameter(torch.empty(2 * (2 * self.max_distance + 1), config.num_attention_heads))
        self.layers = nn.ModuleList(TransformerLayer(config) for _ in range(config.num_context_layers))
        self.norm = nn.LayerNorm(config.hidden_size)

    def initial_bias(self) -> Tensor:
        """Returns the bias before training, `(2 * distances, heads)`: other speaker first, then the same speaker."""
        heads = torch.arange(self.bias.shape[1])
        distance = torch.arange(-self.max_distance, self.max_distance + 1)[:, None]
        direction = torch.where(heads % 2 == 0, distance < 0, distance > 0)
        slope = 2.0 ** -(heads // 4)
        near = torch.where(direction, -slope * distance.abs(), self.away)
        same_speaker = (heads // 2) % 2 == 1
        return torch.cat([near.where(~same_speaker, self.away), near.where(same_speaker, self.away)])

    def forward(self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor) -> Tensor:
        """See [`Context.forward`]."""
        order = torch.arange(mask.shape[1], device=mask.device)
        distance = (order[None, :] - order[:, None]).clamp(-self.max_distance, self.max_distance) + self.max_distance
        same = (speaker_ids[:, :, None] == speaker_ids[:, None, :]).long()
        bias = self.bias[same * (2 * self.max_distance + 1) + distance].permute(0, 3, 1, 2)
        visible = visible_utterances(mask, causal=self.causal, window=self.window)[:, None]
        attention = bias.masked_fill(~visible, torch.finfo(bias.dtype).min)
        for layer in self.layers:
            hidden_states = layer(hidden_states, attention)
        return self.norm(hidden_states)

    def step(
        self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor, state: PastState | None
    ) -> tuple[Tensor, PastState]:
        """See [`Context.step`]; the state grows with the dialogue, up to the window."""
        speaker = speaker_ids[0]
        if state is None:
            state = PastState(0, speaker[:0], speaker[:0], [])
        same = nn.functional.pad((state.speaker_ids == speaker).long(), (0, 1), value=1)  # itself is the last source
        distance = nn.functional.pad(state.positions - state.length, (0, 1)).clamp(min=-self.max_distance)
        bias = self.bias[same * (2 * self.max_distance + 1) + distance + self.max_distance].T[None, :, None]
        past = []
        for index, layer in enumerate(self.layers):
            before = state.past[index] if state.past else None
            hidden_states, after = layer.step(hidden_states, bias, before)  # type: ignore[operator]
            past.append(after)
        return self.norm(hidden_states), state.after(speaker, mask[0], self.window, past)


class RelationalLayer(nn.Module):
    """Pre-norm layer that adds to each utterance a mix of itself and of the mean utterance of each relation."""

    def __init__(self, config: ErcConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size)
        parts = 3 if config.context_causal else 5  # the utterance itself and its relations
        self.mix = nn.Linear(parts * config.hidden_size, config.hidden_size)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, hidden_states: Tensor, source: Tensor, weights: Tensor) -> Tensor:
        """Applies the layer.

        Args:
            hidden_states: `(batch, utterances, hidden)`.
            source: `(batch, sources, hidden)`, utterances that may be visible, as inputs of this layer.
            weights: `(batch, relations, utterances, sources)`.

        Returns:
            `(batch, utterances, hidden)`.
        """
        means = weights @ self.norm(source)[:, None]
        mixed = torch.cat([self.norm(hidden_states), *means.unbind(dim=1)], dim=-1)
        return hidden_states + self.dropout(nn.functional.gelu(self.mix(mixed)))


@CONTEXTS.register("relational")
class RelationalContext(Context):
    """Relational graph over the dialogue, after DialogueGCN (Ghosal et al. 2019, arXiv 1908.11540), as dense products.

    The relations of an utterance are the past utterances of the same and of another speaker and, unless the context is
    causal, the future ones of both. In each relation the weights fall with the distance d as exp(-d / 5) and sum to 1;
    DialogueGCN learns them by attention. A relation without a visible utterance contributes zero.
    """

    bucket_size = 16
    decay = 5.0  # utterances

    def __init__(self, config: ErcConfig) -> None:
        super().__init__(config)
        self.causal, self.window = config.context_causal, config.context_window
        self.layers = nn.ModuleList(RelationalLayer(config) for _ in range(config.num_context_layers))
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor) -> Tensor:
        """See [`Context.forward`]."""
        order = torch.arange(mask.shape[1], device=mask.device)
        same = speaker_ids[:, :, None] == speaker_ids[:, None, :]
        weights = self._weights(order[None, :] - order[:, None], same, mask[:, None, :]).to(hidden_states.dtype)
        for layer in self.layers:
            hidden_states = layer(hidden_states, hidden_states, weights)
        return self.norm(hidden_states)

    def step(
        self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor, state: PastState | None
    ) -> tuple[Tensor, PastState]:
        """See [`Context.step`]; the state grows with the dialogue, up to the window.

        Raises:
            ValueError: the context is not causal.
        """
        if not self.causal:
            raise ValueError("context 'relational' reads later utterances: it steps only with context_causal")
        speaker = speaker_ids[0]
        if state is None:
            state = PastState(0, speaker[:0], speaker[:0], [(hidden_states[:, :0],)] * len(self.layers))
        distance = (state.positions - state.length)[None]
        same = (state.speaker_ids == speaker)[None, None]
        weights = self._weights(distance, same, torch.ones_like(same)).to(hidden_states.dtype)
        past: list[tuple[Tensor, ...]] = []
        for layer, (earlier,) in zip(self.layers, state.past, strict=True):
            past.append((torch.cat([earlier, hidden_states], dim=1),))
            hidden_states = layer(hidden_states, earlier, weights)
        return self.norm(hidden_states), state.after(speaker, mask[0], self.window, past)

    def _weights(self, distance: Tensor, same: Tensor, visible: Tensor) -> Tensor:
        """Returns the weights of the relations, `(batch, relations, utterances, sources)`.

        Args:
            distance: `(utterances, sources)`, position of the source minus that of the utterance.
            same: boolean `(batch, utterances, sources)`, whether both have the same speaker.
            visible: boolean, broadcastable to `same`.
        """
        if self.window is not None:
            visible = visible & (distance.abs() <= self.window)
        directions = [distance < 0] if self.causal else [distance < 0, distance > 0]
        relations = torch.stack([visible & d & s for d in directions for s in (same, ~same)], dim=1)
        weights = relations * torch.exp(-distance.abs() / self.decay)
        return weights / weights.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)


@CONTEXTS.register("none")
class NoContext(Context):
    """No exchange between utterances."""

    def forward(self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor) -> Tensor:
        """Returns `hidden_states` as they are."""
        return hidden_states

    def step(self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor, state: None) -> tuple[Tensor, None]:
        """Returns `hidden_states` as they are; there is no state."""
        return hidden_states, None


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


@dataclass(frozen=True)
class GruState:
    """State of a forward recurrence.

    Args:
        dialogue: `(layers, hidden)`, zero before the first visible utterance.
        speakers: state `(layers, hidden)` of each speaker.
    """

    dialogue: Tensor
    speakers: dict[int, Tensor]


@CONTEXTS.register("gru")
class GruContext(Context):
    """Gated recurrent units over the dialogue and over the utterances of each speaker.

    The first follows the dialogue, as in bc-LSTM (Poria et al. 2017); the second follows each speaker, after the party
    states of DialogueRNN (Majumder et al. 2019, arXiv 1811.00405), without their attention. Both are bidirectional, or
    forward only with `context_causal`. A masked utterance reads the states and does not change them.

    Raises:
        ValueError: `context_window` is set, which a recurrence does not support.
    """

    def __init__(self, config: ErcConfig) -> None:
        super().__init__(config)
        if config.context_window is not None:
            raise ValueError("context 'gru' has no window: leave context_window out, or take context 'transformer'")
        self.directions = 1 if config.context_causal else 2
        self.input_norm = nn.LayerNorm(config.hidden_size)
        self.dialogue, self.speaker = (
            nn.GRU(
                config.hidden_size,
                config.hidden_size // self.directions,
                num_layers=config.num_context_layers,
                batch_first=True,
                bidirectional=self.directions == 2,
            )
            for _ in range(2)
        )
        self.merge = nn.Linear(2 * (config.hidden_size // self.directions) * self.directions, config.hidden_size)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor) -> Tensor:
        """See [`Context.forward`]."""
        states, seen = self.dropout(self.input_norm(hidden_states)).flatten(0, 1), mask.flatten()
        dialogues = torch.arange(len(mask), device=mask.device)[:, None].expand_as(speaker_ids)
        speakers = torch.stack([dialogues, speaker_ids], dim=-1).flatten(0, 1)
        turns = torch.unique(speakers, dim=0, return_inverse=True)[1]
        states_of_both = [
            self._run(self.dialogue, states, dialogues.flatten(), seen),
            self._run(self.speaker, states, turns, seen),
        ]
        context = self.merge(self.dropout(torch.cat(states_of_both, dim=-1))).view_as(hidden_states)
        return self.norm(hidden_states + context)

    def step(
        self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor, state: GruState | None
    ) -> tuple[Tensor, GruState]:
        """See [`Context.step`]; the state grows with the number of speakers.

        Raises:
            ValueError: the context is not causal.
        """
        if self.directions == 2:
            raise ValueError("context 'gru' runs backwards too: it steps only with context_causal")
        speaker = int(speaker_ids)
        none = hidden_states.new_zeros(self.dialogue.num_layers, self.dialogue.hidden_size)
        dialogue, speakers = (none, {}) if state is None else (state.dialogue, state.speakers)
        own = speakers.get(speaker, none)
        if mask.item():
            states = self.dropout(self.input_norm(hidden_states))[0]
            dialogue, own = self.dialogue(states, dialogue)[1], self.speaker(states, own)[1]
            speakers = {**speakers, speaker: own}
        context = self.merge(self.dropout(torch.cat([dialogue[-1], own[-1]])))
        return self.norm(hidden_states + context), GruState(dialogue, speakers)

    def _run(self, gru: nn.GRU, states: Tensor, group: Tensor, seen: Tensor) -> Tensor:
        """Runs over the visible states of each group in order; returns the result at every state, visible or not.

        Args:
            gru: GRU of the dialogue or of the speakers.
            states: `(n, hidden)`.
            group: `(n,)`, group numbers from 0.
            seen: boolean `(n,)`, True for visible states.
        """
        groups = int(group.max()) + 1
        lengths = group.new_zeros(groups).index_add_(0, group, seen.long())
        # Number of visible states of the group up to each state.
        order = group.argsort(stable=True)
        earlier_groups = (lengths.cumsum(0) - lengths)[group[order]]
        upto = torch.empty_like(group).scatter_(0, order, seen[order].long().cumsum(0) - earlier_groups)
        before = upto - seen.long()
        rows = states.new_zeros(groups, max(int(lengths.max()), 1), states.shape[-1])
        rows[group[seen], before[seen]] = states[seen]
        # Under bf16 autocast cuDNN runs in fp16, whose range is too small for unscaled gradients.
        with torch.autocast(states.device.type, enabled=False):
            output = run_gru(gru, rows.to(self.norm.weight.dtype), lengths.clamp(min=1))
        # A group without visible states ran over one empty row; its result is discarded.
        output = output * (lengths > 0)[:, None, None]
        # The forward state is zero before the first visible utterance, the backward state after the last.
        output = nn.functional.pad(output, (0, 0, 1, 1))
        forward, *backward = output.chunk(self.directions, dim=-1)
        return torch.cat([forward[group, upto], *(states[group, before + 1] for states in backward)], dim=-1)
