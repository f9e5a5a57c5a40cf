"""Loads a checkpoint as a pipeline, for the commands and the demo page."""

import torch
from huggingface_hub.errors import HFValidationError

from .modeling_erc import ErcForSequenceClassification
from .pipeline_erc import EmotionRecognitionPipeline
from .processing_erc import ErcProcessor


def load_checkpoint(checkpoint: str) -> tuple[ErcForSequenceClassification, ErcProcessor]:
    """Returns the model, in eval mode, and its processor; no code that the checkpoint brings is run.

    Args:
        checkpoint: folder or Hub id.

    Raises:
        FileNotFoundError: there is no such checkpoint.
    """
    try:
        processor = ErcProcessor.from_pretrained(checkpoint)
        return ErcForSequenceClassification.from_pretrained(checkpoint).eval(), processor
    except (OSError, HFValidationError) as error:
        reason = " ".join(str(error).split())
        raise FileNotFoundError(
            f"{checkpoint}: neither a folder that train_hf.py wrote nor a reachable Hub id: {reason}"
        ) from error


def load_pipeline(checkpoint: str, device: str | None = None) -> EmotionRecognitionPipeline:
    """Loads a checkpoint with the code of this package; code in the checkpoint is not executed.

    Args:
        checkpoint: folder or Hub id.
        device: device such as `cpu` or `cuda:0`; default: the first accelerator.

    Raises:
        FileNotFoundError: the checkpoint does not exist.
    """
    model, processor = load_checkpoint(checkpoint)
    return EmotionRecognitionPipeline(
        model=model, processor=processor, device=None if device is None else torch.device(device)
    )
