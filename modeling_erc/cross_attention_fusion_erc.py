"""Crossmodal attention: each modality attends to the tokens of every other one."""

import torch
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_erc import ErcConfig
from .fusion_erc import FUSIONS, FusionOutput, MatchedFusion, concat_net
from .layers_erc import Dropout, attend, feed_forward, masked_mean


class CrossmodalLayer(GradientCheckpointingLayer):
    """Pre-norm transformer layer whose queries are one modality's and whose keys and values another's.

    Beside the source's tokens there is a null position, of key and value zero: a target can decline to listen, which
    gives the attention a choice even where the source has a single token, and a source without tokens is no exception.

    Args:
        config: gives `hidden_size`, `num_attention_heads` and `hidden_dropout_prob`.
        attention_size: width of the attention, a multiple of the heads.
        intermediate_size: width of the feed-forward net.
    """

    def __init__(self, config: ErcConfig, attention_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.attention_norm = nn.LayerNorm(config.hidden_size)
        self.query = nn.Linear(config.hidden_size, attention_size)
        self.key_value = nn.Linear(config.hidden_size, 2 * attention_size)
        self.attention_output = nn.Linear(attention_size, config.hidden_size)
        self.feed_forward = feed_forward(config, intermediate_size)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, target: Tensor, source: Tensor, source_mask: Tensor) -> Tensor:
        """One layer.

        Args:
            target: `(N, length, hidden)`.
            source: `(N, source length, hidden)`; the target itself for self-attention.
            source_mask: boolean `(N, source length)`.

        Returns:
            `(N, length, hidden)`.
        """
        query = self.query(self.attention_norm(target)).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        key_value = nn.functional.pad(self.key_value(self.attention_norm(source)), (0, 0, 0, 1))
        key, value = key_value.unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        heard = attend(
            query, key, value, nn.functional.pad(source_mask, (0, 1), value=True)[:, None, None], self.dropout
        )
        target = target + self.dropout(self.attention_output(heard.transpose(1, 2).flatten(2)))
        return target + self.dropout(self.feed_forward(target))


@FUSIONS.register("cross_attention")
class CrossAttentionFusion(MatchedFusion):
    """Pairwise crossmodal attention, MulT of Tsai et al. 2019 (arXiv 1906.00295).

    For each ordered pair of modalities, crossmodal layers carry the source into a stream of the target's tokens:
    stream = layer(stream, source), where the source stays as it came. Each target's streams are merged and go through
    self-attention layers of its own; the means of the targets' tokens, side by side, go through a feed-forward net.

    This project's choice: streams are averaged over the sources that are present, not concatenated (a target that has
    none stays as it is); as many self-attention layers as crossmodal ones; the attentions of a target share the width
    of one (each has hidden / modalities), and the feed-forward nets have the width of [`MatchedFusion`]'s rule; a null
    position to attend to. With a single modality there is self-attention alone.
    """

    def __init__(self, config: ErcConfig, width: int | None = None) -> None:
        super().__init__(config, width)
        heads = config.num_attention_heads
        attention_size = max(config.hidden_size // len(self.modalities) // heads, 1) * heads

        def layers() -> nn.ModuleList:
            return nn.ModuleList(
                CrossmodalLayer(config, attention_size, self.width) for _ in range(config.num_fusion_layers)
            )

        self.crossmodal_layers = nn.ModuleDict(
            {f"{source}_to_{target}": layers() for target in self.modalities for source in self.sources(target)}
        )
        self.self_layers = nn.ModuleDict({m: layers() for m in self.modalities})
        self.modality_norms = nn.ModuleDict({m: nn.LayerNorm(config.hidden_size) for m in self.modalities})
        self.net = concat_net(config, self.width)

    def sources(self, target: str) -> list[str]:
        """The other modalities."""
        return [m for m in self.modalities if m != target]

    def fuse(self, tokens: dict[str, Tensor], token_mask: dict[str, Tensor], modality_mask: Tensor) -> FusionOutput:
        """See [`Fusion.fuse`]."""
        present = dict(zip(self.modalities, modality_mask.unbind(dim=1), strict=True))
        per_modality = {}
        for target in self.modalities:
            states = tokens[target]
            changes = []
            for source in self.sources(target):
                stream = tokens[target]
                for layer in self.crossmodal_layers[f"{source}_to_{target}"]:  # type: ignore[attr-defined]
                    stream = layer(stream, tokens[source], token_mask[source])
                changes.append(stream - tokens[target])
            if changes:
                heard = torch.stack([present[source] for source in self.sources(target)], dim=1)
                heard = heard[..., None].expand(-1, -1, states.shape[1])
                states = states + masked_mean(torch.stack(changes, dim=1), heard, dim=1)
            for layer in self.self_layers[target]:  # type: ignore[attr-defined]
                states = layer(states, states, token_mask[target])
            per_modality[target] = self.modality_norms[target](masked_mean(states, token_mask[target], dim=1))
        side_by_side = [per_modality[m] * present[m][:, None] for m in self.modalities]
        return FusionOutput(joint=self.net(torch.cat(side_by_side, dim=1)), per_modality=per_modality)
