"""Conversation context: what an utterance learns from the others of its dialogue. One registry: `CONTEXTS`."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from .configuration_erc import ErcConfig
from .layers_erc import TransformerLayer
from .registry_erc import Registry


class Context(nn.Module, ABC):
    """Interface of a context."""

    # So many dialogues are padded to the length of the longest of them; `None`: padding costs nothing.
    dialogues_together: ClassVar[int | None] = None

    def __init__(self, config: ErcConfig) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor) -> Tensor:
        """Context.

        Args:
            hidden_states: `(batch, utterances, hidden)`.
            mask: boolean `(batch, utterances)`, what may be read.
            speaker_ids: `(batch, utterances)`, any integers, equal for equal speakers of a dialogue.

        Returns:
            `(batch, utterances, hidden)`.
        """


CONTEXTS: Registry[type[Context]] = Registry("context")


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
        """Context.

        Args:
            hidden_states: `(batch, utterances, hidden)`.
            mask: boolean `(batch, utterances)`.
            speaker_ids: `(batch, utterances)`, any integers, equal for equal speakers of a dialogue.

        Returns:
            `(batch, utterances, hidden)`.
        """
        order = torch.arange(mask.shape[1], device=mask.device)
        distance = (order[None, :] - order[:, None]).clamp(-self.max_distance, self.max_distance) + self.max_distance
        same = (speaker_ids[:, :, None] == speaker_ids[:, None, :]).long()
        bias = self.bias[same * (2 * self.max_distance + 1) + distance].permute(0, 3, 1, 2)
        visible = visible_utterances(mask, causal=self.causal, window=self.window)[:, None]
        attention = bias.masked_fill(~visible, torch.finfo(bias.dtype).min)
        for layer in self.layers:
            hidden_states = layer(hidden_states, attention)
        return self.norm(hidden_states)


@CONTEXTS.register("none")
class NoContext(Context):
    """Every utterance by itself."""

    def forward(self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor) -> Tensor:
        """Returns `hidden_states` as they are."""
        return hidden_states
