"""How much each joint vector attends to each modality, measured during prediction."""

from collections import defaultdict
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..fusion_erc import JointVectorFusion
from ..layers_erc import TransformerLayer


class JointAttentionMeter:
    """A context manager that accumulates the attention of a fusion's joint vectors over all forward passes inside it.

    In each layer each modality has its own copy of the joint vectors, which attend to the tokens of that modality and
    to each other. The layers' `scaled_dot_product_attention` returns no weights, so forward hooks recompute them.

    Args:
        fusion: the model's fusion.

    Example:
        >>> with JointAttentionMeter(model.erc_model.fusion) as meter:  # doctest: +SKIP
        ...     model(**inputs)
        >>> meter.shares().shape  # (layers, joint vectors, modalities)  # doctest: +SKIP
        (2, 4, 3)
    """

    def __init__(self, fusion: JointVectorFusion) -> None:
        self.fusion = fusion
        self.joint_vectors = len(fusion.joint_vectors)
        # By layer and modality: for each utterance the share of each joint vector, then that of uniform attention.
        self._rows: dict[tuple[int, str], list[Tensor]] = defaultdict(list)
        self._hooks: list[Any] = []

    def __enter__(self) -> "JointAttentionMeter":
        for number, layer in enumerate(self.fusion.layers):
            for modality in self.fusion.modalities:
                watch = partial(self._watch, number, modality)
                self._hooks.append(layer[modality].register_forward_hook(watch))  # type: ignore[index]
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def shares(self) -> np.ndarray:
        """Returns the share of each joint vector's attention that is on the tokens of each modality.

        Returns:
            `(layers, joint vectors, modalities)`, means over heads and over the utterances that have the modality; NaN
            where none has. The rest, up to 1, is on the joint vectors themselves.
        """
        return self._means()[:, :-1]

    def even_shares(self) -> np.ndarray:
        """Returns the shares `(modalities,)` under uniform attention to all tokens and joint vectors."""
        return np.asarray(self._means()[0, -1])

    def _means(self) -> np.ndarray:
        means = np.full((len(self.fusion.layers), self.joint_vectors + 1, len(self.fusion.modalities)), np.nan)
        for (layer, modality), rows in self._rows.items():
            means[layer, :, list(self.fusion.modalities).index(modality)] = torch.cat(rows).mean(dim=0)
        return means

    def _watch(
        self, number: int, modality: str, layer: TransformerLayer, inputs: tuple[Tensor, Tensor], _: Tensor
    ) -> None:
        hidden_states, seen = inputs
        own = seen[:, 0, 0, : -self.joint_vectors]
        present = own.any(dim=1)
        weights = attention_weights(layer, hidden_states[present], seen[present])
        on_tokens = weights[:, :, -self.joint_vectors :, : -self.joint_vectors].sum(dim=-1).mean(dim=1)
        tokens = own[present].sum(dim=1, keepdim=True).double()
        self._rows[number, modality].append(torch.cat([on_tokens, tokens / (tokens + self.joint_vectors)], dim=1).cpu())


@torch.no_grad()
def attention_weights(layer: TransformerLayer, hidden_states: Tensor, seen: Tensor) -> Tensor:
    """Computes the attention weights that a layer applies.

    Args:
        layer: the layer.
        hidden_states: `(N, length, hidden)`, its input.
        seen: boolean attention mask, broadcastable to `(N, heads, length, length)`.

    Returns:
        `(N, heads, length, length)`; each row sums to 1, with zeros at masked positions.
    """
    batch, length, hidden = hidden_states.shape
    qkv = layer.qkv(layer.attention_norm(hidden_states)).float()
    # The head size is explicit since it cannot be inferred from zero rows.
    heads = qkv.view(batch, length, 3, layer.num_heads, hidden // layer.num_heads)
    query, key, _ = heads.permute(2, 0, 3, 1, 4)
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    return scores.masked_fill(~seen, -torch.inf).softmax(dim=-1)
