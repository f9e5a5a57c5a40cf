"""Tensor fusion: products of the modalities' features, in low rank."""

import torch
from torch import Tensor, nn

from .configuration_erc import ErcConfig
from .fusion_erc import FUSIONS, LateFusion
from .layers_erc import Dropout

RANK = 4


@FUSIONS.register("tensor")
class TensorFusion(LateFusion):
    """Low-rank tensor fusion, Liu et al. 2018 (arXiv 1806.00064), of each modality's mean token x_m.

    The outer product of all z_m = [x_m ; 1] holds every product of features of different modalities; the appended 1
    keeps those of fewer modalities. A weight tensor of rank R maps it to h without either being built:
    h = sum over i = 1..R of the elementwise product over m of W_m^(i) z_m. An absent modality's factor is 1, so that h
    is the fusion of the others.

    This project's choice: the weight of the appended 1 is counted from 1, so that features of a single modality pass
    from the start; the constant 1 of each product is left to the bias of the projection to the hidden width; own
    layers come before.
    """

    def __init__(self, config: ErcConfig, width: int | None = None) -> None:
        super().__init__(config, width)
        # The biases are the weights of the appended 1, less 1.
        self.factors = nn.ModuleDict({m: nn.Linear(config.hidden_size, RANK * self.width) for m in self.modalities})
        self.output = nn.Sequential(
            Dropout(config.hidden_dropout_prob),
            nn.Linear(self.width, config.hidden_size),
            nn.LayerNorm(config.hidden_size),
        )

    def merge(self, states: Tensor, modality_mask: Tensor) -> Tensor:
        """See [`LateFusion.merge`]."""
        factors = torch.stack([self.factors[m](states[:, index]) for index, m in enumerate(self.modalities)], dim=1)
        product = (1 + factors * modality_mask[..., None]).prod(dim=1) - 1
        joint: Tensor = self.output(product.unflatten(1, (RANK, -1)).sum(dim=1))
        return joint
