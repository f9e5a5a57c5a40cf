import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    BertForMaskedLM,
    CLIPConfig,
    CLIPModel,
    HubertForCTC,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    ViTImageProcessor,
    ViTModel,
    Wav2Vec2FeatureExtractor,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from modeling_erc import ErcConfig, ErcForSequenceClassification, encoders_erc
from modeling_erc.encoders_erc import ENCODERS, AudioEncoder, BackboneEncoder, TextEncoder, pool_tokens, unimodal_config
from modeling_erc.feature_extraction_erc import LogMelImageFeatureExtractor
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.registry_erc import DIALOGUE_INPUTS

MakeConfig = Callable[..., ErcConfig]

WIDTH = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
WORDS = {**WIDTH, "vocab_size": 60, "max_position_embeddings": 64, "pad_token_id": 0}
WAVES = {
    **WIDTH,
    "conv_dim": (8, 8),
    "conv_kernel": (40, 16),
    "conv_stride": (20, 16),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "feat_extract_norm": "layer",
    "mask_time_prob": 0.0,
    "vocab_size": 8,
}
PICTURES = {**WIDTH, "image_size": 16, "patch_size": 8}
WHISPER = {
    "model_type": "whisper",
    "d_model": 32,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 32,
    "num_mel_bins": 16,
    "vocab_size": 8,
    **dict.fromkeys(["pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"], 1),
}
# Modality and config of each kind of backbone.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("text", {"model_type": "bert", **WORDS}),
    "roberta": ("text", {"model_type": "roberta", **WORDS}),
    "mpnet": ("text", {"model_type": "mpnet", **WORDS}),
    "deberta-v2": (
        "text",
        {"model_type": "deberta-v2", **WORDS, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    ),
    "distilbert": ("text", {"model_type": "distilbert", **WORDS, "dim": 32, "hidden_dim": 48}),
    "whisper": ("audio", WHISPER),
    "wav2vec2": ("audio", {"model_type": "wav2vec2", **WAVES, "do_stable_layer_norm": True}),
    "hubert": ("audio", {"model_type": "hubert", **WAVES}),
    "hubert with a norm over time": ("audio", {"model_type": "hubert", **WAVES, "feat_extract_norm": "group"}),
    "wavlm": ("audio", {"model_type": "wavlm", **WAVES}),
    "ast": ("audio", {"model_type": "audio-spectrogram-transformer", **WIDTH, "num_mel_bins": 16, "max_length": 64}),
    "vit over log-mel images": ("audio", {"model_type": "vit", **PICTURES}),
    "vit": ("vision", {"model_type": "vit", **PICTURES}),
    "clip": ("vision", {"model_type": "clip_vision_model", **PICTURES}),
    "dinov2": ("vision", {"model_type": "dinov2", **PICTURES}),
    "convnext": ("vision", {"model_type": "convnext", "hidden_sizes": [8, 8, 16, 32], "depths": [1] * 4}),
    "resnet": ("vision", {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 32], "depths": [1, 1]}),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
in_layers = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("convnext", "resnet")])


def config_for(kind: str, **settings: Any) -> ErcConfig:
    modality, backbone = KINDS[kind]
    small = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16, "contrastive_size": 8}
    return ErcConfig(**{f"{modality}_config": copy.deepcopy(backbone)}, **small, num_labels=3, **settings)


def encoder_for(kind: str, **settings: Any) -> BackboneEncoder:
    """With no parameter at its first value: biases at zero and norms at one hide what they do."""
    torch.manual_seed(0)
    encoder = ENCODERS[KINDS[kind][0]](config_for(kind, **settings), KINDS[kind][0]).eval()
    for parameter in encoder.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return encoder


