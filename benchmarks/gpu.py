"""`gpu`: end-to-end training of RoBERTa-base and AST encoders with random weights on a GPU."""

import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import ASTConfig, RobertaConfig

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.losses_erc import ErcLoss

from .table import BENCHMARKS, Setting, Table

# Dense bf16 peaks from the data sheets (TFLOP/s), by a part of the device name.
PEAKS = {"H100": 989.0, "H200": 989.0, "A100": 312.0, "L40S": 362.0, "L4": 121.0, "A10": 125.0, "4090": 165.0}
CLASSES = 6
# Sizes of `--quick`.
_SMALL: Any = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


@BENCHMARKS.register("gpu")
def gpu(setting: Setting) -> list[Table]:
    """Measures training steps in bf16 with and without compilation, each in a process of its own."""
    title = "RoBERTa-base-size text and AST-size audio, training end to end, bf16"
    if not torch.cuda.is_available() and not setting.quick:
        return [Table(title, ["", "figure"], [["no GPU", "not measured"]])]
    ways = {"off": False} if setting.quick else {"off": False, "on": True}
    rows = [[name, *setting.run(_steps, compiled, setting.quick)] for name, compiled in ways.items()]
    columns = ["torch.compile", "tokens / s", "utterances / s", "share of the matrix peak", "peak memory (MB)"]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    notes = ["Tokens are those of both encoders; the share counts the operations of all matrix products."]
    return [Table(f"{title}, {device}", columns, rows, notes)]


def _steps(compiled: bool, quick: bool) -> list[float | None]:
    """Returns tokens per second, utterances per second, the share of the device's peak, and MB."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    text, audio = RobertaConfig(), ASTConfig()
    utterances, length, steps = 64, 48, 20
    if quick:
        text = RobertaConfig(**_SMALL, vocab_size=100)
        audio = ASTConfig(**_SMALL, max_length=64, num_mel_bins=32)
        utterances, length, steps = 4, 8, 1
    config = ErcConfig(text_config=text, audio_config=audio, num_labels=CLASSES)
    model = ErcForSequenceClassification(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    loss = ErcLoss(config)
    words = torch.randint(5, text.vocab_size, (utterances, length), device=device)
    batch = {
        "utterance_mask": torch.ones(2, utterances // 2, dtype=torch.bool, device=device),
        "input_ids": words,
        "attention_mask": torch.ones_like(words),
        "text_token_mask": torch.ones_like(words),
        "audio_values": torch.randn(utterances, audio.max_length, audio.num_mel_bins, device=device),
    }
    labels = torch.randint(CLASSES, (2, utterances // 2), device=device)

    def step(run: Any) -> None:
        with torch.autocast(device, dtype=torch.bfloat16):
            output = run(**batch)
        loss(output, labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    with FlopCounterMode(display=False) as counter:
        step(model)
    run = torch.compile(model) if compiled else model
    for _ in range(1 if quick else 5):
        step(run)
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    for _ in range(steps):
        step(run)
    if device == "cuda":
        torch.cuda.synchronize()
    rate = steps / (time.perf_counter() - started)
    patches = model.erc_model.encoder("audio").backbone.embeddings.position_embeddings.shape[1]
    speeds = [rate * utterances * (length + patches), rate * utterances]
    if device == "cpu":
        return [*speeds, None, None]
    peak = next((peak for part, peak in PEAKS.items() if part in torch.cuda.get_device_name()), None)
    share = None if peak is None else rate * counter.get_total_flops() / (peak * 1e12)
    return [*speeds, share, torch.cuda.max_memory_allocated() / 2**20]
