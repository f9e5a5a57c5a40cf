"""The classifier for one dialogue, with a row for every utterance in every input."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..configuration_erc import MODALITIES, ErcConfig
from ..context_erc import GruContext
from ..encoders_erc import TextEncoder
from ..layers_erc import scatter_rows
from ..modeling_erc import ErcForSequenceClassification
from .scanned_gru import ScannedGruContext


class DenseDialogue(nn.Module):
    """An [`ErcForSequenceClassification`] in a form that can be exported.

    The model's own inputs are packed: they hold only the utterances that have a modality. Their number depends on the
    data, which a static graph does not support. Here every input has a row for every utterance, and the values in the
    row of a missing modality are ignored.

    Args:
        model: the model in eval mode.
    """

    def __init__(self, model: ErcForSequenceClassification) -> None:
        super().__init__()
        self.model = model
        erc = model.erc
        self.context_before = nn.ModuleDict({m: exportable(context) for m, context in erc.context_before.items()})
        self.context_after = None if erc.context_after is None else exportable(erc.context_after)

    def forward(self, modality_mask: Tensor, speaker_ids: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        """Classifies the utterances of one dialogue.

        Args:
            modality_mask: boolean `(utterances, modalities)`, True where an utterance has a modality.
            speaker_ids: `(utterances,)`, one integer per speaker.
            inputs: the tensors of the model's modalities by name; T is the maximum length in the dialogue:

                - text: `input_ids`, `attention_mask` and `text_token_mask`, `(utterances, T)`;
                - audio: `audio_values`, `(utterances, mels, T)` or the shape that the feature extractor returns, and
                  `audio_attention_mask`, `(utterances, T)`, if it returns one;
                - vision: `pixel_values`, `(utterances, frames, channels, height, width)`;
                - features: `text_features`, `audio_features` or `visual_features`, `(utterances, T, width)`, and
                  `text_features_mask` ..., boolean `(utterances, T)`.

        Returns:
            logits `(utterances, classes)`.
        """
        erc = self.model.erc
        modalities = erc.config.modalities
        tokens, token_mask = {}, {}
        for index, m in enumerate(modalities):
            present = modality_mask[:, index]
            states, mask = self.tokens(m, present, inputs)
            tokens[m] = erc.projection(m)(states)
            token_mask[m] = mask.bool() & present[:, None]
        for index, m in enumerate(modalities if self.context_before else ()):
            pooled = erc.pools[m](tokens[m], token_mask[m])
            context = self.context_before[m](pooled[None], modality_mask[None, :, index], speaker_ids[None])[0]
            tokens[m] = tokens[m] + context[:, None]
        fused = erc.fusion(tokens, token_mask, modality_mask)
        joint = fused.joint[None]
        if self.context_after is not None:
            everyone = torch.ones_like(speaker_ids, dtype=torch.bool)
            joint = self.context_after(joint, everyone[None], speaker_ids[None])
        own = torch.stack([fused.per_modality[m] for m in modalities], dim=1) * modality_mask[..., None]
        return self.model.heads(joint, own[None], modality_mask[None])[0][0]

    def tokens(self, modality: str, present: Tensor, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the tokens `(utterances, T, width)` of a modality and their mask `(utterances, T)`."""
        name = MODALITIES[modality].features
        if name in inputs:
            return inputs[name], inputs[f"{name}_mask"]
        encoder = self.model.erc.encoder(modality)
        raw = {name: inputs[name] for name in MODALITIES[modality].inputs if name in inputs}
        # Attention over a fully masked row returns NaN.
        for name in raw.keys() & {"attention_mask", "audio_attention_mask"}:
            raw[name] = torch.where(present[:, None], raw[name], 1)
        if isinstance(encoder, TextEncoder):
            # The utterance's tokens stay in place, because selecting them gives a shape that depends on the data.
            # Fusion does not depend on token positions.
            own = raw.pop("text_token_mask")
            return encoder.run_backbone(**raw), own
        return encoder.encode(**raw)


def exportable(context: nn.Module) -> nn.Module:
    """Returns an equivalent context module that can be exported."""
    return ScannedGruContext(context) if isinstance(context, GruContext) else context


def dense_inputs(config: ErcConfig, packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Converts the output of `ErcProcessor` for one dialogue to the inputs of [`DenseDialogue`].

    A modality that no utterance of the dialogue has is left out.

    Args:
        config: the model's configuration.
        packed: the processor's tensors.
    """
    mask = packed["modality_mask"][0]
    dense = {"modality_mask": mask, "speaker_ids": packed["speaker_ids"][0]}
    for index, m in enumerate(config.modalities):
        feature = MODALITIES[m].features
        for name in (*MODALITIES[m].inputs, feature, f"{feature}_mask"):
            if name in packed:
                dense[name] = scatter_rows(packed[name], mask[:, index])
    return dense
