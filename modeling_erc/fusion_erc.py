"""Fusion of the modalities of an utterance: one interface and one registry, `FUSIONS`."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration_erc import ErcConfig
from .layers_erc import Dropout, TransformerLayer, attend, end_of, feed_forward, length_buckets, masked_mean, unsplit
from .registry_erc import Registry


@dataclass
class FusionOutput:
    """Output of a fusion for N packed utterances.

    Args:
        joint: `(N, hidden)`, the fused feature.
        per_modality: `(N, hidden)` for each modality; rows of absent modalities are undefined.
    """

    joint: Tensor
    per_modality: dict[str, Tensor]


class Fusion(nn.Module, ABC):
    """Interface of a fusion, from the tokens of all modalities to one joint feature per utterance.

    A subclass implements `fuse`. Absent modalities and masked tokens must not change its output.
    """

    def __init__(self, config: ErcConfig) -> None:
        super().__init__()
        self.modalities = config.modalities

    def forward(self, tokens: dict[str, Tensor], token_mask: dict[str, Tensor], modality_mask: Tensor) -> FusionOutput:
        """Fuses the modalities of each utterance.

        Args:
            tokens: `(N, tokens, hidden)` for each modality; masked ones may hold any value, including NaN.
            token_mask: boolean `(N, tokens)` for each modality, False everywhere in rows that lack it.
            modality_mask: boolean `(N, modalities)`.
        """
        # A weight of zero is not enough: zero times NaN is NaN.
        tokens = {m: tokens[m].masked_fill(~token_mask[m][..., None], 0.0) for m in self.modalities}
        return self.fuse(tokens, token_mask, modality_mask)

    @abstractmethod
    def fuse(self, tokens: dict[str, Tensor], token_mask: dict[str, Tensor], modality_mask: Tensor) -> FusionOutput:
        """Implements `forward`; masked tokens are set to zero."""


FUSIONS: Registry[type[Fusion]] = Registry("fusion")

# Utterances in a length bucket.
BUCKET_SIZE = 64
# Rank of the weight tensor of `TensorFusion`.
RANK = 4


def fuse(
    fusion: Fusion, tokens: dict[str, Tensor], token_mask: dict[str, Tensor], modality_mask: Tensor
) -> FusionOutput:
    """Runs a fusion with length bucketing.

    Args:
        fusion: fusion to run.
        tokens: `(N, tokens, hidden)` for each modality.
        token_mask: boolean `(N, tokens)` for each modality.
        modality_mask: boolean `(N, modalities)`.
    """
    longest = sum(mask.shape[1] for mask in token_mask.values())
    if torch.compiler.is_compiling() or longest <= 16 or modality_mask.shape[0] <= BUCKET_SIZE:
        whole: FusionOutput = fusion(tokens, token_mask, modality_mask)
        return whole
    lengths = torch.stack([mask.sum(dim=1) for mask in token_mask.values()]).sum(dim=0)
    groups = length_buckets(lengths, BUCKET_SIZE)
    parts = []
    for rows in groups:
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

    In each layer every modality runs its own transformer layer over [its tokens ; joint vectors]. The updated copies of
    the joint vectors are averaged over the modalities present and go into the next layer. Modalities exchange
    information only through this bottleneck (cf. Nagrani et al. 2021, arXiv 2107.00135). The mean and the separate
    layers are choices of this project, because the paper's equations were not available.
    """

    def __init__(self, config: ErcConfig) -> None:
        super().__init__(config)
        if not config.num_fusion_layers:
            raise ValueError("fusion 'joint_vector' needs num_fusion_layers of at least 1 (--num_fusion_layers 1)")
        self.joint_vectors = nn.Parameter(torch.empty(config.num_joint_vectors, config.hidden_size))
        self.layers = nn.ModuleList(
            nn.ModuleDict({m: TransformerLayer(config) for m in self.modalities})
            for _ in range(config.num_fusion_layers)
        )
        self.joint_norm = nn.LayerNorm(config.hidden_size)
        self.modality_norms = nn.ModuleDict({m: nn.LayerNorm(config.hidden_size) for m in self.modalities})

    def set_initial_weights(self) -> None:
        """Draws the joint vectors: with equal initial values they would stay equal."""
        init.normal_(self.joint_vectors, std=1.0)

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
            # An utterance without modalities keeps the vectors, so that its output is finite.
            joint = torch.where(modality_mask.any(dim=1)[:, None, None], merged, joint)
        per_modality = {
            m: self.modality_norms[m](masked_mean(tokens[m], token_mask[m], dim=1)) for m in self.modalities
        }
        return FusionOutput(joint=self.joint_norm(joint.mean(dim=1)), per_modality=per_modality)


