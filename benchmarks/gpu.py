"""`gpu`: end-to-end training of RoBERTa-base and AST encoders with random weights on a GPU."""

import time
from typing import Any

import torch
from torch import Tensor
from transformers import ASTConfig, RobertaConfig

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.losses_erc import ErcLoss

from .corpus import EMOTIONS
from .table import BENCHMARKS, Setting, Table

# Dense bf16 peaks from the data sheets (TFLOP/s), by a part of the device name.
PEAKS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "L40S": 362.0, "L4": 121.0, "A10": 125.0, "4090": 165.0}
# Sizes of `--quick`.
_SMALL: Any = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


@BENCHMARKS.register("gpu")
def gpu(setting: Setting) -> list[Table]:
    """Measures training steps in bf16 with and without compilation, each in a process of its own."""
    title = "RoBERTa-base-size text and AST-size audio, training end to end, bf16"
    if not torch.cuda.is_available() and not setting.quick:
        return [Table(title, ["", "figure"], [["no GPU", "not measured"]])]
    rows = []
    for compiled in (False,) if setting.quick else (False, True):
        tokens, utterances, share, memory = setting.run(_steps, compiled, setting.quick)
        rows.append(["on" if compiled else "off", tokens, utterances, share, memory])
    columns = ["torch.compile", "tokens / s", "utterances / s", "share of the matrix peak", "peak memory (MB)"]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    notes = [
        "Tokens are those of both encoders; 6 operations per parameter and token, and those of attention, are counted.",
        "The compiler breaks the graph where the utterances are counted.",
    ]
    return [Table(f"{title}, {device}", columns, rows, notes)]


def _steps(compiled: bool, quick: bool) -> tuple[float, float, float | None, float | None]:
    """Returns tokens per second, utterances per second, the share of the device's peak, and MB."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    text, audio = RobertaConfig(), ASTConfig()
    utterances, length, steps = 64, 48, 20
    if quick:
        text = RobertaConfig(**_SMALL, vocab_size=100)
        audio = ASTConfig(**_SMALL, max_length=64, num_mel_bins=32)
        utterances, length, steps = 4, 8, 1
    config = ErcConfig(text_config=text, audio_config=audio, num_labels=len(EMOTIONS))
    model = ErcForSequenceClassification(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    loss = ErcLoss(config)
    batch, labels = _batch(text, audio, utterances, length, device)
    run = torch.compile(model) if compiled else model

    def step() -> None:
        with torch.autocast(device, dtype=torch.bfloat16):
            output = run(**batch)
        loss(output, labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(1 if quick else 5):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    took = (time.perf_counter() - started) / steps
    patches = model.erc_model.encoder("audio").backbone.embeddings.position_embeddings.shape[1]
    work = _work(model, "text", length) + _work(model, "audio", patches)
    tokens_per_second, utterances_per_second = utterances * (length + patches) / took, utterances / took
    if device == "cpu":
        return tokens_per_second, utterances_per_second, None, None
    peak = next((peak for part, peak in PEAKS.items() if part in torch.cuda.get_device_name()), None)
    share = None if peak is None else utterances_per_second * work / (peak * 1e12)
    return tokens_per_second, utterances_per_second, share, torch.cuda.max_memory_allocated() / 2**20


def _batch(
    text: RobertaConfig, audio: ASTConfig, utterances: int, length: int, device: str
) -> tuple[dict[str, Tensor], Tensor]:
    """Returns the inputs of two dialogues whose utterances have text and audio, and their labels."""
    words = torch.randint(5, text.vocab_size, (utterances, length))
    everywhere = torch.ones_like(words)
    mask = torch.ones(2, utterances // 2, dtype=torch.bool)
    batch = {
        "utterance_mask": mask,
        "input_ids": words,
        "attention_mask": everywhere,
        "text_token_mask": everywhere,
        "audio_values": torch.randn(utterances, audio.max_length, audio.num_mel_bins),
    }
    labels = torch.randint(len(EMOTIONS), mask.shape)
    return {name: value.to(device) for name, value in batch.items()}, labels.to(device)


def _work(model: ErcForSequenceClassification, modality: str, tokens: int) -> float:
    """Returns the floating-point operations of a training step on one utterance (Kaplan et al. 2020)."""
    backbone = model.erc_model.encoder(modality).backbone
    weights = sum(p.numel() for name, p in backbone.named_parameters() if "embeddings" not in name)
    attention = 12 * backbone.config.num_hidden_layers * backbone.config.hidden_size * tokens
    return float(tokens * (6 * weights + attention))
