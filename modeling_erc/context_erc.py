"""Conversation context: what an utterance learns from the others of its dialogue. One registry: `CONTEXTS`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .configuration_erc import ErcConfig
from .layers_erc import TransformerLayer, alike_lengths, end_of, unsplit
from .registry_erc import Registry


class Context(nn.Module, ABC):
    """Interface of a context: dialogues as a whole, or one utterance after the other where only the past counts."""

    # So many dialogues are padded to the length of the longest of them; `None`: padding costs nothing.
    dialogues_together: ClassVar[int | None] = None

    def __init__(self, config: ErcConfig) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor) -> Tensor:
        """Context of all utterances.

        Args:
            hidden_states: `(batch, utterances, hidden)`.
            mask: boolean `(batch, utterances)`, which of them there are to see.
            speaker_ids: `(batch, utterances)`, any integers, equal for equal speakers of a dialogue.

        Returns:
            `(batch, utterances, hidden)`.
        """

    @abstractmethod
    def step(self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Context of the next utterance of one dialogue: what `forward` of a causal context gives there.

        Args:
            hidden_states: `(1, 1, hidden)`.
            mask: boolean `(1, 1)`.
            speaker_ids: `(1, 1)`.
            state: what the step before returned, `None` at the start. It is not changed.

        Returns:
            `(1, 1, hidden)`, and the state for the next step.
        """


CONTEXTS: Registry[type[Context]] = Registry("context")


def in_context(
    context: Context, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor, utterance_mask: Tensor
) -> Tensor:
    """Context of whole dialogues, those of alike length together where padding would cost much.

    Args:
        context: any.
        hidden_states: as for [`Context.forward`].
        mask: likewise.
        speaker_ids: likewise.
        utterance_mask: boolean `(batch, utterances)`, False in padded slots.
    """
    together = context.dialogues_together
    batch, longest = utterance_mask.shape
    if together is None or batch <= together or longest <= 16 or torch.compiler.is_compiling():
        whole: Tensor = context(hidden_states, mask, speaker_ids)
        return whole
    groups = alike_lengths(utterance_mask.sum(dim=1), together)
    parts = []
    for rows in groups:
        end = end_of(utterance_mask[rows])
        parts.append(context(hidden_states[rows, :end], mask[rows, :end], speaker_ids[rows, :end]))
    found = unsplit(parts, groups)
    return nn.functional.pad(found, (0, 0, 0, longest - found.shape[1]))


def visible_utterances(mask: Tensor, *, causal: bool, window: int | None) -> Tensor:
    """Which utterance sees which.

    Args:
        mask: boolean `(batch, utterances)`, True where there is an utterance to see.
        causal: past and present only.
        window: distance seen at most, in utterances.

    Returns:
        boolean `(batch, utterances, utterances)`; a row always sees itself, so that no softmax is empty.
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
class AttentionState:
    """What a causal self-attention keeps of a dialogue: the utterances that later ones see.

    Args:
        length: utterances so far, seen or not.
        positions: `(kept,)`, the place of each kept utterance in the dialogue.
        speaker_ids: `(kept,)`.
        past: keys and values of each layer, `(1, heads, kept, width)`.
    """

    length: int
    positions: Tensor
    speaker_ids: Tensor
    past: list[tuple[Tensor, Tensor]]


@CONTEXTS.register("transformer")
class TransformerContext(Context):
    """Self-attention over the dialogue with a learned bias for distance and for same or other speaker.

    Speakers enter only as "the same as mine" or "another", so any number of them, in any naming, is read alike
    (relative positions after Shaw et al. 2018). The heads start on the four relations of DialogueGCN (Ghosal et al.
    2019, arXiv 1908.11540): the nearest past or future utterances by the same or another speaker; heads beyond four
    look farther. From a random start, "what the other one has just said" was not found in hundreds of steps.
    """

    dialogues_together = 4
    max_distance = 8  # farther utterances share one bias
    away = -4.0  # first bias of what a head does not look at: faint, but with a gradient

    def __init__(self, config: ErcConfig) -> None:
        super().__init__(config)
        self.causal, self.window = config.context_causal, config.context_window
        self.bias = nn.Parameter(torch.empty(2 * (2 * self.max_distance + 1), config.num_attention_heads))
        self.layers = nn.ModuleList(TransformerLayer(config) for _ in range(config.num_context_layers))
        self.norm = nn.LayerNorm(config.hidden_size)

    def initial_bias(self) -> Tensor:
        """The table of biases before training, `(2 * distances, heads)`: other speaker first, then the same."""
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
        self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor, state: AttentionState | None
    ) -> tuple[Tensor, AttentionState]:
        """See [`Context.step`]; the state grows with the dialogue, up to the window."""
        speaker = speaker_ids[0]
        if state is None:
            state = AttentionState(0, speaker.new_zeros(0), speaker.new_zeros(0), [])
        positions = torch.cat([state.positions, speaker.new_tensor([state.length])])
        speakers = torch.cat([state.speaker_ids, speaker])
        distance = (positions - state.length).clamp(min=-self.max_distance) + self.max_distance
        bias = self.bias[(speakers == speaker).long() * (2 * self.max_distance + 1) + distance].T[None, :, None]
        past = []
        for index, layer in enumerate(self.layers):
            before = state.past[index] if state.past else None
            hidden_states, after = layer.step(hidden_states, bias, before)  # type: ignore[operator]
            past.append(after)
        # What is masked has seen itself, but nobody else will.
        seen = torch.cat([torch.ones_like(state.positions, dtype=torch.bool), mask[0]])
        if self.window is not None:
            seen &= positions > state.length - self.window  # seen from the next utterance
        kept = [(key[:, :, seen], value[:, :, seen]) for key, value in past]
        return self.norm(hidden_states), AttentionState(state.length + 1, positions[seen], speakers[seen], kept)


@CONTEXTS.register("none")
class NoContext(Context):
    """Every utterance by itself."""

    def forward(self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor) -> Tensor:
        """Returns `hidden_states` as they are."""
        return hidden_states

    def step(self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor, state: None) -> tuple[Tensor, None]:
        """Returns `hidden_states` as they are; there is no state."""
        return hidden_states, None
