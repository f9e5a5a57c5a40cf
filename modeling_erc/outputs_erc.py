"""What the models return."""

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class ErcModelOutput(ModelOutput):
    """What [`ErcModel`] returns.

    Args:
        last_hidden_state: `(batch, utterances, hidden)`, the joint feature after context; zero in padded slots.
        modality_states: `(batch, utterances, modalities, hidden)`, each modality's own; zero where it is absent.
        modality_mask: boolean `(batch, utterances, modalities)`, what took part (after modality dropout).
    """

    last_hidden_state: Tensor | None = None
    modality_states: Tensor | None = None
    modality_mask: Tensor | None = None


@dataclass
class ErcClassifierOutput(ModelOutput):
    """What [`ErcForSequenceClassification`] returns.

    Args:
        loss: a scalar, if labels were given.
        logits: `(batch, utterances, classes)`, mean of the joint head's and the present modalities' heads.
        modality_logits: `(batch, utterances, modalities, classes)`, each modality's own head.
        modality_mask: boolean `(batch, utterances, modalities)`.
        embeddings: `(batch, utterances, contrastive_size)`, unit norm, if there is a contrastive loss.
        prototypes: `(classes, contrastive_size)`, unit norm, likewise.
        last_hidden_state: `(batch, utterances, hidden)`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    modality_logits: Tensor | None = None
    modality_mask: Tensor | None = None
    embeddings: Tensor | None = None
    prototypes: Tensor | None = None
    last_hidden_state: Tensor | None = None
