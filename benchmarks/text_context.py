"""`text_context`: forward and backward pass of a text backbone over dialogues, on one thread."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor
from transformers import BertConfig

from modeling_erc import ErcConfig
from modeling_erc.encoders_erc import TextEncoder
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.registry_erc import MODALITIES
from modeling_erc.training.tiny_backbones import FRESH

from .corpus import WORDS
from .measure import fastest
from .table import BENCHMARKS, Setting, Table

# The size of MiniLM-L6.
_WIDTH = {"hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536, "num_hidden_layers": 6}
_SMALL = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "num_hidden_layers": 1}
BATCH = 4


@BENCHMARKS.register("text_context")
def text_context(setting: Setting) -> list[Table]:
    """Measures whole dialogues, utterances with four earlier ones, and the backbone alone on unpadded dialogues."""
    seconds = setting.run(_seconds, setting.quick)
    bare = seconds["backbone alone, dialogues unpadded"]
    rows = [[name, took, took / bare] for name, took in seconds.items()]
    title = "Forward and backward pass of a text backbone of 6 layers and width 384, one thread"
    return [Table(title, ["text_context", "CPU s", "x backbone alone"], rows)]


def _seconds(quick: bool) -> dict[str, float]:
    """Returns CPU seconds by the name of what is encoded; the lengths of the dialogues are like those of MELD."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    noise = np.random.default_rng(0)
    lengths = [2, 5] if quick else noise.integers(3, 18, 8).tolist()
    dialogues = [
        [{"speaker": "AB"[u % 2], "text": " ".join(noise.choice(WORDS, noise.integers(3, 18)))} for u in range(length)]
        for length in lengths
    ]
    _, tokenizer = FRESH["text"](WORDS)
    config = ErcConfig(text_config=BertConfig(vocab_size=len(tokenizer), **(_SMALL if quick else _WIDTH)))
    encoder = TextEncoder(config, "text").train()
    processors = {
        "dialogue": ErcProcessor(tokenizer, modalities=["text"], text_context="dialogue", max_text_length=512),
        "neighbours, text_past 4": ErcProcessor(tokenizer, modalities=["text"], text_past=4),
    }
    batches = {
        name: [_text(processor(dialogues[n : n + BATCH])) for n in range(0, len(dialogues), BATCH)]
        for name, processor in processors.items()
    }

    def encode(name: str) -> None:
        for inputs in batches[name]:
            tokens, mask = encoder(**inputs)
            (tokens * mask[..., None]).sum().backward()

    def alone() -> None:
        for inputs in batches["dialogue"]:
            for ids, own in zip(inputs["input_ids"], inputs["attention_mask"].bool(), strict=True):
                encoder.backbone(input_ids=ids[None, own]).last_hidden_state.sum().backward()

    calls: dict[str, Callable[[], None]] = {name: partial(encode, name) for name in batches}
    calls["backbone alone, dialogues unpadded"] = alone
    return {name: fastest(call, 1 if quick else 3) for name, call in calls.items()}


def _text(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: inputs[name] for name in MODALITIES["text"].inputs if name in inputs}
