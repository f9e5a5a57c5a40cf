"""Training that goes out from a finished checkpoint: of another corpus, or of the same one with frozen backbones."""

from collections.abc import Mapping
from os import PathLike

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.utils import logging

from ..modeling_erc import ErcForSequenceClassification

logger = logging.get_logger(__name__)

# A row a class: of use only where the classes are the same.
_HEADS = ("classifier.", "modality_classifiers.", "contrastive_head.prototypes")


@torch.no_grad()
def start_from(model: ErcForSequenceClassification, source: str | PathLike) -> None:
    """Gives a model the weights of a checkpoint, wherever both have one of the same name and shape.

    The heads are taken only if the classes are the same, in the same order. What standardises features, and what a
    contrastive memory holds, stay the model's own: they belong to its corpus.

    Training the heads above frozen backbones first, and then everything from there, keeps more of what the backbones
    know about voices that the corpus lacks (Kumar et al. 2022, arXiv 2202.10054).

    Args:
        model: as its recipe makes it; changed in place.
        source: Hub id or folder of an `ErcForSequenceClassification`.

    Raises:
        ValueError: the checkpoint cannot be read, or is of another `hidden_size`, so that next to nothing would fit.
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
    theirs = dict(other.named_parameters())
    same_classes = other.config.id2label == model.config.id2label
    taken = 0
    for name, weight in model.named_parameters():
        # Low-rank adapters wrap the layer that they adapt.
        found = theirs.get(name.replace(".base_layer.", "."))
        if found is not None and found.shape == weight.shape and (same_classes or not name.startswith(_HEADS)):
            weight.copy_(found)
            taken += 1
    total = sum(1 for _ in model.parameters())
    logger.warning(f"{taken} of {total} weights are those of {source}")


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all weights that training will change, by name, in the computer's memory."""
    return {name: weight.detach().cpu().clone() for name, weight in model.named_parameters() if weight.requires_grad}


@torch.no_grad()
def interpolate(model: nn.Module, first: Mapping[str, Tensor], share: float) -> None:
    """Puts weights on the line from the first ones to the trained ones (WiSE-FT).

    Fine-tuning gains on what it sees and loses on what it does not, such as other voices; half-way keeps most of both
    (Wortsman et al. 2022, arXiv 2109.01903).

    Args:
        model: trained; changed in place.
        first: what [`trained_weights`] gave before training.
        share: 0 is the first weights, 1 the trained ones.
    """
    weights = dict(model.named_parameters())
    for name, start in first.items():
        weight, start = weights[name], start.to(weights[name].device)
        if isinstance(weight, DTensor):  # under FSDP each process has its part of it
            start = distribute_tensor(start, weight.device_mesh, weight.placements)
        weight.copy_(torch.lerp(start, weight, share))
