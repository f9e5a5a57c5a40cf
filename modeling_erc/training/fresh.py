"""Small untrained backbones, for the demo corpus and for tests: the word `tiny` in place of a model's name."""

from collections.abc import Callable, Iterable
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    ConvNextConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    ViTImageProcessorPil,
    WhisperConfig,
    WhisperFeatureExtractor,
)

from ..registry_erc import Registry

FreshBackbone = Callable[[Iterable[str]], tuple[PreTrainedConfig, Any]]

# A modality's fresh backbone: the training texts in, its config and its (sub-)processor out.
FRESH: Registry[FreshBackbone] = Registry("modality")

_WIDTH = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}


@FRESH.register("text")
def tiny_bert(texts: Iterable[str]) -> tuple[PreTrainedConfig, PreTrainedTokenizerFast]:
    """Two layers of BERT and a WordPiece vocabulary learned from `texts`."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=2000, special_tokens=special, show_progress=False)
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    return BertConfig(vocab_size=len(fast), max_position_embeddings=512, **_WIDTH), fast


@FRESH.register("audio")
def tiny_whisper(texts: Iterable[str]) -> tuple[PreTrainedConfig, WhisperFeatureExtractor]:
    """Two layers of Whisper's encoder on 80 log-mel bands of 16 kHz audio."""
    config = WhisperConfig(
        d_model=_WIDTH["hidden_size"],
        encoder_layers=_WIDTH["num_hidden_layers"],
        encoder_attention_heads=_WIDTH["num_attention_heads"],
        encoder_ffn_dim=_WIDTH["intermediate_size"],
        # There is no decoder, nor its vocabulary.
        decoder_layers=0,
        decoder_attention_heads=1,
        decoder_ffn_dim=1,
        max_target_positions=1,
        vocab_size=4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    return config, WhisperFeatureExtractor(feature_size=config.num_mel_bins)


@FRESH.register("vision")
def tiny_convnext(texts: Iterable[str]) -> tuple[PreTrainedConfig, Any]:
    """Three stages of ConvNeXt on images of 64 x 64; convolutions learn from few images what a ViT needs many for."""
    config = ConvNextConfig(patch_size=4, num_stages=3, hidden_sizes=[16, 32, 64], depths=[1, 1, 2])
    size = {"height": 64, "width": 64}
    return config, ViTImageProcessorPil(size=size)
