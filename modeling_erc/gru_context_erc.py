"""Conversation context by recurrence: one state for the dialogue, one for each of its speakers."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .configuration_erc import ErcConfig
from .context_erc import CONTEXTS, Context
from .layers_erc import Dropout
from .recurrence_erc import run_gru


@dataclass(frozen=True)
class GruState:
    """What a forward recurrence keeps of a dialogue.

    Args:
        dialogue: `(layers, hidden)`, zero before the first seen utterance.
        speakers: the same of each speaker who was seen.
    """

    dialogue: Tensor
    speakers: dict[int, Tensor]


@CONTEXTS.register("gru")
class GruContext(Context):
    """Gated recurrent units over the dialogue and over each speaker's own turns.

    The first follows the conversation, as in bc-LSTM (Poria et al. 2017), the second how each speaker fares, after the
    party states of DialogueRNN (Majumder et al. 2019, arXiv 1811.00405), here without their attention. Both run
    forwards and backwards, or forwards alone where `context_causal` is set. Unlike the transformer's relative
    distances, a recurrence can tell how far into the dialogue it is. An utterance that is masked out leaves the states
    as they are, and still reads them.

    Raises:
        ValueError: with a `context_window`, which a recurrence does not have.
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
        heard = [
            self._run(self.dialogue, states, dialogues.flatten(), seen),
            self._run(self.speaker, states, turns, seen),
        ]
        context = self.merge(self.dropout(torch.cat(heard, dim=-1))).view_as(hidden_states)
        return self.norm(hidden_states + context)

    def step(
        self, hidden_states: Tensor, mask: Tensor, speaker_ids: Tensor, state: GruState | None
    ) -> tuple[Tensor, GruState]:
        """See [`Context.step`]; the state grows with the speakers alone.

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
        """Runs over each group's seen states, in their order; every state, seen or not, gets what is known there.

        Args:
            gru: dialogue's or speaker's.
            states: `(n, hidden)`.
            group: `(n,)`, numbers from 0.
            seen: boolean `(n,)`.
        """
        groups = int(group.max()) + 1
        lengths = group.new_zeros(groups).index_add_(0, group, seen.long())
        # How many of a state's group were seen up to it: counted through the groups in turn.
        order = group.argsort(stable=True)
        earlier_groups = (lengths.cumsum(0) - lengths)[group[order]]
        upto = torch.empty_like(group).scatter_(0, order, seen[order].long().cumsum(0) - earlier_groups)
        before = upto - seen.long()
        rows = states.new_zeros(groups, max(int(lengths.max()), 1), states.shape[-1])
        rows[group[seen], before[seen]] = states[seen]
        # autocast to bf16 would run cuDNN's recurrence in fp16, whose range is too small for unscaled gradients.
        with torch.autocast(states.device.type, enabled=False):
            output = run_gru(gru, rows.to(self.norm.weight.dtype), lengths.clamp(min=1))
        # A group of which nothing is seen ran over one empty row, which says nothing.
        output = output * (lengths > 0)[:, None, None]
        # The forward state is zero before the first seen utterance, the backward one after the last.
        output = nn.functional.pad(output, (0, 0, 1, 1))
        forward, *backward = output.chunk(self.directions, dim=-1)
        return torch.cat([forward[group, upto], *(states[group, before + 1] for states in backward)], dim=-1)


__all__ = ["GruContext"]
