"""Configuration of the ERC models."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .registry_erc import MODALITIES as MODALITIES

_COUNTS = (
    "hidden_size num_attention_heads intermediate_size num_joint_vectors num_context_layers "
    "contrastive_size audio_token_stride lora_rank"
)
MODALITY_LISTS = ("frozen_modalities", "lora_modalities", "centered_modalities")
# Settings, the values allowed, and the rule in words.
_RANGES: tuple[tuple[str, Callable[[float], bool], str], ...] = (
    (_COUNTS, lambda value: value >= 1, "must be at least 1"),
    (
        "contrastive_temperature calibration_temperature initializer_range",
        lambda value: value > 0,
        "must be larger than 0",
    ),
    ("hidden_dropout_prob label_smoothing", lambda value: 0 <= value < 1, "must be at least 0 and below 1"),
    ("audio_masking modality_dropout", lambda value: 0 <= value <= 1, "must be from 0 to 1"),
    (
        "num_fusion_layers contrastive_memory contrastive_weight focal_gamma logit_adjustment modality_loss_weight "
        "modality_logit_weight target_loss_weight",
        lambda value: value >= 0,
        "cannot be negative",
    ),
)


@strict
class ErcConfig(PreTrainedConfig):
    """Configuration of [`ErcModel`] and [`ErcForSequenceClassification`].

    The model uses a modality that has either a backbone config (`text_config`, `audio_config`, `vision_config`) or an
    entry in `feature_sizes`. The method follows Shi et al. 2024 (arXiv 2405.17900).

    Args:
        text_config: config of any text `AutoModel` (bert, roberta, mpnet, deberta, ...), or `None`.
        audio_config: config of any speech `AutoModel` (whisper, wav2vec2, hubert, wavlm,
            audio-spectrogram-transformer), of an image model that reads log-mel "images" (vit), or `None`.
        vision_config: config of any image `AutoModel` (vit, clip, dinov2, convnext), applied frame by frame, or `None`.
        feature_sizes: width of the precomputed features of each modality that has no backbone, e.g.
            `{"text": 1024, "audio": 1582}`.
        text_layer: hidden states of the text backbone that become its tokens: `"last"`, `"mix"` (a learned softmax mix
            over all layers, as in ELMo, Peters et al. 2018) or a layer number (0 is the embedding).
        audio_layer: the same for audio. Middle layers of speech encoders carry emotion best.
        vision_layer: the same for vision.
        audio_token_stride: number of neighbouring audio frames that are averaged into one token.
        audio_masking: longest masked span of time or frequency in training, as a share of the axis (SpecAugment).
        frozen_modalities: modalities whose backbones are not trained. They run in eval mode without gradients.
        lora_modalities: modalities whose backbones train low-rank adapters only (Hu et al. 2021); needs peft.
        lora_rank: rank of the adapters.
        centered_modalities: modalities whose tokens are taken relative to their speaker (see `SpeakerCentering`).
        hidden_size: width H of fusion, context and heads.
        num_attention_heads: attention heads in fusion and context.
        intermediate_size: width of the feed-forward layers in fusion (see `MatchedFusion`) and context.
        hidden_dropout_prob: dropout in projections, fusion, context and heads.
        fusion: name in the fusion registry, `"joint_vector"`, `"concat"`, `"cross_attention"`, `"tensor"` or `"gated"`.
        num_joint_vectors: number J of trainable joint vectors of `joint_vector`.
        num_fusion_layers: number of fusion layers. `"concat"`, `"tensor"` and `"gated"` also work without any, where an
            utterance has one token per modality.
        context: name in the context registry, `"transformer"`, `"gru"`, `"relational"` or `"none"`.
        context_position: `"before"` fusion (the context vector is added to each modality's tokens), `"after"` it (on
            the joint feature), or `"both"`.
        num_context_layers: number of layers of the dialogue context.
        context_causal: whether an utterance sees only earlier utterances.
        context_window: largest distance in utterances that an utterance sees; `None` is the whole dialogue.
        modality_dropout: probability of masking a present modality of an utterance in training (never the last one).
        problem_type: what the model predicts, as in transformers: one of several classes
            (`"single_label_classification"`, also for `None`), any number of them (`"multi_label_classification"`), or
            numbers only (`"regression"`). With classes of either kind, `target_names` adds numbers to predict.
        target_names: names of the predicted numbers, such as `["valence", "activation"]`. For `"regression"` they are
            the labels; one of `id2label` and `target_names` is enough.
        target_mean: mean of each target in training; the heads predict (target - mean) / scale.
        target_scale: standard deviation of each target in training.
        target_ranges: smallest and largest value of each target in training; they decide which scores have a meaning.
        target_loss: name in the registry of target losses, `"mse"`, `"mae"` or `"ccc"` (concordance).
        target_loss_weight: weight of the loss of the targets.
        label_thresholds: probability from which an utterance has each label (`"multi_label_classification"`), chosen on
            dev after training; `None` is 0.5 for all.
        classification_loss: name in the registry of classification losses, `"cross_entropy"` or `"focal"`; several
            labels have `"binary_cross_entropy"`, which replaces `"cross_entropy"`.
        focal_gamma: gamma of `focal`: larger values reduce the weight of confident utterances (0: cross-entropy).
        class_weights: one weight per class for the classification loss, in the order of `id2label`, or `None`. With
            several labels it is the weight of the utterances that have the label.
        logit_adjustment: tau of the logit adjustment of the classification loss, which answers class imbalance; 0 is
            none (see [`ErcLoss`]).
        class_priors: frequency of each class in the training labels, for `logit_adjustment`, or `None`.
        label_smoothing: label smoothing of the classification loss.
        modality_logit_weight: weight of the logits of each modality head in the average with those of the joint head,
            whose weight is 1; with 0 the modality heads only serve training. With `context_position` `"after"` the
            modality heads do not see the dialogue.
        modality_loss_weight: weight of the classification loss of the modality heads (mean over modalities).
        contrastive: name in the registry of contrastive losses, `"inter_class"`, `"supcon"` or `"none"`. It compares
            classes: for several labels and for regression the default becomes `"none"`.
        contrastive_weight: weight of the contrastive loss.
        contrastive_temperature: tau of the contrastive loss.
        contrastive_size: width of the contrastive projection.
        contrastive_memory: number of embeddings of earlier batches that serve as extra negatives and positives.
        initializer_range: standard deviation of the initial weights.
        calibration_temperature: divides the logits of the classifier; fitted on dev after training.
        training_corpus: what the model was trained on, as `{"name": "meld", "synthetic": False, "language": "en"}`, or
            `None` where it is unknown.

    Example:
        >>> from modeling_erc import ErcConfig, ErcForSequenceClassification
        >>> config = ErcConfig(feature_sizes={"text": 100, "audio": 73}, hidden_size=32, num_labels=3)
        >>> config.modalities
        ('text', 'audio')
    """

    model_type: ClassVar[str] = "erc"
    sub_configs_defaults: ClassVar[dict[str, SubConfigSpec]] = {
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="bert", optional=True),
        "audio_config": SubConfigSpec(config_class=AutoConfig, model_type="whisper", optional=True),
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="vit", optional=True),
    }
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        "modality_logits",
        "modality_mask",
        "embeddings",
        "prototypes",
        "last_hidden_state",
    ]

    text_config: dict[str, Any] | PreTrainedConfig | None = None
    audio_config: dict[str, Any] | PreTrainedConfig | None = None
    vision_config: dict[str, Any] | PreTrainedConfig | None = None
    feature_sizes: dict[str, int] | None = None
    text_layer: str = "last"
    audio_layer: str = "last"
    vision_layer: str = "last"
    audio_token_stride: int = 1
    audio_masking: float = 0.0
    frozen_modalities: list[str] | None = None
    lora_modalities: list[str] | None = None
    lora_rank: int = 8
    centered_modalities: list[str] | None = None
    hidden_size: int = 128
    num_attention_heads: int = 4
    intermediate_size: int = 256
    hidden_dropout_prob: float = 0.1
    fusion: str = "joint_vector"
    num_joint_vectors: int = 4
    num_fusion_layers: int = 2
    context: str = "transformer"
    context_position: str = "both"
    num_context_layers: int = 1
    context_causal: bool = False
    context_window: int | None = None
    modality_dropout: float = 0.0
    target_names: list[str] | None = None
    target_mean: list[float] | None = None
    target_scale: list[float] | None = None
    target_ranges: list[list[float]] | None = None
    target_loss: str = "mse"
    target_loss_weight: float = 1.0
    label_thresholds: list[float] | None = None
    classification_loss: str = "cross_entropy"
    focal_gamma: float = 2.0
    class_weights: list[float] | None = None
    logit_adjustment: float = 0.0
    class_priors: list[float] | None = None
    label_smoothing: float = 0.0
    modality_logit_weight: float = 1.0
    modality_loss_weight: float = 0.2
    contrastive: str = "inter_class"
    contrastive_weight: float = 0.1
    contrastive_temperature: float = 0.1
    contrastive_size: int = 64
    contrastive_memory: int = 0
    initializer_range: float = 0.05
    calibration_temperature: float = 1.0
    training_corpus: dict[str, Any] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        if __name__ == "modeling_erc.configuration_erc":
            # The installed package has registered its pipeline; a checkpoint's would need trust_remote_code.
            kwargs.pop("custom_pipelines", None)
        super().__post_init__(**kwargs)
        for setting in MODALITY_LISTS:
            setattr(self, setting, sorted(getattr(self, setting) or []))
        self.feature_sizes = dict(self.feature_sizes or {})
        self._set_outputs()
        self._check_ranges()
        for modality, width in self.feature_sizes.items():
            if width < 1:
                raise ValueError(f"feature_sizes has {width} for {modality}: a width is at least 1")
            if self.backbone_config(modality) is not None:
                raise ValueError(
                    f"{modality} has both a backbone ({modality}_config) and feature_sizes: give one of them"
                )
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        if self.context_position not in ("before", "after", "both"):
            raise ValueError(f"context_position {self.context_position!r}: choose before, after or both")
        for setting in ("class_weights", "class_priors", "label_thresholds"):
            values = getattr(self, setting) or [1.0] * self.num_labels
            if len(values) != self.num_labels:
                raise ValueError(f"{len(values)} {setting} for {self.num_labels} labels")
            if not all(math.isfinite(value) and value >= 0 for value in values) or not any(values):
                raise ValueError(f"{setting} {values}: each must be 0 or larger, and one larger than 0")

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Makes a config; where `kwargs` change the number of classes, the weights and priors of the old ones go."""
        labels = kwargs.get("num_labels") or len(kwargs.get("id2label") or ())
        dropped = {
            setting: kwargs.pop(setting, None)
            for setting in ("class_weights", "class_priors", "label_thresholds")
            if labels and len(config_dict.get(setting) or ()) not in (0, labels)
        }
        return super().from_dict({**config_dict, **dropped}, **kwargs)

    def _set_outputs(self) -> None:
        """Completes and checks what the model predicts."""
        names = self.target_names = list(self.target_names or [])
        if self.problem_type == "regression":
            # A config without names has transformers' LABEL_0, ...
            names = self.target_names = names or [self.id2label[index] for index in range(self.num_labels)]
            self.id2label: dict[int, str] = dict(enumerate(names))
            self.label2id: dict[str, int] = {name: index for index, name in enumerate(names)}
        if len(set(names)) < len(names):
            raise ValueError(f"target_names {names}: each name can be there once")
        usual: dict[str, Any] = {"target_mean": 0.0, "target_scale": 1.0, "target_ranges": [0.0, 0.0]}
        for setting, value in usual.items():
            given = getattr(self, setting) or [value] * len(names)
            if len(given) != len(names):
                raise ValueError(f"{len(given)} {setting} for {len(names)} targets")
            setattr(self, setting, given)
        if not all(scale > 0 for scale in self.target_scale or ()):
            raise ValueError(f"target_scale {self.target_scale}: each must be larger than 0")
        several = self.problem_type == "multi_label_classification"
        if several and self.classification_loss == "cross_entropy":
            self.classification_loss = "binary_cross_entropy"
        if self.num_classes and several != (self.classification_loss == "binary_cross_entropy"):
            raise ValueError(f"classification_loss {self.classification_loss} does not fit {self.problem_type}")
        if self.problem_type in ("multi_label_classification", "regression"):
            if self.contrastive not in ("inter_class", "none"):
                raise ValueError(f"contrastive {self.contrastive} compares classes: {self.problem_type} has 'none'")
            self.contrastive = "none"

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 for `regression`."""
        return 0 if self.problem_type == "regression" else self.num_labels

    @property
    def num_outputs(self) -> int:
        """Number of columns of the logits: the classes, then the targets."""
        return self.num_classes + len(self.target_names or ())

    def _check_ranges(self) -> None:
        for names, allowed, rule in _RANGES:
            for name in names.split():
                value = getattr(self, name)
                if not (math.isfinite(value) and allowed(value)):
                    raise ValueError(f"{name} {value}: it {rule}")
        if self.context_window is not None and self.context_window < 0:
            raise ValueError(f"context_window {self.context_window}: it cannot be negative (null: the whole dialogue)")
        for name in ("feature_sizes", *MODALITY_LISTS):
            for modality in getattr(self, name):
                if modality not in MODALITIES:
                    raise ValueError(f"{name} has {modality!r}: the modalities are {', '.join(MODALITIES)}")

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities of the model, in the order of every modality axis."""
        return tuple(m for m in MODALITIES if self.backbone_config(m) is not None or m in (self.feature_sizes or {}))

    def backbone_config(self, modality: str) -> PreTrainedConfig | None:
        """Returns the config of the backbone of a modality, or `None`."""
        config: PreTrainedConfig | None = getattr(self, f"{modality}_config")
        return config


ErcConfig.register_for_auto_class()
