"""Conversation context: layers that connect the utterances of a dialogue. One registry: `CONTEXTS`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from transformers import initialization as init

from .configuration_erc import ErcConfig
from .layers_erc import BlockLayer, Dropout, at_least_float32, end_of, in_blocks, length_buckets, run_gru, unsplit
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

# Utterances in a block: longer dialogues are computed block by block, in memory that is linear in their length.
BLOCK = 256
# In inference, attention over more than LONG utterances without `context_window` sees LONG_WINDOW to either side.
LONG, LONG_WINDOW = 4096, 512


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
    if torch.compiler.is_compiling() or bucket_size is None or batch <= bucket_size or longest <= 16:
        return context(hidden_states, mask, speaker_ids)  # type: ignore[no-any-return]
    groups = length_buckets(utterance_mask.sum(dim=1), bucket_size)
    parts = []
    for rows in groups:
        end = end_of(utterance_mask[rows])
        parts.append(context(hidden_states[rows, :end], mask[rows, :end], speaker_ids[rows, :end]))
    joined = unsplit(parts, groups)
    return nn.functional.pad(joined, (0, 0, 0, longest - joined.shape[1]))


def blocks(length: int, window: int | None, *, causal: bool) -> list[tuple[slice, slice]]:
    """Splits a dialogue into blocks of utterances, each with the utterances that it may see.

    Args:
        length: number of utterances.
        window: largest visible distance in utterances.
        causal: whether later utterances are hidden.
    """
    if torch.compiler.is_compiling():  # the length may be a symbol
        return [(slice(0, length), slice(0, length))]
    pairs = []
    for start in range(0, length, BLOCK):
        end = min(start + BLOCK, length)
        first, last = (0, length) if window is None else (max(start - window, 0), min(end + window, length))
        pairs.append((slice(start, end), slice(first, end if causal else last)))
    return pairs


def distances(rows: slice, sources: slice, device: torch.device) -> Tensor:
    """Returns the positions of the sources minus those of the rows, `(rows, sources)`."""
    own, others = (torch.arange(part.start, part.stop, device=device) for part in (rows, sources))
    return others[None, :] - own[:, None]


def visible_utterances(mask: Tensor, distance: Tensor, *, causal: bool, window: int | None) -> Tensor:
    """Returns which utterance sees which.

    Args:
        mask: boolean `(batch, sources)`, True for utterances that are visible to others.
        distance: `(rows, sources)`, see [`distances`].
        causal: whether later utterances are hidden.
        window: largest visible distance in utterances.

    Returns:
        boolean `(batch, rows, sources)`; an utterance always sees itself, so that no softmax is empty.
    """
    allowed = mask[:, None, :]
    if causal:
        allowed = allowed & (distance <= 0)
    if window is not None:
        allowed = allowed & (distance.abs() <= window)
    return allowed | (distance == 0)


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
        self.layers = nn.ModuleList(BlockLayer(config) for _ in range(config.num_context_layers))
        self.norm = nn.LayerNorm(config.hidden_size)

    def set_initial_weights(self) -> None:
        """Sets the bias: see `initial_bias`."""
        init.copy_(self.bias, self.initial_bias())

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
        """See [`Context.forward`]; in inference, a dialogue of more than `LONG` utterances has a window."""
        window = self.window
        if window is None and not (self.training or torch.compiler.is_compiling()) and mask.shape[1] > LONG:
            window = LONG_WINDOW
        parts = blocks(mask.shape[1], window, causal=self.causal)

        def bias(rows: slice, sources: slice) -> Tensor:
            distance = distances(rows, sources, mask.device)
            same = (speaker_ids[:, rows, None] == speaker_ids[:, None, sources]).long()
            place = distance.clamp(-self.max_distance, self.max_distance) + self.max_distance
            values = self.bias[same * (2 * self.max_distance + 1) + place].permute(0, 3, 1, 2)
            visible = visible_utterances(mask[:, sources], distance, causal=self.causal, window=window)[:, None]
            return values.masked_fill(~visible, torch.finfo(values.dtype).min)

        for layer in self.layers:
            hidden_states = layer(hidden_states, parts, bias)
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
    reach = 520  # utterances; the weights of more distant ones are 0 in float32

    def __init__(self, config: ErcConfig) -> None:
        super().__init__(config)
        self.causal, self.window = config.context_causal, config.context_window
        self.layers = nn.ModuleList(RelationalLayer(config) for _ in range(config.num_context_layers))
        self.norm = nn.LayerNorm(config.hidden_size)

    def forward(self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor) -> Tensor:
        """See [`Context.forward`]."""
        reach = self.reach if self.window is None else min(self.window, self.reach)
        parts = blocks(mask.shape[1], reach, causal=self.causal)

        def run(layer: nn.Module, states: Tensor, rows: slice, sources: slice) -> Tensor:
            distance = distances(rows, sources, mask.device)
            same = speaker_ids[:, rows, None] == speaker_ids[:, None, sources]
            weights = self._weights(distance, same, mask[:, None, sources]).to(states.dtype)
            return layer(states[:, rows], states[:, sources], weights)  # type: ignore[no-any-return]

        for layer in self.layers:
            hidden_states = in_blocks(partial(run, layer, hidden_states), parts, dim=1)
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


class SpeakerCentering(Context):
    """Shifts that move the mean of each speaker's utterances in a dialogue towards zero.

    What is left of a voice or a face depends less on the person (speaker normalisation, e.g. Busso et al. 2013,
    "Iterative Feature Normalization Scheme for Automatic Emotion Detection from Speech"). The mean is estimated as if
    there were `PRIOR` more, all zero: a single utterance keeps three quarters. A `context_window` does not limit it.
    In training it is that of a random part of them, few as often as many, so that the model copes with few utterances.
    """

    PRIOR = 3.0

    def __init__(self, config: ErcConfig) -> None:
        super().__init__(config)
        self.causal = config.context_causal

    def forward(self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor) -> Tensor:
        """See [`Context.forward`]; an utterance counts in its own mean."""

        def shifts(rows: slice, sources: slice) -> Tensor:
            distance = distances(rows, sources, mask.device)
            seen = (speaker_ids[:, rows, None] == speaker_ids[:, None, sources]) & mask[:, None, sources]
            if self.causal:
                seen = seen & (distance <= 0)
            if self.training:
                number = seen.sum(dim=-1, keepdim=True).float()
                part = torch.rand(seen.shape, device=mask.device) < number ** -torch.rand_like(number)
                seen = seen & (part | (distance == 0))
            weights = seen.to(hidden_states.dtype)
            return -(weights @ hidden_states[:, sources]) / (weights.sum(dim=-1, keepdim=True) + self.PRIOR)

        return in_blocks(shifts, blocks(mask.shape[1], None, causal=self.causal), dim=1)

    def step(
        self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor, state: dict[int, tuple[Tensor, Tensor]] | None
    ) -> tuple[Tensor, dict[int, tuple[Tensor, Tensor]]]:
        """See [`Context.step`]; the state holds the sum and the number of each speaker's utterances."""
        speaker = int(speaker_ids)
        # In bf16 a sum of 256 would stay at 256.
        states = at_least_float32(hidden_states)
        total, count = (state or {}).get(speaker, (torch.zeros_like(states), states.new_zeros(())))
        total, count = total + states * mask[..., None], count + mask.sum()
        return (-total / (count + self.PRIOR)).to(hidden_states.dtype), {**(state or {}), speaker: (total, count)}


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
        of_dialogue = self._run(self.dialogue, states, dialogues.flatten(), seen)
        of_speaker = self._run(self.speaker, states, turns, seen)
        context = self.merge(self.dropout(torch.cat([of_dialogue, of_speaker], dim=-1))).view_as(hidden_states)
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
