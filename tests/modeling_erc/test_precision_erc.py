"""Weights are float32 unless a caller asks for less, and a model in half precision takes the processor's output."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from modeling_erc import EmotionRecognitionPipeline, ErcConfig, ErcForSequenceClassification
from modeling_erc.processing_erc import ErcProcessor

MakeConfig = Callable[..., ErcConfig]
Dialogues = list[list[dict[str, Any]]]


def dtypes_of(model: torch.nn.Module) -> set[torch.dtype]:
    return {weight.dtype for weight in model.parameters()}


def test_a_backbone_stored_in_half_precision_is_trained_and_saved_in_float32(
    raw_config: MakeConfig, tmp_path: Path
) -> None:
    config = raw_config("text", "audio")
    AutoModel.from_config(config.text_config, dtype=torch.bfloat16).save_pretrained(tmp_path / "bert")
    stored = AutoModel.from_pretrained(tmp_path / "bert")
    assert stored.dtype == torch.bfloat16
    config.text_config = stored.config
    whisper = config.backbone_config("audio")
    assert whisper is not None
    whisper.dtype = torch.float16
    model = ErcForSequenceClassification(config)
    model.load_backbones({"text": str(tmp_path / "bert")})
    assert dtypes_of(model) == {torch.float32}
    own = model.erc.encoder("text").backbone.embeddings.word_embeddings.weight
    torch.testing.assert_close(own, stored.embeddings.word_embeddings.weight.float())
    model.save_pretrained(tmp_path / "run")
    assert {value.dtype for value in load_file(tmp_path / "run" / "model.safetensors").values()} == {torch.float32}
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    named = [written[name].get("dtype") for name in ("text_config", "audio_config")]
    assert [written["dtype"], *named] == ["float32"] * 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_checkpoint_loaded_in_half_precision_takes_the_processors_output(
    dtype: torch.dtype, raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    full = ErcForSequenceClassification(raw_config(context_causal=True, text_layer="mix")).eval()
    full.save_pretrained(tmp_path)
    half = ErcForSequenceClassification.from_pretrained(tmp_path, dtype=dtype).eval()
    assert dtypes_of(half) == {dtype}
    with torch.inference_mode():
        logits, exact = half(**processor(dialogues[0])).logits, full(**processor(dialogues[0])).logits
    assert logits.dtype == dtype
    torch.testing.assert_close(logits.float(), exact, atol=0.1, rtol=0)
    stream = half.stream(processor)
    spoken = torch.cat([stream.add(utterance).logits for utterance in dialogues[0]], dim=1)
    torch.testing.assert_close(spoken.float(), exact, atol=0.1, rtol=0)
    pipe = EmotionRecognitionPipeline(model=half, processor=processor, device="cpu")
    scores = [list(result["scores"].values()) for result in pipe(dialogues[0])]
    np.testing.assert_allclose(scores, exact[0].softmax(-1).numpy(), atol=0.05)


@pytest.mark.parametrize("cast", [True, False], ids=["cast", "loaded"])
def test_features_are_standardised_before_they_lose_precision(
    cast: bool, feature_config: MakeConfig, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = ErcForSequenceClassification(feature_config("text")).eval()
    # Beyond the range of float16, and with steps finer than those of bfloat16.
    model.set_feature_statistics("text", torch.full((6,), 100_000.3), torch.full((6,), 0.5))
    features = {"speaker": "Ann", "text_features": 100_000.3 + torch.linspace(-1, 1, 6)}
    pipe = EmotionRecognitionPipeline(model=model, processor=ErcProcessor(modalities=["text"]), device="cpu")
    exact = list(pipe([features])[0]["scores"].values())
    for dtype in (torch.bfloat16, torch.float16):
        model.save_pretrained(tmp_path)
        half = ErcForSequenceClassification.from_pretrained(tmp_path, dtype=torch.float32 if cast else dtype)
        pipe.model = (half.to(dtype) if cast else half).eval()
        assert dtypes_of(half) == {dtype}
        assert list(pipe([features])[0]["scores"].values()) == pytest.approx(exact, abs=0.03)