@pytest.fixture
def utterances(kind: str, tokenizer: PreTrainedTokenizerFast) -> list[dict[str, Tensor]]:
    """Inputs of three utterances of different lengths, as the backbone's own front-end makes them: each, and all."""
    modality = KINDS[kind][0]
    pictures = 32 if kind in ("convnext", "resnet") else 16
    sub_processors: dict[str, Any] = {
        "text": tokenizer,
        "whisper": WhisperFeatureExtractor(feature_size=16),
        "ast": _ast_extractor(),
        "vit over log-mel images": LogMelImageFeatureExtractor(image_size=16, max_seconds=2.0),
        "audio": Wav2Vec2FeatureExtractor(),
        "vision": ViTImageProcessor(size={"height": pictures, "width": pictures}),
    }
    names = {"text": "tokenizer", "audio": "feature_extractor", "vision": "image_processor"}
    used = sub_processors.get(kind, sub_processors[modality])
    processor = ErcProcessor(**{names[modality]: used}, modalities=[modality], num_frames=2)
    noise = np.random.default_rng(0)
    said = [
        {
            "text": " ".join(f"w{number}" for number in noise.integers(0, 40, words)),
            "audio": (noise.uniform(-0.5, 0.5, round(1600 * words)), 16000),
            "video": noise.integers(0, 255, (words, 20, 24, 3)).astype(np.uint8),
        }
        for words in (7, 13, 8)
    ]
    batches = [processor([u]) for u in said] + [processor(said)]
    return [{name: value for name, value in batch.items() if name not in DIALOGUE_INPUTS} for batch in batches]


def _ast_extractor() -> Any:
    from transformers import ASTFeatureExtractor

    return ASTFeatureExtractor(num_mel_bins=16, max_length=64)


@every_kind
def test_an_utterance_gives_the_same_tokens_alone_and_beside_longer_ones(
    kind: str, utterances: list[dict[str, Tensor]]
) -> None:
    encoder = encoder_for(kind)
    tokens, mask = encoder(**utterances[-1])
    assert tokens.shape == (*mask.shape, 32) and mask.dtype == torch.bool
    for row, alone in enumerate(utterances[:-1]):
        own, own_mask = encoder(**alone)
        assert own_mask.all() and own_mask.shape[1] == mask[row].sum()
        assert torch.allclose(tokens[row][mask[row]], own[0], atol=1e-5)
    lengths = mask.sum(dim=1).tolist()
    fixed = {"ast", "vit over log-mel images"} | {k for k, (modality, _) in KINDS.items() if modality == "vision"}
    assert len(set(lengths)) == (1 if kind in fixed else 3)


