"""`padding`: share of the encoders' input that is real tokens rather than padding."""

import tempfile
from pathlib import Path
from typing import Any

import torch

from modeling_erc import ErcForSequenceClassification
from modeling_erc.configs import RECIPES

from .corpus import raw_corpus
from .table import BENCHMARKS, Setting, Table
from .training import built, model_inputs

MASKS = {"text": "attention_mask", "audio": "audio_attention_mask"}


@BENCHMARKS.register("padding")
def padding(setting: Setting) -> list[Table]:
    """Counts the tokens given to the backbones in one batch of dialogues of uneven length."""
    with tempfile.TemporaryDirectory() as folder:
        rows = raw_corpus(Path(folder), [2, 4] if setting.quick else [4, 6, 8, 12, 16, 24, 32, 48], (0.5, 8.0))
        options = ["--modalities", "text", "audio", "--text_encoder", "tiny", "--audio_encoder", "tiny"]
        model, collate, _ = built(RECIPES / "demo.yaml", options, rows, folder)
        batch = collate(list(rows))
        computed = _computed(model, batch)
    slots = batch["utterance_mask"].numel()
    table = []
    for modality, unit in (("text", "tokens"), ("audio", "log-mel frames")):
        mask = batch[MASKS[modality]]
        real = int(mask.sum())
        for way, places in (
            ("dialogues padded", slots * mask.shape[1]),
            ("utterances packed", mask.numel()),
            ("ours: packed, with length bucketing", computed[modality]),
        ):
            table.append([modality, way, unit, real, places, real / places])
    utterances = int(batch["utterance_mask"].sum())
    title = f"Encoder work on real input, a batch of {len(rows)} dialogues, {utterances} utterances"
    return [Table(title, ["encoder", "way", "unit", "real", "computed", "share that is real"], table)]


def _computed(model: ErcForSequenceClassification, batch: dict[str, Any]) -> dict[str, int]:
    """Returns the number of tokens, padding included, that each backbone receives in one forward pass."""
    received = dict.fromkeys(MASKS, 0)
    for modality in MASKS:
        encoder = model.erc_model.encoder(modality)

        def encode(modality: str = modality, original: Any = encoder.encode, **inputs: torch.Tensor) -> Any:
            received[modality] += inputs[MASKS[modality]].numel()
            return original(**inputs)

        encoder.encode = encode  # type: ignore[method-assign, assignment]
    with torch.inference_mode():
        model.eval()(**model_inputs(batch))
    return received
