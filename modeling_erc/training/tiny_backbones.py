"""Small untrained backbones: `tiny` for each modality, and `tiny_resnet` for single images of faces."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import (
    BertConfig,
    ConvNextConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    ResNetConfig,
    ViTImageProcessorPil,
    WhisperConfig,
    WhisperFeatureExtractor,
)

from ..registry_erc import Registry

FreshBackbone = Callable[[Iterable[str]], tuple[PreTrainedConfig, Any]]

# The backbones named `tiny`, by modality: functions from the training texts to a config and a (sub-)processor.
FRESH: Registry[FreshBackbone] = Registry("modality")

VOCABULARY = 2000
# The usual 0.02 is made for widths near 768; a narrow network would start almost at zero.
_SPREAD = 0.1
_WIDTH = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}


@FRESH.register("text")
def tiny_bert(texts: Iterable[str]) -> tuple[PreTrainedConfig, PreTrainedTokenizerFast]:
    """Makes two layers of BERT and a WordPiece vocabulary of the letters and the most frequent words of `texts`.

    The trainers of `tokenizers` are not used, since they number the pieces differently in every process: a resumed run
    would read its weights with another vocabulary.
    """
    normalizer, pre_tokenizer = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    counts = Counter(
        word for text in texts for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(text))
    )
    letters = sorted(set("".join(counts)))
    words = sorted(counts, key=lambda word: (-counts[word], word))
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters), *words]
    vocabulary = {piece: number for number, piece in enumerate(list(dict.fromkeys(pieces))[:VOCABULARY])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    return BertConfig(vocab_size=len(fast), initializer_range=_SPREAD, **_WIDTH), fast


@FRESH.register("audio")
def tiny_whisper(texts: Iterable[str]) -> tuple[PreTrainedConfig, WhisperFeatureExtractor]:
    """Makes two layers of Whisper's encoder on 80 log-mel bands of 16 kHz audio."""
    config = WhisperConfig(
        d_model=_WIDTH["hidden_size"],
        encoder_layers=_WIDTH["num_hidden_layers"],
        encoder_attention_heads=_WIDTH["num_attention_heads"],
        encoder_ffn_dim=_WIDTH["intermediate_size"],
        init_std=_SPREAD,
        # The decoder is not used.
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
    """Makes three stages of ConvNeXt on images of 64 x 64 pixels; a ViT would need far more images to learn."""
    widths = [16, 32, 64]
    config = ConvNextConfig(num_stages=3, hidden_sizes=widths, depths=[1, 1, 2])
    config.update({"layer_scale_init_value": 1.0, "initializer_range": _SPREAD})
    size = {"height": 64, "width": 64}
    return config, ViTImageProcessorPil(size=size)


def tiny_resnet(texts: Iterable[str]) -> tuple[PreTrainedConfig, Any]:
    """Makes three stages of a ResNet on images of 48 x 48 pixels, which learns from a few hundred still images.

    48 x 48 is the size of the images in common corpora of faces (CK+48, FER2013).
    """
    config = ResNetConfig(embedding_size=16, hidden_sizes=[16, 32, 64], depths=[1, 1, 1], layer_type="basic")
    return config, ViTImageProcessorPil(size={"height": 48, "width": 48})


def fresh_backbone(modality: str, name: str) -> FreshBackbone | None:
    """Returns the function that makes an untrained backbone, None if the name is that of a pretrained one.

    Example:
        >>> fresh_backbone("vision", "tiny_resnet").__name__
        'tiny_resnet'
        >>> fresh_backbone("text", "roberta-base") is None
        True
    """
    if name == "tiny_resnet" and modality == "vision":
        return tiny_resnet
    return FRESH[modality] if name == "tiny" else None
