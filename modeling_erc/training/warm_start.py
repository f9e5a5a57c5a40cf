"""Training that starts from a trained checkpoint."""

from os import PathLike

import torch
from transformers.utils import logging

from ..modeling_erc import ErcForSequenceClassification

logger = logging.get_logger(__name__)

# One row for each class: useful only where the classes are the same.
_HEADS = ("classifier.", "modality_classifiers.", "contrastive_head.prototypes")


@torch.no_grad()
def start_from(model: ErcForSequenceClassification, source: str | PathLike) -> None:
    """Copies the weights of a checkpoint into a model, wherever name and shape match.

    The heads are copied only if the classes are the same, in the same order. Feature statistics and the contrastive
    memory are not copied, since they belong to the corpus.

    Training the heads above frozen backbones first, and all weights after that, preserves more of the pretrained
    features than fine-tuning at once (Kumar et al. 2022, arXiv 2202.10054).

    Args:
        model: changed in place.
        source: Hub id or folder of an `ErcForSequenceClassification`.

    Raises:
        ValueError: the checkpoint cannot be read, or has another `hidden_size`, so that hardly any weight would match.
    """
    try:
        other = ErcForSequenceClassification.from_pretrained(source)
    except OSError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"--start_from {source}: no checkpoint of this package there: {reason}") from error
    width, own_width = other.config.hidden_size, model.config.hidden_size
    if width != own_width:
        raise ValueError(
            f"--start_from {source}: its hidden_size is {width}, the recipe's {own_width}: set it to {width}"
        )
    other.merge_lora()  # adapters start from zero, on whatever the checkpoint has learned
    trained = dict(other.named_parameters())
    same_classes = all(
        getattr(other.config, name) == getattr(model.config, name) for name in ("id2label", "target_names")
    )
    copied = 0
    for name, weight in model.named_parameters():
        # Low-rank adapters wrap the layer that they adapt.
        value = trained.get(name.replace(".base_layer.", "."))
        if value is not None and value.shape == weight.shape and (same_classes or not name.startswith(_HEADS)):
            weight.copy_(value)
            copied += 1
    total = sum(1 for _ in model.parameters())
    logger.warning(f"{copied} of {total} weights are those of {source}")
