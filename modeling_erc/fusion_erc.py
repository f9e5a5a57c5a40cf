"""Fusion of the modalities of one utterance. One small interface, one registry: `FUSIONS`."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .configuration_erc import ErcConfig
from .layers_erc import TransformerLayer, masked_mean
from .registry_erc import Registry


@dataclass
class FusionOutput:
    """What every fusion returns, for N packed utterances.

    Args:
        joint: `(N, hidden)`, the fused feature.
        per_modality: `(N, hidden)` for each modality; rows of absent modalities carry no meaning.
    """

    joint: Tensor
    per_modality: dict[str, Tensor]


class Fusion(nn.Module, ABC):
    """Interface of a fusion: tokens of every modality in, one joint feature an utterance out.

    A fusion must not let an absent modality or a masked token change its output.
    """

    def __init__(self, config: ErcConfig) -> None:
        super().__init__()
        self.modalities = config.modalities

    @abstractmethod
    def forward(self, tokens: dict[str, Tensor], token_mask: dict[str, Tensor], modality_mask: Tensor) -> FusionOutput:
        """Fuses.

        Args:
            tokens: `(N, tokens, hidden)` for each modality.
            token_mask: boolean `(N, tokens)` for each modality, False everywhere in rows that lack it.
            modality_mask: boolean `(N, modalities)`.
        """


FUSIONS: Registry[type[Fusion]] = Registry("fusion")


@FUSIONS.register("joint_vector")
class JointVectorFusion(Fusion):
    """Exchange through trainable joint vectors, after Shi et al. 2024 (arXiv 2405.17900).

    In each layer every modality runs its own transformer layer over [its tokens ; joint vectors]. The modalities'
    updated copies of the joint vectors are averaged over the modalities that are present and go into the next layer.
    Modalities exchange information only through them: what is specific to a modality stays with it, and what is shared
    has to pass a bottleneck (cf. attention bottlenecks, Nagrani et al. 2021, arXiv 2107.00135). The paper's equations
    were not at hand: the mean as merge and the separate layers are this project's choice.
    """

    def __init__(self, config: ErcConfig) -> None:
        super().__init__(config)
        self.joint_vectors = nn.Parameter(torch.empty(config.num_joint_vectors, config.hidden_size))
        self.layers = nn.ModuleList(
            nn.ModuleDict({m: TransformerLayer(config) for m in self.modalities})
            for _ in range(config.num_fusion_layers)
        )
        self.joint_norm = nn.LayerNorm(config.hidden_size)
        self.modality_norms = nn.ModuleDict({m: nn.LayerNorm(config.hidden_size) for m in self.modalities})

    def forward(self, tokens: dict[str, Tensor], token_mask: dict[str, Tensor], modality_mask: Tensor) -> FusionOutput:
        """See [`Fusion.forward`]."""
        utterances = modality_mask.shape[0]
        joint = self.joint_vectors.expand(utterances, -1, -1)
        always = modality_mask.new_ones(utterances, joint.shape[1])
        attention = {m: torch.cat([token_mask[m], always], dim=1)[:, None, None] for m in self.modalities}
        for layer in self.layers:
            copies = []
            updated = {}
            for m in self.modalities:
                states = layer[m](torch.cat([tokens[m], joint], dim=1), attention[m])  # type: ignore[index]
                length = tokens[m].shape[1]
                updated[m], copy = states[:, :length], states[:, length:]
                copies.append(copy)
            tokens = updated
            present = modality_mask[:, :, None].expand(-1, -1, joint.shape[1])
            merged = masked_mean(torch.stack(copies, dim=1), present, dim=1)
            # An utterance without any modality keeps the vectors as they are, so that its output stays finite.
            joint = torch.where(modality_mask.any(dim=1)[:, None, None], merged, joint)
        per_modality = {
            m: self.modality_norms[m](masked_mean(tokens[m], token_mask[m], dim=1)) for m in self.modalities
        }
        return FusionOutput(joint=self.joint_norm(joint.mean(dim=1)), per_modality=per_modality)


@FUSIONS.register("concat")
class ConcatFusion(Fusion):
    """Simple concatenation, the baseline: each modality's mean token, side by side, through a feed-forward net.

    Absent modalities enter as zeros. Each modality first runs the same number of own transformer layers as
    `joint_vector` has, so that a comparison compares the exchange and not the depth.
    """

    def __init__(self, config: ErcConfig) -> None:
        super().__init__(config)
        self.layers = nn.ModuleList(
            nn.ModuleDict({m: TransformerLayer(config) for m in self.modalities})
            for _ in range(config.num_fusion_layers)
        )
        self.modality_norms = nn.ModuleDict({m: nn.LayerNorm(config.hidden_size) for m in self.modalities})
        self.merge = nn.Sequential(
            nn.Linear(len(self.modalities) * config.hidden_size, config.hidden_size),
            nn.GELU(),
            nn.Dropout(config.hidden_dropout_prob),
            nn.Linear(config.hidden_size, config.hidden_size),
            nn.LayerNorm(config.hidden_size),
        )

    def forward(self, tokens: dict[str, Tensor], token_mask: dict[str, Tensor], modality_mask: Tensor) -> FusionOutput:
        """See [`Fusion.forward`]."""
        per_modality = {}
        for index, m in enumerate(self.modalities):
            states = tokens[m]
            # A row without the modality still needs a position to look at: it sees its own zeros and is masked below.
            attention = (token_mask[m] | ~modality_mask[:, index, None])[:, None, None]
            for layer in self.layers:
                states = layer[m](states, attention)  # type: ignore[index]
            per_modality[m] = self.modality_norms[m](masked_mean(states, token_mask[m], dim=1))
        side_by_side = [per_modality[m] * modality_mask[:, i, None] for i, m in enumerate(self.modalities)]
        return FusionOutput(joint=self.merge(torch.cat(side_by_side, dim=1)), per_modality=per_modality)
