"""From each modality's own tokens to the width of the fusion."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from .configuration_erc import ErcConfig
from .layers_erc import Dropout


class ModalityProjection(nn.Module):
    """From a modality's own width to the fusion's: layer mix, standardisation or norm, linear map.

    Precomputed features come on any scale: `feature_mean` and `feature_scale` are set once from the training split
    (see [`ErcPreTrainedModel.set_feature_statistics`]) and travel with the checkpoint.
    """

    def __init__(self, config: ErcConfig, modality: str) -> None:
        super().__init__()
        backbone = config.backbone_config(modality)
        mixes = backbone is not None and getattr(config, f"{modality}_layer") == "mix"
        width = (config.feature_sizes or {})[modality] if backbone is None else backbone_width(backbone)
        self.layer_weights = nn.Parameter(torch.empty(backbone.num_hidden_layers + 1)) if mixes and backbone else None
        self.feature_mean: Tensor
        self.feature_scale: Tensor
        self.register_buffer("feature_mean", torch.zeros(width))
        self.register_buffer("feature_scale", torch.ones(width))
        self.norm: nn.Module = nn.Identity() if backbone is None else nn.LayerNorm(width)
        self.linear = nn.Linear(width, config.hidden_size)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, tokens: Tensor) -> Tensor:
        """Projects `(N, [layers,] tokens, width)` to `(N, tokens, hidden)`."""
        tokens = tokens.to(self.feature_mean.dtype)
        if self.layer_weights is not None:
            tokens = torch.einsum("l,nltw->ntw", self.layer_weights.softmax(dim=0), tokens)
        tokens = (tokens - self.feature_mean) / self.feature_scale
        return self.dropout(self.linear(self.norm(tokens)))


def backbone_width(config: PreTrainedConfig) -> int:
    """Width of a backbone's hidden states."""
    width: int = config.hidden_size if hasattr(config, "hidden_size") else config.hidden_sizes[-1]
    return width