def matched_width(parameters_of: Callable[[int], int], target: int) -> int:
    """Returns the width whose parameter count is nearest to the target.

    Args:
        parameters_of: parameter count as a function of the width; must be linear.
        target: parameter count to match.

    Returns:
        the width, at least 1.

    Example:
        >>> matched_width(lambda width: 100 + 20 * width, target=250)
        8
    """
    narrow, step = parameters_of(1), parameters_of(2) - parameters_of(1)
    return max(1, 1 + (2 * (target - narrow) + step) // (2 * step))


def num_parameters(module: nn.Module) -> int:
    """Counts all parameters, trained or not."""
    return sum(parameter.numel() for parameter in module.parameters())


class MatchedFusion(Fusion):
    """A fusion with the parameter count of `joint_vector`, so that comparisons do not depend on size.

    All hidden layers of the fusion (in its feed-forward networks and its merge) have the same inner width instead of
    `intermediate_size`. The width is chosen so that the parameter count is nearest to that of `joint_vector` for the
    same config. Without fusion layers there is nothing to match, and the width is `intermediate_size`.

    Args:
        config: config of the model.
        width: inner width; default: computed by the rule above. Subclasses accept it and use `self.width`.
    """

    def __init__(self, config: ErcConfig, width: int | None = None) -> None:
        super().__init__(config)
        if width is None and not config.num_fusion_layers:
            width = config.intermediate_size
        elif width is None:
            with torch.device("meta"):
                target = num_parameters(JointVectorFusion(config))
                width = matched_width(lambda width: num_parameters(type(self)(config, width)), target)
        self.width = width


class LateFusion(MatchedFusion):
    """Base of fusions that merge one vector per modality: the mean of its tokens after its own transformer layers.

    The number of layers is that of `joint_vector`, so that comparisons do not depend on depth.
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
            # A row without tokens attends to its zeros, because an empty softmax is NaN.
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
    """Returns a feed-forward network from concatenated modalities `(N, modalities * hidden)` to `(N, hidden)`."""
    return nn.Sequential(
        nn.Linear(len(config.modalities) * config.hidden_size, width),
        nn.GELU(),
        Dropout(config.hidden_dropout_prob),
        nn.Linear(width, config.hidden_size),
        nn.LayerNorm(config.hidden_size),
    )


@FUSIONS.register("concat")
class ConcatFusion(LateFusion):
    """Concatenation, the baseline: a feed-forward network over the mean token of each modality.

    Absent modalities are zero.
    """

    def __init__(self, config: ErcConfig, width: int | None = None) -> None:
        super().__init__(config, width)
        self.net = concat_net(config, self.width)

    def merge(self, states: Tensor, modality_mask: Tensor) -> Tensor:
        """See [`LateFusion.merge`]."""
        joint: Tensor = self.net(states.flatten(1))
        return joint


class CrossmodalLayer(GradientCheckpointingLayer):
    """Pre-norm transformer layer with queries of one modality and keys and values of another.

    A null position with key and value zero follows the tokens of the source, so that a target can ignore the source
    and a source without tokens needs no special case.

    Args:
        config: config with `hidden_size`, `num_attention_heads` and `hidden_dropout_prob`.
        attention_size: width of the attention, a multiple of the number of heads.
        intermediate_size: width of the feed-forward network.
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
        """Applies the layer.

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
        attended = attend(
            query, key, value, nn.functional.pad(source_mask, (0, 1), value=True)[:, None, None], self.dropout
        )
        target = target + self.dropout(self.attention_output(attended.transpose(1, 2).flatten(2)))
        return target + self.dropout(self.feed_forward(target))


@FUSIONS.register("cross_attention")
class CrossAttentionFusion(MatchedFusion):
    """Pairwise crossmodal attention, MulT of Tsai et al. 2019 (arXiv 1906.00295).

    For each ordered pair of modalities, crossmodal layers update a stream of the target's tokens from the source:
    stream = layer(stream, source). The streams of each target are merged and go through self-attention layers; the mean
    tokens of all targets are concatenated and go through a feed-forward network.

    Choices of this project: streams are averaged over the sources present, not concatenated (a target without sources
    is unchanged); there are as many self-attention layers as crossmodal ones; each attention has the width
    hidden / modalities, and feed-forward networks that of [`MatchedFusion`]; there is a null position. A single
    modality has self-attention only.
    """

    def __init__(self, config: ErcConfig, width: int | None = None) -> None:
        super().__init__(config, width)
        if not config.num_fusion_layers:
            raise ValueError("fusion 'cross_attention' needs num_fusion_layers of at least 1 (--num_fusion_layers 1)")
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
        """Returns the other modalities."""
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
                given = torch.stack([present[source] for source in self.sources(target)], dim=1)
                given = given[..., None].expand(-1, -1, states.shape[1])
                states = states + masked_mean(torch.stack(changes, dim=1), given, dim=1)
            for layer in self.self_layers[target]:  # type: ignore[attr-defined]
                states = layer(states, states, token_mask[target])
            per_modality[target] = self.modality_norms[target](masked_mean(states, token_mask[target], dim=1))
        side_by_side = [per_modality[m] * present[m][:, None] for m in self.modalities]
        return FusionOutput(joint=self.net(torch.cat(side_by_side, dim=1)), per_modality=per_modality)


@FUSIONS.register("gated")
class GatedFusion(LateFusion):
    """Gated multimodal unit, Arevalo et al. 2017 (arXiv 1702.01992), over the mean token x_m of each modality.

    h = sum over m of z_m * h_m, where h_m = tanh(W_m x_m) and the gates z_m depend on all modalities. For two
    modalities the paper has z_1 = sigmoid(W_z [x_1, x_2]) and z_2 = 1 - z_1. Choices of this project: the gates are a
    softmax over the modalities present, which is the same for two; transformer layers come before the unit and a
    projection to the hidden width after it.
    """

    def __init__(self, config: ErcConfig, width: int | None = None) -> None:
        super().__init__(config, width)
        self.values = nn.ModuleDict({m: nn.Linear(config.hidden_size, self.width) for m in self.modalities})
        count = len(self.modalities)
        # A single modality needs no gate.
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


@FUSIONS.register("tensor")
class TensorFusion(LateFusion):
    """Low-rank tensor fusion, Liu et al. 2018 (arXiv 1806.00064), of the mean token x_m of each modality.

    The outer product of all z_m = [x_m ; 1] holds the products of features of any set of modalities. A weight tensor of
    rank R maps it to h without building either: h = sum over i = 1..R of the elementwise product over m of W_m^(i) z_m.
    The factor of an absent modality is 1, so that h is the fusion of the others.

    Choices of this project: the weight of the appended 1 is stored minus 1, so that features of a single modality pass
    at initialisation; the constant 1 of each product is left to the bias of the output projection; transformer layers
    come before the fusion.
    """

    def __init__(self, config: ErcConfig, width: int | None = None) -> None:
        super().__init__(config, width)
        # The biases are the weights of the appended 1, minus 1.
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
