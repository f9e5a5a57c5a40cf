"""The classifier for one dialogue at a time, with a place for every utterance in every input."""

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

    The model's own inputs hold only the utterances that have a modality, packed; how many there are depends on the
    data, which a graph of fixed operations cannot follow. Here every input has a row for every utterance, and what a
    row of a missing modality holds (zeros, say) does not matter.

    Args:
        model: in eval mode.
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
            modality_mask: boolean `(utterances, modalities)`, what each utterance has.
            speaker_ids: `(utterances,)`, equal for equal speakers.
            inputs: by name, those of the model's modalities; T is the longest of the dialogue:

                - words: `input_ids`, `attention_mask` and `text_token_mask`, `(utterances, T)`;
                - sound: `audio_values`, `(utterances, mels, T)` or what else the feature extractor makes, and
                  `audio_attention_mask`, `(utterances, T)`, where it makes one;
                - pictures: `pixel_values`, `(utterances, frames, channels, height, width)`;
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
            spoken = erc.pools[m](tokens[m], token_mask[m])
            context = self.context_before[m](spoken[None], modality_mask[None, :, index], speaker_ids[None])[0]
            tokens[m] = tokens[m] + context[:, None]
        fused = erc.fusion(tokens, token_mask, modality_mask)
        joint = fused.joint[None]
        if self.context_after is not None:
            everyone = torch.ones_like(speaker_ids, dtype=torch.bool)
            joint = self.context_after(joint, everyone[None], speaker_ids[None])
        own = torch.stack([fused.per_modality[m] for m in modalities], dim=1) * modality_mask[..., None]
        return self.model.heads(joint, own[None], modality_mask[None])[0][0]

    def tokens(self, modality: str, present: Tensor, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Tokens `(utterances, T, width)` of a modality and their mask `(utterances, T)`."""
        name = MODALITIES[modality].features
        if name in inputs:
            return inputs[name], inputs[f"{name}_mask"]
        encoder = self.model.erc.encoder(modality)
        raw = {name: inputs[name] for name in MODALITIES[modality].inputs if name in inputs}
        # A row that masks everything would come out as NaN.
        for name in raw.keys() & {"attention_mask", "audio_attention_mask"}:
            raw[name] = torch.where(present[:, None], raw[name], 1)
        if isinstance(encoder, TextEncoder):
            # Own tokens stay where they are: fusion does not mind where, and how many there are depends on the data.
            own = raw.pop("text_token_mask")
            return encoder.run_backbone(**raw), own
        return encoder.encode(**raw)


def exportable(context: nn.Module) -> nn.Module:
    """The same context in operations that can be exported."""
    return ScannedGruContext(context) if isinstance(context, GruContext) else context


def dense_inputs(config: ErcConfig, packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What [`DenseDialogue`] takes, by name, of what `ErcProcessor` makes of one dialogue.

    A modality that no utterance of the dialogue has is left out.

    Args:
        config: the model's.
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


__all__ = ["DenseDialogue", "dense_inputs"]
