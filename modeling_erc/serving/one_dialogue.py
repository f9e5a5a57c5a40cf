"""The classifier for one dialogue, as an adapter of inputs that `torch.export` and ONNX export support."""

import copy
from itertools import chain

import torch
from torch import Tensor, nn

from ..context_erc import GruContext
from ..encoders_erc import AudioEncoder
from ..modeling_erc import ErcForSequenceClassification
from .padded_norm import PaddedAudioEncoder
from .scanned_gru import ScannedGruContext

# Attention over a row without any position returns NaN.
ATTENTION = ("attention_mask", "audio_attention_mask")


class OneDialogue(nn.Module):
    """Adapts the inputs of an [`ErcForSequenceClassification`] for export; the forward pass is that of the model.

    It takes the tensors of `ErcProcessor` for one dialogue. The inputs of a modality hold one row for each utterance
    that has it, maybe none.

    Args:
        model: the model in eval mode; it is not changed.
    """

    def __init__(self, model: ErcForSequenceClassification) -> None:
        super().__init__()
        self.model = exportable(model)

    def forward(self, modality_mask: Tensor, speaker_ids: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        """Classifies the utterances of one dialogue.

        Args:
            modality_mask: boolean `(1, utterances, modalities)`, True where an utterance has a modality.
            speaker_ids: `(1, utterances)`, one integer per speaker.
            inputs: the tensors of all modalities of the model by name, as for [`ErcModel.forward`].

        Returns:
            logits `(utterances, outputs)`.
        """
        if torch.compiler.is_compiling():  # a graph cannot skip a batch without rows
            inputs = {name: with_unused_row(name, values) for name, values in inputs.items()}
        real = torch.ones_like(speaker_ids, dtype=torch.bool)
        logits: Tensor = self.model(real, modality_mask=modality_mask, speaker_ids=speaker_ids, **inputs).logits
        return logits[0]


def with_unused_row(name: str, values: Tensor) -> Tensor:
    """Adds a row of zeros behind the rows of an input; ones in an attention mask, -1 in an index of tokens."""
    fill = -1 if name == "text_token_index" else int(name in ATTENTION)
    return torch.cat([values, values.new_full((1, *values.shape[1:]), fill)])


def exportable(model: ErcForSequenceClassification) -> ErcForSequenceClassification:
    """Returns a copy on the same weights, with modules in place of those that cannot be exported."""
    weights = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    model = copy.deepcopy(model, weights)
    erc = model.erc
    for modality, encoder in erc.encoders.items():
        # Padding changes what this encoder returns, so it takes rows one at a time.
        if isinstance(encoder, AudioEncoder) and encoder.bucket_size() == 1:
            erc.encoders[modality] = PaddedAudioEncoder(encoder)
    for modality, context in erc.context_before.items():
        if isinstance(context, GruContext):
            erc.context_before[modality] = ScannedGruContext(context)
    if isinstance(erc.context_after, GruContext):
        erc.context_after = ScannedGruContext(erc.context_after)
    return model
