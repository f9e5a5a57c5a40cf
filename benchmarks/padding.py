"""`padding`: how much of what the encoders compute is real tokens, not padding."""

import tempfile
from pathlib import Path
from typing import Any

import torch

from modeling_erc import ErcForSequenceClassification
from modeling_erc.configs import RECIPES
from modeling_erc.training import ErcArgumentParser, ErcCollator, build

from .corpus import EMOTIONS, raw_corpus
from .table import BENCHMARKS, Setting, Table


@BENCHMARKS.register("padding")
def padding(setting: Setting) -> list[Table]:
    """Counted in the calls of the backbones, on one batch of dialogues of uneven length."""
    with tempfile.TemporaryDirectory() as folder:
        rows = raw_corpus(Path(folder), [2, 4] if setting.quick else [4, 6, 8, 12, 16, 24, 32, 48], (0.5, 8.0))
        words = ["--modalities", "text", "audio", "--text_encoder", "tiny", "--audio_encoder", "tiny"]
        config = RECIPES / "demo.yaml"
        model_args, data_args, _, _ = ErcArgumentParser().parse(
            [str(config), *words, "--output_dir", folder], default_config=config
        )
        model, processor = build(model_args, data_args, {"train": rows}, EMOTIONS)
        batch = ErcCollator(processor, EMOTIONS, model.config.label2id)(list(rows))
        computed = _computed(model, batch)
    slots = batch["utterance_mask"].numel()
    table = []
    for modality, mask in (("text", batch["attention_mask"]), ("audio", batch["audio_attention_mask"])):
        real, unit = int(mask.sum()), "tokens" if modality == "text" else "log-mel frames"
        for way, places in (
            ("dialogues padded", slots * mask.shape[1]),
            ("utterances packed", mask.numel()),
            ("ours: packed, alike lengths together", computed[modality]),
        ):
            table.append([modality, way, unit, real, places, real / places])
    said = int(batch["utterance_mask"].sum())
    title = f"Encoder work on real input, a batch of {len(rows)} dialogues, {said} utterances"
    return [Table(title, ["encoder", "way", "unit", "real", "computed", "share that is real"], table)]


def _computed(model: ErcForSequenceClassification, batch: dict[str, Any]) -> dict[str, int]:
    """Places that the backbones are given, padding included, in one forward pass."""
    found = {"text": 0, "audio": 0}
    inputs = {"text": "attention_mask", "audio": "audio_attention_mask"}
    for modality in found:
        encoder = model.erc_model.encoder(modality)

        def encode(modality: str = modality, whole: Any = encoder.encode, **given: torch.Tensor) -> Any:
            found[modality] += given[inputs[modality]].numel()
            return whole(**given)

        encoder.encode = encode  # type: ignore[method-assign, assignment]
    with torch.inference_mode():
        model.eval()(**{name: value for name, value in batch.items() if name not in ("labels", "media_problems")})
    return found
