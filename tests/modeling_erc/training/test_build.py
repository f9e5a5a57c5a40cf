import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from transformers import AutoModel, BertConfig, ViTConfig, ViTImageProcessorPil, ViTModel

from modeling_erc.feature_extraction_erc import LogMelImageFeatureExtractor
from modeling_erc.training.arguments import DataArguments
from modeling_erc.training.build import text_length
from modeling_erc.training.outputs import class_balance
from modeling_erc.training.tiny_backbones import FRESH

MakeSplits = Callable[..., datasets.DatasetDict]


@pytest.fixture
def words(make_splits: MakeSplits) -> datasets.DatasetDict:
    """Text alone: two utterances of `neutral`, one of `joy`, none of `anger`."""
    turns: list[dict[str, Any]] = [{"text": "hello there", "label": 0}, {"text": "well", "label": 0}]
    return make_splits({"train": [[*turns, {"text": "hooray", "label": 1}]]})


def test_model_takes_labels_and_modalities_of_the_run(splits: datasets.DatasetDict, make_parts: Any) -> None:
    model, processor, *_ = make_parts(splits, modalities=["vision", "text"], fusion="concat", text_past=2, num_frames=3)
    names = ["neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"]
    assert [model.config.id2label[i] for i in range(model.config.num_labels)] == names
    assert model.config.label2id == {name: i for i, name in enumerate(names)}
    # The order of every modality axis, whatever the order of the argument.
    assert model.config.modalities == ("text", "vision")
    assert processor.modalities == ["text", "vision"]
    assert (model.config.fusion, processor.text_past, processor.num_frames) == ("concat", 2, 3)


def test_features_missing_from_the_training_split_are_refused(make_splits: Any, make_parts: Any) -> None:
    splits = make_splits({"train": [[{}, {}]], "dev": [[{"text_features": [1.0, 2.0, 3.0]}]]}, text=3)
    with pytest.raises(ValueError, match=r"no utterance of the training split has text_features.*leave text out"):
        make_parts(splits)


def test_tiny_backbones_of_all_modalities_run_end_to_end(splits: datasets.DatasetDict, make_parts: Any) -> None:
    model, processor, *_ = make_parts(splits, modalities=["text", "audio", "vision"])
    logits = model.eval()(**processor(splits["dev"][0])).logits
    assert logits.shape == (1, 4, 7)
    assert logits.isfinite().all()


def test_pretrained_weights_are_loaded(words: datasets.DatasetDict, make_parts: Any, tmp_path: Path) -> None:
    config, tokenizer = FRESH["text"](["hello there", "hooray"])
    AutoModel.from_config(config).save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    saved = AutoModel.from_pretrained(tmp_path / "bert").state_dict()
    model = make_parts(words, text_encoder=str(tmp_path / "bert")).model
    own = model.erc.encoders["text"].backbone.state_dict()
    assert len(own) > 10
    assert all(torch.equal(value, saved[name]) for name, value in own.items())
    # Their path is not saved.
    model.save_pretrained(tmp_path / "saved")
    assert str(tmp_path) not in (tmp_path / "saved" / "config.json").read_text()


def test_a_pickled_backbone_is_not_opened(words: datasets.DatasetDict, make_parts: Any, tmp_path: Path) -> None:
    config, tokenizer = FRESH["text"](["hello there", "hooray"])
    model = AutoModel.from_config(config)
    config.save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    torch.save(model.state_dict(), tmp_path / "bert" / "pytorch_model.bin")
    with pytest.raises(
        ValueError, match=r"bert could not be loaded. Pickled ones are not opened.*save_pretrained\(DIR\)"
    ):
        make_parts(words, text_encoder=str(tmp_path / "bert"))


def test_an_image_model_as_audio_encoder_reads_log_mel_images(
    splits: datasets.DatasetDict, make_parts: Any, tmp_path: Path
) -> None:
    config = ViTConfig(
        image_size=32, patch_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    ViTModel(config).save_pretrained(tmp_path / "vit")
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "vit")
    parts = make_parts(splits, modalities=["audio"], audio_encoder=str(tmp_path / "vit"))
    assert isinstance(parts.processor.feature_extractor, LogMelImageFeatureExtractor)
    assert parts.model.eval()(**parts.processor(splits["dev"][0])).logits.isfinite().all()


