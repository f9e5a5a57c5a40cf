"""The classifier for one dialogue, in operations that ONNX export supports."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..configuration_erc import MODALITIES
from ..context_erc import GruContext
from ..encoders_erc import AudioEncoder, BackboneEncoder, TextEncoder
from ..layers_erc import pick_tokens
from ..modeling_erc import ErcForSequenceClassification
from .padded_norm import mark_padding, replace_group_norms
from .scanned_gru import ScannedGruContext

# Attention over a row without any position returns NaN.
ATTENTION = ("attention_mask", "audio_attention_mask")


class OneDialogue(nn.Module):
    """An [`ErcForSequenceClassification`] in a form that can be exported.

    It takes the tensors of `ErcProcessor` for one dialogue. The inputs of a modality hold one row for each utterance
    that has it, maybe none. Before they are encoded, an empty row is put first, which all other utterances share: a
    graph neither selects rows by a mask nor encodes an empty batch.

    Args:
        model: the model in eval mode; it is not changed.
    """

    def __init__(self, model: ErcForSequenceClassification) -> None:
        super().__init__()
        self.model = model
        erc = model.erc
        self.encoders = nn.ModuleDict({m: exportable_encoder(erc.encoder(m)) for m in erc.encoders})
        self.context_before = nn.ModuleDict({m: exportable_context(c) for m, c in erc.context_before.items()})
        self.context_after = None if erc.context_after is None else exportable_context(erc.context_after)

    def forward(self, modality_mask: Tensor, speaker_ids: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        """Classifies the utterances of one dialogue.

        Args:
            modality_mask: boolean `(1, utterances, modalities)`, True where an utterance has a modality.
            speaker_ids: `(1, utterances)`, one integer per speaker.
            inputs: the tensors of all modalities of the model by name, as for [`ErcModel.forward`].

        Returns:
            logits `(utterances, classes)`.
        """
        erc = self.model.erc
        modalities = erc.config.modalities
        present = modality_mask[0]
        tokens, token_mask = {}, {}
        for index, m in enumerate(modalities):
            names = (*MODALITIES[m].inputs, MODALITIES[m].features, f"{MODALITIES[m].features}_mask")
            states, mask = self.tokens(
                m, {name: with_empty_row(name, inputs[name]) for name in names if name in inputs}
            )
            here = present[:, index]
            row = here.long().cumsum(dim=0) * here
            tokens[m] = erc.projection(m)(states)[row]
            token_mask[m] = mask.bool()[row] & here[:, None]
        for index, m in enumerate(modalities if self.context_before else ()):
            pooled = erc.pools[m](tokens[m], token_mask[m])
            context = self.context_before[m](pooled[None], modality_mask[..., index], speaker_ids)[0]
            tokens[m] = tokens[m] + context[:, None]
        fused = erc.fusion(tokens, token_mask, present)
        joint = fused.joint[None]
        if self.context_after is not None:
            joint = self.context_after(joint, torch.ones_like(speaker_ids, dtype=torch.bool), speaker_ids)
        own = torch.stack([fused.per_modality[m] for m in modalities], dim=1) * present[..., None]
        return self.model.heads(joint, own[None], modality_mask)[0][0]

    def tokens(self, modality: str, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the tokens `(rows, T, width)` of a modality and their mask `(rows, T)`."""
        feature = MODALITIES[modality].features
        if feature in inputs:
            return inputs[feature], inputs[f"{feature}_mask"]
        encoder = self.encoders[modality]
        assert isinstance(encoder, BackboneEncoder)
        if isinstance(encoder, TextEncoder):
            # The utterance's tokens stay in place, because selecting them gives a shape that depends on the data.
            # Fusion does not depend on token positions.
            states = encoder.run_backbone(**{name: inputs[name] for name in ("input_ids", "attention_mask")})
            if "text_token_index" not in inputs:
                return states, inputs["text_token_mask"]
            # The empty window moves the others; there may be none.
            own = inputs["text_token_index"] >= 0
            return pick_tokens(states, (inputs["text_token_index"] + states.shape[-2]) * own), own
        if norms_over_time(encoder):
            inputs = {**inputs, "audio_values": mark_padding(inputs["audio_values"], inputs["audio_attention_mask"])}
        return encoder.encode(**inputs)


def with_empty_row(name: str, values: Tensor) -> Tensor:
    """Puts a row of zeros before the rows of an input; ones in an attention mask, -1 in an index of tokens."""
    fill = -1 if name == "text_token_index" else int(name in ATTENTION)
    return torch.cat([values.new_full((1, *values.shape[1:]), fill), values])


def exportable_context(context: nn.Module) -> nn.Module:
    """Returns an equivalent context module that can be exported."""
    return ScannedGruContext(context) if isinstance(context, GruContext) else context


def exportable_encoder(encoder: BackboneEncoder) -> BackboneEncoder:
    """Returns an equivalent encoder that encodes all rows at once."""
    if not norms_over_time(encoder):
        return encoder
    encoder = copy.deepcopy(encoder)
    replace_group_norms(encoder.backbone)
    return encoder


def norms_over_time(encoder: BackboneEncoder) -> bool:
    """Returns whether padding changes what the encoder returns, which therefore takes rows one at a time."""
    return isinstance(encoder, AudioEncoder) and encoder.bucket_size() == 1
