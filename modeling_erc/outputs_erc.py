"""Output classes of the models."""

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class ErcModelOutput(ModelOutput):
    """Output of [`ErcModel`].

    Args:
        last_hidden_state: `(batch, utterances, hidden)`, the joint feature after context; zero in padded slots.
        modality_states: `(batch, utterances, modalities, hidden)`, one state per modality; zero where it is absent.
        modality_mask: boolean `(batch, utterances, modalities)`, the modalities used (after modality dropout).
    """

    last_hidden_state: Tensor | None = None
    modality_states: Tensor | None = None
    modality_mask: Tensor | None = None


@dataclass
class ErcClassifierOutput(ModelOutput):
    """Output of [`ErcForSequenceClassification`].

    Args:
        loss: a scalar, if labels were given.
        logits: `(batch, utterances, outputs)`, classes and then targets in their own units; mean over the
            joint head and the heads of the present modalities.
        modality_logits: `(batch, utterances, modalities, outputs)`, logits of each modality head.
        modality_mask: boolean `(batch, utterances, modalities)`.
        embeddings: `(batch, utterances, contrastive_size)`, unit norm, if there is a contrastive loss.
        prototypes: `(classes, contrastive_size)`, unit norm, if there is a contrastive loss.
        last_hidden_state: `(batch, utterances, hidden)`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    modality_logits: Tensor | None = None
    modality_mask: Tensor | None = None
    embeddings: Tensor | None = None
    prototypes: Tensor | None = None
    last_hidden_state: Tensor | None = None
