"""Gated fusion: each modality's share in every unit of the joint feature is learned."""

import torch
from torch import Tensor, nn

from .configuration_erc import ErcConfig
from .fusion_erc import FUSIONS, LateFusion
from .layers_erc import Dropout


@FUSIONS.register("gated")
class GatedFusion(LateFusion):
    """Gated multimodal unit, Arevalo et al. 2017 (arXiv 1702.01992), over each modality's mean token x_m.

    h_m = tanh(W_m x_m) and gates z_m from all modalities side by side make h = sum over m of z_m * h_m. For two
    modalities the paper has z_1 = sigmoid(W_z [x_1, x_2]) and z_2 = 1 - z_1; this project's choice is the softmax over
    the modalities that are present, which for two is the same and for any set sums to 1 in every unit, own layers
    before the unit, and a projection from the unit's width to the hidden width after it.
    """

    def __init__(self, config: ErcConfig, width: int | None = None) -> None:
        super().__init__(config, width)
        self.values = nn.ModuleDict({m: nn.Linear(config.hidden_size, self.width) for m in self.modalities})
        count = len(self.modalities)
        # A single modality has nothing to choose from.
        self.gates = nn.Linear(count * config.hidden_size, count * self.width) if count > 1 else None
        self.output = nn.Sequential(
            Dropout(config.hidden_dropout_prob),
            nn.Linear(self.width, config.hidden_size),
            nn.LayerNorm(config.hidden_size),
        )

    def merge(self, states: Tensor, modality_mask: Tensor) -> Tensor:
        """See [`LateFusion.merge`]."""
        values = [self.values[m](states[:, index]).tanh() for index, m in enumerate(self.modalities)]
        shares = torch.stack(values, dim=1) * modality_mask[..., None]
        if self.gates is not None:
            scores = self.gates(states.flatten(1)).view_as(shares)
            scores = scores.masked_fill(~modality_mask[..., None], torch.finfo(scores.dtype).min)
            shares = scores.softmax(dim=1) * shares
        joint: Tensor = self.output(shares.sum(dim=1))
        return joint