@pytest.mark.parametrize("kind", [kind for kind, (modality, _) in KINDS.items() if modality != "vision"])
@pytest.mark.parametrize("layer", ["last", "mix"])
def test_reading_few_rows_at_a_time_changes_nothing(
    kind: str, layer: str, utterances: list[dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = encoder_for(kind, **{f"{KINDS[kind][0]}_layer": layer})
    tokens, mask = encoder(**utterances[-1])
    for size in (1, 2):
        monkeypatch.setattr(encoders_erc, "BUCKET_SIZE", size)
        grouped, grouped_mask = encoder(**utterances[-1])
        assert torch.equal(grouped_mask, mask)
        places = mask[..., None] if layer == "last" else mask[:, None, :, None]
        assert torch.allclose(grouped * places, tokens * places, atol=1e-5)


@in_layers
def test_a_layer_is_the_backbones_hidden_state_of_that_number(kind: str, utterances: list[dict[str, Tensor]]) -> None:
    modality, alone = KINDS[kind][0], utterances[0]
    encoder = encoder_for(kind)
    mixed, mask = encoder_for(kind, **{f"{modality}_layer": "mix"})(**alone)
    assert mixed.shape == (1, 3, mask.shape[1], 32)
    for layer in range(3):
        encoder.layer = str(layer)
        tokens, _ = encoder(**alone)
        assert torch.allclose(tokens, mixed[:, layer], atol=1e-6)
    states = torch.unique(mixed, dim=1)
    assert states.shape[1] == 3  # three different ones
    if kind != "whisper":  # see below
        values = next(iter(alone.values()))
        inputs = {encoder.backbone.main_input_name: values[0] if modality == "vision" else values}
        expected = encoder.backbone(**inputs, output_hidden_states=True).hidden_states
        tokens = [state.mean(dim=1) if modality == "vision" else state[0] for state in expected]
        assert torch.allclose(mixed[0], torch.stack(tokens), atol=1e-5)


@in_layers
@pytest.mark.parametrize("layer", ["3", "first"])
def test_a_layer_that_there_is_not_is_named_with_the_choices(
    kind: str, layer: str, utterances: list[dict[str, Tensor]]
) -> None:
    encoder = encoder_for(kind, **{f"{KINDS[kind][0]}_layer": layer})
    name = type(encoder.backbone).__name__
    with pytest.raises(ValueError, match=rf"layer '{layer}' of {name}: use 'last', 'mix' or 0\.\.2"):
        encoder(**utterances[0])


@pytest.mark.parametrize("layer", ["mix", "0", "2"])
def test_a_backbone_with_layers_of_different_shapes_gives_its_last(layer: str) -> None:
    pixels = torch.randn(1, 2, 3, 32, 32)
    tokens, _ = encoder_for("convnext")(pixel_values=pixels)
    assert tokens.shape == (1, 2, 32)
    with pytest.raises(ValueError, match="ConvNextModel has layers of different shapes: use layer 'last'"):
        encoder_for("convnext", vision_layer=layer)(pixel_values=pixels)


@pytest.mark.parametrize("kind", [kind for kind, (modality, _) in KINDS.items() if modality == "vision"])
def test_a_frame_is_one_token_whatever_the_other_frames(kind: str, utterances: list[dict[str, Tensor]]) -> None:
    encoder, pixels = encoder_for(kind), utterances[-1]["pixel_values"]
    tokens, _ = encoder(pixel_values=pixels)
    swapped, _ = encoder(pixel_values=pixels.flip(1))
    assert torch.allclose(swapped, tokens.flip(1), atol=1e-6)
    assert not torch.allclose(tokens[:, 0], tokens[:, 1], atol=1e-4)


@every_kind
@pytest.mark.parametrize("origin", ["fresh", "loaded"])
def test_a_frozen_backbone_stays_in_eval_and_gets_no_gradient(
    kind: str, origin: str, utterances: list[dict[str, Tensor]], tmp_path: Path
) -> None:
    modality = KINDS[kind][0]
    model = ErcForSequenceClassification(config_for(kind, frozen_modalities=[modality])).train()
    if origin == "loaded":
        model.save_pretrained(tmp_path)
        model = ErcForSequenceClassification.from_pretrained(tmp_path).train()
    backbone = model.erc.encoder(modality).backbone
    assert not any(module.training for module in backbone.modules()) and model.erc.fusion.training
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    model(utterance_mask=torch.ones(1, 3).bool(), labels=torch.tensor([[0, 1, 2]]), **utterances[-1]).loss.backward()
    assert all(p.grad is None and not p.requires_grad for p in backbone.parameters())
    projection = model.erc.projection(modality).linear.weight
    assert projection.grad is not None and projection.grad.abs().sum() > 0
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


# What never takes part in hidden states: norms and tokens of heads that are not there.
UNUSED = {"clip": {"post_layernorm.weight", "post_layernorm.bias"}, "dinov2": {"embeddings.mask_token"}}


@every_kind
def test_gradient_reaches_the_whole_backbone(kind: str, utterances: list[dict[str, Tensor]]) -> None:
    torch.manual_seed(0)
    modality = KINDS[kind][0]
    model = ErcForSequenceClassification(config_for(kind)).train()
    model(utterance_mask=torch.ones(1, 3).bool(), labels=torch.tensor([[0, 1, 2]]), **utterances[-1]).loss.backward()
    backbone = model.erc.encoder(modality).backbone
    missed = {
        name
        for name, p in backbone.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.abs().sum() > 0)
    }
    assert missed == UNUSED.get(kind, set())


@every_kind
def test_saved_models_come_back_to_the_last_bit(kind: str, utterances: list[dict[str, Tensor]], tmp_path: Path) -> None:
    modality = KINDS[kind][0]
    torch.manual_seed(0)
    model = ErcForSequenceClassification(config_for(kind, **{f"{modality}_layer": "last"})).eval()
    inputs = {"utterance_mask": torch.ones(1, 3).bool(), **utterances[-1]}
    logits = model(**inputs).logits
    model.save_pretrained(tmp_path)
    loaded, report = ErcForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    assert torch.equal(loaded.eval()(**inputs).logits, logits)
    # As the Trainer restores its best checkpoint: what does not match is passed over.
    torch.manual_seed(1)
    trainer_model = ErcForSequenceClassification(config_for(kind))
    trainer_model.load_state_dict(safetensors.torch.load_file(tmp_path / "model.safetensors"), strict=False)
    restored = trainer_model.state_dict()
    assert {name for name, value in model.state_dict().items() if not torch.equal(value, restored[name])} == set()
    assert torch.equal(trainer_model.eval()(**inputs).logits, logits)


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "wavlm", "whisper"])
@pytest.mark.parametrize("layer", ["mix", "1"])
def test_layer_dropout_of_the_backbone_does_not_shift_the_layers(
    kind: str, layer: str, utterances: list[dict[str, Tensor]]
) -> None:
    config = config_for(kind, audio_layer=layer)
    backbone: Any = config.audio_config
    backbone.layerdrop = backbone.encoder_layerdrop = 0.9
    model = ErcForSequenceClassification(config)
    encoder = model.erc.encoder("audio")
    expected, _ = encoder.eval()(**utterances[0])
    for _ in range(3):
        tokens, _ = encoder.train()(**utterances[0])
        assert tokens.shape == expected.shape