def test_a_corpus_of_features_needs_no_encoder_and_is_standardised_by_its_training_split(
    make_splits: MakeSplits, make_parts: Any
) -> None:
    values = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)) * 50 + 7
    turns = [{"text_features": row.tolist(), "label": 0} for row in values]
    far = [{"text_features": [1e6, 1e6, 1e6], "label": 0}]
    splits = make_splits({"train": [turns[:4], turns[4:]], "dev": [far]}, text=3)
    model = make_parts(splits, modalities=["text"], text_encoder=None).model
    assert model.config.feature_sizes == {"text": 3}
    projection = model.erc.projections["text"]
    torch.testing.assert_close(projection.feature_mean, values.mean(dim=0))
    torch.testing.assert_close(projection.feature_scale, values.std(dim=0, correction=0))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"modalities": ["text", "smell"]}, "smell.*text, audio, vision"),
        ({"text_encoder": None}, "text needs --text_encoder"),
        ({"text_encoder": "no/such/folder"}, "--text_encoder no/such/folder"),
        ({"modalities": ["text", "audio"]}, "no utterance of the training split has audio.*--data_dir"),
        ({"modalities": ["vision"]}, "has vision"),
        ({"fusion": "join_vector"}, "unknown fusion 'join_vector'.*Did you mean 'joint_vector'"),
        ({"context": "rnn"}, "unknown context 'rnn'"),
        ({"contrastive": "simclr"}, "unknown contrastive loss 'simclr'"),
        ({"classification_loss": "hinge"}, "unknown classification loss 'hinge'"),
        ({"frozen_modalities": ["txt"]}, "frozen_modalities.*txt.*text, audio, vision"),
        ({"hidden_size": 17}, "hidden_size 17"),
    ],
)
def test_wrong_settings_are_refused_with_the_remedy(
    words: datasets.DatasetDict,
    make_parts: Any,
    settings: dict[str, Any],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=expected) as refused:
        make_parts(words, **settings)
    assert "\n" not in str(refused.value)


def test_class_weights_are_inverse_frequencies_of_mean_one(words: datasets.DatasetDict) -> None:
    weights = class_balance(words["train"], 3, 1.0)["class_weights"]
    # Two neutral, one joy; a class without a training utterance counts as one.
    assert weights[1] / weights[0] == pytest.approx(2)
    assert weights[2] == pytest.approx(weights[1])
    assert (2 * weights[0] + weights[1]) / 3 == pytest.approx(1)
    halfway = class_balance(words["train"], 3, 0.5)["class_weights"]
    assert halfway[1] / halfway[0] == pytest.approx(2**0.5)
    assert class_balance(words["train"], 3, 0.0)["class_weights"] is None


def test_class_weights_average_to_one_over_the_training_split(splits: datasets.DatasetDict) -> None:
    weights = class_balance(splits["train"], 7, 0.7)["class_weights"]
    labels = [u["label"] for row in splits["train"] for u in row["utterances"]]
    assert sum(weights[label] for label in labels) / len(labels) == pytest.approx(1)


def test_a_text_length_beyond_the_backbones_positions_is_refused(words: datasets.DatasetDict, make_parts: Any) -> None:
    with pytest.raises(
        ValueError, match="max_text_length 600: the bert backbone has 512 positions; use --max_text_len"
    ):
        make_parts(words, max_text_length=600)


@pytest.mark.parametrize(("context", "length"), [("neighbours", 128), ("dialogue", 512)])
def test_more_tokens_are_read_at_once_of_a_dialogue(
    context: str, length: int, words: datasets.DatasetDict, make_parts: Any
) -> None:
    processor = make_parts(words, text_context=context).processor
    assert (processor.text_context, processor.max_text_length) == (context, length)
    assert make_parts(words, text_context=context, max_text_length=20).processor.max_text_length == 20
    short = BertConfig(max_position_embeddings=40)
    assert text_length(DataArguments(text_context=context), short) == 40


@pytest.mark.parametrize(("seconds", "warned"), [(30.0, False), (45.0, True)])
def test_clips_longer_than_whisper_reads_are_warned_about(
    seconds: float, warned: bool, splits: datasets.DatasetDict, make_parts: Any, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    try:
        make_parts(splits, modalities=["audio"], max_audio_seconds=seconds)
    finally:
        logger.removeHandler(caplog.handler)
    lines = [record.message for record in caplog.records if "max_audio_seconds" in record.message]
    assert len(lines) == warned
    assert all("max_audio_seconds 45" in line and "reads the first 30 s of a clip" in line for line in lines)
