"""Group norm over time that leaves out padding, for speech backbones such as wav2vec 2.0 base."""

import torch
from torch import Tensor, nn

from ..encoders_erc import AudioEncoder


class PaddedGroupNorm(nn.Module):
    """An `nn.GroupNorm` with one group per channel, as if each row had been computed without its padding.

    Mean and variance run over time, so padding would change them. Padded samples are NaN (see [`mark_padding`]), and so
    is each frame of the convolution before the norm that contains one; those frames are left out and become zero.

    Args:
        norm: the norm that provides the weights.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, states: Tensor) -> Tensor:
        """Normalises `(rows, channels, frames)`."""
        inside = ~states.isnan()
        states = torch.where(inside, states, 0.0)
        frames = inside.sum(dim=-1, keepdim=True)
        centred = torch.where(inside, states - states.sum(dim=-1, keepdim=True) / frames, 0.0)
        variance = centred.square().sum(dim=-1, keepdim=True) / frames
        scaled = centred / torch.sqrt(variance + self.norm.eps) * self.norm.weight[:, None] + self.norm.bias[:, None]
        return torch.where(inside, scaled, 0.0)


class PaddedAudioEncoder(nn.Module):
    """An `AudioEncoder` that encodes all rows at once although its backbone has a group norm over time.

    Args:
        encoder: the encoder; its group norms are replaced.
    """

    def __init__(self, encoder: AudioEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        replace_group_norms(encoder.backbone)

    def forward(self, audio_values: Tensor, audio_attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """See [`AudioEncoder.encode`]."""
        marked = mark_padding(audio_values, audio_attention_mask)
        return self.encoder.encode(audio_values=marked, audio_attention_mask=audio_attention_mask)


def replace_group_norms(backbone: nn.Module) -> None:
    """Replaces every group norm of a backbone, in place."""
    for name, module in list(backbone.named_modules()):
        if isinstance(module, nn.GroupNorm):
            parent, _, attribute = name.rpartition(".")
            setattr(backbone.get_submodule(parent), attribute, PaddedGroupNorm(module))


def mark_padding(values: Tensor, mask: Tensor) -> Tensor:
    """Sets the samples `(rows, samples)` outside the mask to NaN."""
    return torch.where(mask.bool(), values, torch.nan)
