"""Fusion of the modalities of one utterance. One small interface, one registry: `FUSIONS`."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .configuration_erc import ErcConfig
from .layers_erc import Dropout, TransformerLayer, alike_lengths, end_of, masked_mean, unsplit
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

    A fusion implements `fuse`, and must not let an absent modality or a masked token change its output.
    """

    def __init__(self, config: ErcConfig) -> None:
        super().__init__()
        self.modalities = config.modalities

    def forward(self, tokens: dict[str, Tensor], token_mask: dict[str, Tensor], modality_mask: Tensor) -> FusionOutput:
        """Fuses.

        Args:
            tokens: `(N, tokens, hidden)` for each modality; masked ones may hold anything, NaN as well.
            token_mask: boolean `(N, tokens)` for each modality, False everywhere in rows that lack it.
            modality_mask: boolean `(N, modalities)`.
        """
        # A weight of zero alone would not do: zero times NaN is NaN.
        tokens = {m: tokens[m].masked_fill(~token_mask[m][..., None], 0.0) for m in self.modalities}
        return self.fuse(tokens, token_mask, modality_mask)

    @abstractmethod
    def fuse(self, tokens: dict[str, Tensor], token_mask: dict[str, Tensor], modality_mask: Tensor) -> FusionOutput:
        """What `forward` does, with masked tokens set to zero."""


FUSIONS: Registry[type[Fusion]] = Registry("fusion")

# Utterances that are fused together: few enough to be of alike length.
ROWS_TOGETHER = 64


def fuse(
    fusion: Fusion, tokens: dict[str, Tensor], token_mask: dict[str, Tensor], modality_mask: Tensor
) -> FusionOutput:
    """Fuses utterances of alike length together: a long one must not make all others as long.

    Args:
        fusion: any.
        tokens: as for [`Fusion.forward`].
        token_mask: likewise.
        modality_mask: likewise.
    """
    longest = sum(mask.shape[1] for mask in token_mask.values())
    if longest <= 16 or modality_mask.shape[0] <= ROWS_TOGETHER:
        whole: FusionOutput = fusion(tokens, token_mask, modality_mask)
        return whole
    lengths = torch.stack([mask.sum(dim=1) for mask in token_mask.values()]).sum(dim=0)
    groups = alike_lengths(lengths, ROWS_TOGETHER)
    parts = []
    for rows in groups:
        # Up to the last token that any of the rows has.
        ends = {m: end_of(mask[rows]) for m, mask in token_mask.items()}
        parts.append(
            fusion(
                {m: states[rows, : ends[m]] for m, states in tokens.items()},
                {m: mask[rows, : ends[m]] for m, mask in token_mask.items()},
                modality_mask[rows],
            )
        )
    return FusionOutput(
        joint=unsplit([part.joint for part in parts], groups),
        per_modality={m: unsplit([part.per_modality[m] for part in parts], groups) for m in tokens},
    )


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

    def fuse(self, tokens: dict[str, Tensor], token_mask: dict[str, Tensor], modality_mask: Tensor) -> FusionOutput:
        """See [`Fusion.fuse`]."""
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


def matched_width(parameters_of: Callable[[int], int], target: int) -> int:
    """The width whose parameter count is nearest to the target.

    Args:
        parameters_of: gives the count at a width. It must grow linearly, as it does where the width is that of
            hidden layers between fixed ends.
        target: the count to meet.

    Returns:
        the width, 1 at least.

    Example:
        >>> matched_width(lambda width: 100 + 20 * width, target=250)
        8
    """
    narrow, step = parameters_of(1), parameters_of(2) - parameters_of(1)
    return max(1, 1 + (2 * (target - narrow) + step) // (2 * step))


def num_parameters(module: nn.Module) -> int:
    """All its parameters, trained or not."""
    return sum(parameter.numel() for parameter in module.parameters())


class MatchedFusion(Fusion):
    """A fusion with as many parameters as `joint_vector`, so that a comparison compares the idea and not the size.

    The width rule: every hidden layer of the fusion (in the feed-forward nets of its layers and where it merges) has
    the same inner width, in place of `intermediate_size`: the one with which the count comes nearest to that of
    `joint_vector` for the same config. So each fusion pays for its own means of exchange with the width of its layers.
    The width depends on nothing but the config.

    Args:
        config: the model's.
        width: the inner width; default: by the rule. A subclass takes it too, and reads `self.width`.
    """

    def __init__(self, config: ErcConfig, width: int | None = None) -> None:
        super().__init__(config)
        if width is None:
            with torch.device("meta"):
                target = num_parameters(JointVectorFusion(config))
                width = matched_width(lambda width: num_parameters(type(self)(config, width)), target)
        self.width = width


class LateFusion(MatchedFusion):
    """Merges one vector a modality, the mean of its tokens, after layers in which each modality is by itself.

    Each modality runs the same number of own transformer layers as in `joint_vector`, so that a comparison compares the
    exchange and not the depth.
    """

    def __init__(self, config: ErcConfig, width: int | None = None) -> None:
        super().__init__(config, width)
        self.layers = nn.ModuleList(
            nn.ModuleDict({m: TransformerLayer(config, self.width) for m in self.modalities})
            for _ in range(config.num_fusion_layers)
        )
        self.modality_norms = nn.ModuleDict({m: nn.LayerNorm(config.hidden_size) for m in self.modalities})

    def fuse(self, tokens: dict[str, Tensor], token_mask: dict[str, Tensor], modality_mask: Tensor) -> FusionOutput:
        """See [`Fusion.fuse`]."""
        per_modality = {}
        for m in self.modalities:
            states = tokens[m]
            # A row without tokens still needs a position to look at: it sees its own zeros, and its mean is zero.
            seen = (token_mask[m] | ~token_mask[m].any(dim=1, keepdim=True))[:, None, None]
            for layer in self.layers:
                states = layer[m](states, seen)  # type: ignore[index]
            per_modality[m] = self.modality_norms[m](masked_mean(states, token_mask[m], dim=1))
        side_by_side = torch.stack([per_modality[m] for m in self.modalities], dim=1) * modality_mask[..., None]
        return FusionOutput(joint=self.merge(side_by_side, modality_mask), per_modality=per_modality)

    @abstractmethod
    def merge(self, states: Tensor, modality_mask: Tensor) -> Tensor:
        """Merges `(N, modalities, hidden)`, zero where `modality_mask` `(N, modalities)` is False, to `(N, hidden)`."""


def concat_net(config: ErcConfig, width: int) -> nn.Sequential:
    """Feed-forward net of the inner width from the modalities side by side, `(N, modalities * hidden)`, to one."""
    return nn.Sequential(
        nn.Linear(len(config.modalities) * config.hidden_size, width),
        nn.GELU(),
        Dropout(config.hidden_dropout_prob),
        nn.Linear(width, config.hidden_size),
        nn.LayerNorm(config.hidden_size),
    )


@FUSIONS.register("concat")
class ConcatFusion(LateFusion):
    """Simple concatenation, the baseline: each modality's mean token, side by side, through a feed-forward net.

    Absent modalities enter as zeros.
    """

    def __init__(self, config: ErcConfig, width: int | None = None) -> None:
        super().__init__(config, width)
        self.net = concat_net(config, self.width)

    def merge(self, states: Tensor, modality_mask: Tensor) -> Tensor:
        """See [`LateFusion.merge`]."""
        joint: Tensor = self.net(states.flatten(1))
        return joint
