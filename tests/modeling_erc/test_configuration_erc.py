import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.errors import StrictDataclassFieldValidationError
from transformers import BertConfig, ViTConfig, WhisperConfig

from datasets_scripts import FEATURE_COLUMNS, RAW_COLUMNS, Utterance
from modeling_erc import MODALITIES, ErcConfig

MakeConfig = Callable[..., ErcConfig]
COUNTS = [
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "num_joint_vectors",
    "num_context_layers",
    "contrastive_size",
    "audio_token_stride",
    "lora_rank",
]


def test_modalities_come_in_one_order_whatever_the_order_given() -> None:
    config = ErcConfig(vision_config=ViTConfig(), feature_sizes={"audio": 3, "text": 2})
    assert config.modalities == ("text", "audio", "vision")
    assert ErcConfig(feature_sizes={"vision": 3}).modalities == ("vision",)
    assert ErcConfig().modalities == ()


def test_a_saved_config_comes_back_equal(raw_config: MakeConfig, tmp_path: Path) -> None:
    config = raw_config(
        "text",
        "audio",
        feature_sizes={"vision": 7},
        audio_layer="mix",
        text_layer="1",
        frozen_modalities=["text", "audio"],
        class_weights=[1.0, 2.0, 0.5],
        context_window=3,
        id2label={0: "joy", 1: "anger", 2: "neutral"},
    )
    config.save_pretrained(tmp_path)
    loaded = ErcConfig.from_pretrained(tmp_path)
    assert loaded.to_dict() == config.to_dict()
    assert isinstance(loaded.text_config, BertConfig) and isinstance(loaded.audio_config, WhisperConfig)
    assert loaded.vision_config is None and loaded.modalities == ("text", "audio", "vision")
    assert loaded.id2label == {0: "joy", 1: "anger", 2: "neutral"} and loaded.num_labels == 3
    assert loaded.text_config.num_hidden_layers == 2 and loaded.frozen_modalities == ["audio", "text"]


def test_the_file_names_every_setting_of_a_fresh_config(feature_config: MakeConfig, tmp_path: Path) -> None:
    feature_config("text", fusion="concat").save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["model_type"] == "erc" and written["fusion"] == "concat" and written["feature_sizes"] == {"text": 6}


def test_a_backbone_config_may_be_a_plain_dict() -> None:
    config = ErcConfig(text_config={"model_type": "roberta", "hidden_size": 24, "num_attention_heads": 2})
    backbone = config.backbone_config("text")
    assert backbone is not None and backbone.model_type == "roberta" and backbone.hidden_size == 24


def test_configs_share_no_state() -> None:
    first, second = ErcConfig(feature_sizes={"text": 2}), ErcConfig(feature_sizes={"text": 2})
    assert first.feature_sizes is not None and first.frozen_modalities is not None
    first.feature_sizes["audio"] = 9
    first.frozen_modalities.append("text")
    assert second.modalities == ("text",) and second.frozen_modalities == []
    sizes = {"text": 2}
    third = ErcConfig(feature_sizes=sizes)
    sizes["vision"] = 1
    assert third.modalities == ("text",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"feature_sizes": {"video": 3}}, "'video': the modalities are text, audio, vision"),
        ({"feature_sizes": {"text": 3}, "text_config": BertConfig()}, "text has both a backbone"),
        ({"hidden_size": 30, "num_attention_heads": 4}, "hidden_size 30 is not a multiple of num_attention_heads 4"),
        ({"context_position": "between"}, "'between': choose before, after or both"),
        ({"class_weights": [1.0, 2.0], "num_labels": 3}, "2 class_weights for 3 labels"),
        ({"class_weights": [1.0, -2.0], "num_labels": 2}, "each must be 0 or larger"),
        ({"class_weights": [0.0, 0.0], "num_labels": 2}, "and one larger than 0"),
        ({"feature_sizes": {"text": 0}}, "feature_sizes has 0 for text: a width is at least 1"),
        ({"frozen_modalities": ["video"]}, "frozen_modalities has 'video': the modalities are text, audio, vision"),
        ({"lora_modalities": ["speech"]}, "lora_modalities has 'speech': the modalities are text, audio, vision"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ErcConfig(**settings)


@pytest.mark.parametrize(
    ("name", "values", "rule"),
    [
        *((name, [0, -1], "must be at least 1") for name in COUNTS),
        ("contrastive_temperature", [0.0, -0.1, math.nan, math.inf], "must be larger than 0"),
        ("initializer_range", [0.0, -0.1], "must be larger than 0"),
        ("hidden_dropout_prob", [-0.1, 1.0, 1.5, math.nan], "must be at least 0 and below 1"),
        ("label_smoothing", [-0.1, 1.0], "must be at least 0 and below 1"),
        ("modality_dropout", [-0.1, 1.1], "must be from 0 to 1"),
        ("audio_masking", [-0.1, 1.1], "must be from 0 to 1"),
        ("contrastive_weight", [-0.1, math.inf], "cannot be negative"),
        ("modality_loss_weight", [-0.2], "cannot be negative"),
        ("contrastive_memory", [-1], "cannot be negative"),
        ("context_window", [-1], "cannot be negative"),
        ("focal_gamma", [-1.0, math.nan], "cannot be negative"),
    ],
)
def test_values_out_of_range_are_refused(name: str, values: list[float], rule: str) -> None:
    for value in values:
        with pytest.raises(ValueError, match=f"{name} {value}: it {rule}"):
            ErcConfig(**{"num_attention_heads": 1, name: value})


@pytest.mark.parametrize("settings", [{"hidden_size": "128"}, {"context_causal": 1}, {"class_weights": "balanced"}])
def test_wrong_types_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(StrictDataclassFieldValidationError, match=next(iter(settings))):
        ErcConfig(**settings)


def test_modality_columns_are_those_of_the_dataset_rows() -> None:
    assert {m: names.column for m, names in MODALITIES.items()} == RAW_COLUMNS
    assert {m: names.features for m, names in MODALITIES.items()} == FEATURE_COLUMNS
    assert set(RAW_COLUMNS.values()) | set(FEATURE_COLUMNS.values()) <= set(Utterance.__annotations__)