@pytest.mark.parametrize("frames", [40, 39, 12])
def test_whisper_tokens_are_its_encoders_own(frames: int) -> None:
    """Its own forward takes 40 frames and nothing else here."""
    torch.manual_seed(0)
    config = ErcConfig(audio_config={**WHISPER, "max_source_positions": 20}, audio_layer="mix")
    encoder = AudioEncoder(config, "audio").eval()
    for parameter in encoder.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    mel = torch.randn(2, 16, 40)
    mask = torch.arange(40) < torch.tensor([[frames], [40]])
    tokens, token_mask = encoder(audio_values=mel.masked_fill(~mask[:, None], 1e4), audio_attention_mask=mask.long())
    expected = encoder.backbone(mel, output_hidden_states=True).hidden_states
    assert torch.allclose(tokens[1], torch.cat([states[1:] for states in expected]), atol=1e-5)
    assert token_mask.sum(dim=1).tolist() == [(frames + 1) // 2, 20]
    alone, _ = encoder(audio_values=mel[:1, :, :frames], audio_attention_mask=mask[:1, :frames].long())
    assert torch.allclose(tokens[0][:, token_mask[0]], alone[0], atol=1e-5)
    whisper, gelu = encoder.backbone, torch.nn.functional.gelu
    heard = gelu(whisper.conv2(gelu(whisper.conv1(mel[0, :, :frames]))))
    assert torch.allclose(alone[0, 0], heard.T + whisper.embed_positions.weight[: heard.shape[1]], atol=1e-5)


def test_neighbours_words_are_context_and_only_own_tokens_are_handed_on() -> None:
    torch.manual_seed(0)
    encoder = encoder_for("bert", text_layer="mix")
    assert isinstance(encoder, TextEncoder)
    ids = torch.tensor([[2, 10, 11, 3, 12, 13, 14, 3], [2, 20, 3, 21, 22, 3, 0, 0]])
    seen = torch.tensor([[1] * 8, [1] * 6 + [0] * 2])
    own = torch.tensor([[1, 0, 0, 0, 1, 1, 1, 1], [1, 0, 0, 1, 1, 1, 0, 0]])
    inputs = {"input_ids": ids, "attention_mask": seen, "text_token_mask": own}
    tokens, mask = encoder(**inputs)
    full = torch.stack(encoder.backbone(ids, seen, output_hidden_states=True).hidden_states, dim=1)
    assert tokens.shape == (2, 3, 5, 32) and mask.tolist() == [[True] * 5, [True] * 4 + [False]]
    assert torch.equal(tokens[0], full[0, :, [0, 4, 5, 6, 7]]) and torch.equal(
        tokens[1, :, :4], full[1, :, [0, 3, 4, 5]]
    )
    ids[0, 1] = 30
    assert not torch.allclose(encoder(**inputs)[0][0, 1:], tokens[0, 1:], atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("layers", [(), (2,)])
def test_a_stride_averages_neighbouring_tokens_without_their_padding(stride: int, layers: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    tokens, mask = torch.randn(3, *layers, 7, 4), torch.arange(7) < torch.tensor([[7], [4], [0]])
    pooled, pooled_mask = pool_tokens(tokens, mask, stride)
    assert pooled.shape == (3, *layers, -(-7 // stride), 4)
    for row, length in enumerate([7, 4, 0]):
        pieces = [tokens[row, ..., first : min(first + stride, length), :] for first in range(0, length, stride)]
        assert pooled_mask[row].sum() == len(pieces) and pooled_mask[row, : len(pieces)].all()
        for place, piece in enumerate(pieces):
            assert torch.allclose(pooled[row, ..., place, :], piece.mean(dim=-2), atol=1e-6)


@pytest.mark.parametrize("kind", ["whisper"])
def test_the_audio_stride_of_the_config_is_used(kind: str, utterances: list[dict[str, Tensor]]) -> None:
    _, every = encoder_for(kind)(**utterances[-1])
    _, some = encoder_for(kind, audio_token_stride=4)(**utterances[-1])
    assert some.sum(dim=1).tolist() == [-(-n // 4) for n in every.sum(dim=1).tolist()]


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2"])
def test_spans_are_blanked_in_training_alone(kind: str, utterances: list[dict[str, Tensor]]) -> None:
    masking, plain = encoder_for(kind, audio_masking=0.5), encoder_for(kind)
    masking.load_state_dict(plain.state_dict())
    expected, _ = plain.eval()(**utterances[-1])
    assert torch.equal(masking.eval()(**utterances[-1])[0], expected)
    assert not torch.allclose(masking.train()(**utterances[-1])[0], expected)


@pytest.mark.parametrize("kind", ["whisper"])
@pytest.mark.parametrize("layer", ["0", "1", "2"])
def test_a_chosen_layer_is_that_of_the_mix(kind: str, layer: str, utterances: list[dict[str, Tensor]]) -> None:
    mix, alone = encoder_for(kind, audio_layer="mix"), encoder_for(kind, audio_layer=layer)
    alone.load_state_dict(mix.state_dict())
    every, _ = mix.eval()(**utterances[-1])
    torch.testing.assert_close(alone.eval()(**utterances[-1])[0], every[:, int(layer)])


def test_of_a_config_of_several_towers_the_modalitys_own_is_taken() -> None:
    clip = CLIPConfig(vision_config=PICTURES, text_config=WORDS)
    assert unimodal_config(clip, "vision") is clip.vision_config and unimodal_config(clip, "text") is clip.text_config
    bert = AutoConfig.for_model("bert")
    assert unimodal_config(bert, "text") is bert


# Checkpoints as they lie on the Hub: with heads, decoders and other towers.
CHECKPOINTS: dict[str, tuple[str, Callable[[], Any], str]] = {
    "masked language model": ("text", lambda: BertForMaskedLM(_config(KINDS["bert"][1])), "bert"),
    "speech translation": (
        "audio",
        lambda: WhisperForConditionalGeneration(_config(WHISPER)),
        "model.encoder",
    ),
    "speech recognition": ("audio", lambda: HubertForCTC(_config(KINDS["hubert"][1])), "hubert"),
    "two towers": ("vision", lambda: CLIPModel(CLIPConfig(vision_config=PICTURES, text_config=WORDS)), "vision_model"),
    "image model as audio encoder": ("audio", lambda: ViTModel(_config(KINDS["vit"][1])), ""),
}


def _config(values: dict[str, Any]) -> PreTrainedConfig:
    return AutoConfig.for_model(**copy.deepcopy(values))


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_pretrained_weights_arrive_in_the_backbone(name: str, tmp_path: Path) -> None:
    modality, make, part = CHECKPOINTS[name]
    torch.manual_seed(0)
    pretrained = make()
    pretrained.save_pretrained(tmp_path)
    backbone_config = unimodal_config(AutoConfig.from_pretrained(tmp_path), modality)
    config = ErcConfig(**{f"{modality}_config": backbone_config}, frozen_modalities=[modality])
    model = ErcForSequenceClassification(config)
    model.load_backbones({modality: str(tmp_path)})
    expected = pretrained.get_submodule(part).state_dict()
    loaded = model.erc.encoder(modality).backbone
    assert {key for key, value in loaded.state_dict().items() if not torch.equal(value, expected[key])} == set()
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    assert not any("decoder" in key or "pooler" in key for key in loaded.state_dict())
