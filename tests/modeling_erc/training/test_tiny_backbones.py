from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoModel, AutoTokenizer

from modeling_erc.encoders_erc import ENCODERS
from modeling_erc.training.tiny_backbones import FRESH, FreshBackbone, tiny_resnet

TEXTS = ["I love this soup!", "Who ruined the soup?"]


def parameters(config: Any) -> int:
    model = AutoModel.from_config(config)
    if config.is_encoder_decoder:
        model = model.get_encoder()
    return sum(p.numel() for p in model.parameters())


def test_every_encoder_has_a_tiny_backbone() -> None:
    assert set(FRESH) == set(ENCODERS)
    with pytest.raises(ValueError, match=r"unknown modality 'smell'.*audio, text, vision"):
        FRESH["smell"]


@pytest.mark.parametrize("make", [*FRESH.values(), tiny_resnet])
def test_it_is_small(make: FreshBackbone) -> None:
    config, _ = make(TEXTS)
    assert parameters(config) < 500_000


def test_words_of_the_training_texts_are_in_the_vocabulary(tmp_path: Path) -> None:
    config, tokenizer = FRESH["text"](iter(TEXTS))
    assert config.vocab_size == len(tokenizer)
    known = tokenizer("soup LOVE", add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in known
    assert tokenizer.decode(known) == "soup love"
    assert tokenizer("\u4e2d", add_special_tokens=False)["input_ids"] == [tokenizer.unk_token_id]
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path)("soup?")["input_ids"] == tokenizer("soup?")["input_ids"]


def test_the_same_texts_give_the_same_vocabulary() -> None:
    # Resumed runs and distributed processes make their own vocabulary, which must have the same order.
    texts = [f"word{i % 37} and letter{i % 11}, {'xyz'[i % 3]}{i}" for i in range(300)]
    first, second = (FRESH["text"](texts)[1].get_vocab() for _ in range(2))
    assert first == second
    assert FRESH["text"](reversed(texts))[1].get_vocab() == first


def test_its_pieces_are_letters_then_words_by_frequency() -> None:
    tokenizer = FRESH["text"](["Zoo, bee bee", "zoo owl zoo"])[1]
    pieces = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    letters = [",", *"belowz"]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    assert pieces == [*special, *letters, *(f"##{letter}" for letter in letters), "zoo", "bee", "owl"]


def test_the_most_frequent_words_are_single_pieces() -> None:
    texts = [f"w{i}q" for i in range(5000)] + ["zoup zoup"]
    config, tokenizer = FRESH["text"](texts)
    assert config.vocab_size == len(tokenizer) == 2000
    assert tokenizer.tokenize("zoup") == ["zoup"]
    assert tokenizer.tokenize("w4999q") == ["w", "##4", "##9", "##9", "##9", "##q"]


def test_the_speech_backbone_reads_the_output_of_its_extractor(tmp_path: Path) -> None:
    config, extractor = FRESH["audio"](TEXTS)
    extractor.save_pretrained(tmp_path)
    wave = np.random.default_rng(0).standard_normal(extractor.sampling_rate).astype(np.float32)
    loaded = AutoFeatureExtractor.from_pretrained(tmp_path)
    mel = loaded(wave, sampling_rate=loaded.sampling_rate, return_tensors="pt")["input_features"]
    assert extractor.sampling_rate == 16000
    states = AutoModel.from_config(config).get_encoder()(mel).last_hidden_state
    assert states.shape[-1] == config.d_model
    assert states.isfinite().all()


def test_the_image_backbone_reads_the_output_of_its_processor(tmp_path: Path) -> None:
    config, image_processor = FRESH["vision"](TEXTS)
    image_processor.save_pretrained(tmp_path)
    picture = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    pixels = AutoImageProcessor.from_pretrained(tmp_path)([picture], return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, 64, 64)
    states = AutoModel.from_config(config)(pixels).last_hidden_state
    assert states.shape[:2] == torch.Size([1, config.hidden_sizes[-1]])
