"""Arguments that describe the model: the backbones, and the plain settings of `ErcConfig` as options."""

from dataclasses import dataclass, field

from ..configuration_erc import MODALITIES, MODALITY_LISTS


@dataclass
class BackboneArguments:
    """Modalities and the backbones that encode them."""

    modalities: list[str] = field(
        default_factory=lambda: list(MODALITIES), metadata={"help": "modalities to use: text audio vision"}
    )
    text_encoder: str | None = field(
        default=None, metadata={"help": "Hub id or folder of a text model, or 'tiny' (small, untrained)"}
    )
    audio_encoder: str | None = field(
        default=None, metadata={"help": "Hub id or folder of a speech model or a ViT, or 'tiny'"}
    )
    vision_encoder: str | None = field(
        default=None, metadata={"help": "Hub id or folder of an image model, or 'tiny', or 'tiny_resnet' for faces"}
    )
    start_from: str | None = field(
        default=None, metadata={"help": "Hub id or folder of a checkpoint to start training from"}
    )
    text_layer: str = field(default="last", metadata={"help": "layer of the text tokens: last, mix or a number"})
    audio_layer: str = field(default="last", metadata={"help": "layer of the audio tokens: last, mix or a number"})
    vision_layer: str = field(default="last", metadata={"help": "layer of the image tokens: last, mix or a number"})
    audio_token_stride: int = field(default=1, metadata={"help": "number of audio frames averaged into one token"})
    audio_masking: float = field(
        default=0.0, metadata={"help": "SpecAugment: longest masked span, as a fraction of the clip"}
    )
    frozen_modalities: list[str] | None = field(default=None, metadata={"help": "modalities with a frozen backbone"})
    lora_modalities: list[str] | None = field(
        default=None, metadata={"help": "modalities trained through LoRA (extra 'lora')"}
    )
    lora_rank: int = field(default=8, metadata={"help": "rank of the LoRA adapters"})
    centered_modalities: list[str] | None = field(
        default=None, metadata={"help": "modalities taken relative to the mean of their speaker in the dialogue"}
    )

    def __post_init__(self) -> None:
        for setting in MODALITY_LISTS:  # `--frozen_modalities=` switches off what a recipe has
            setattr(self, setting, [modality for modality in getattr(self, setting) or () if modality] or None)


@dataclass
class FusionArguments:
    """Fusion of the modalities and context of the dialogue."""

    hidden_size: int = field(default=128, metadata={"help": "width of fusion, context and heads"})
    num_attention_heads: int = field(default=4, metadata={"help": "attention heads in fusion and context"})
    intermediate_size: int = field(
        default=256, metadata={"help": "width of the feed-forward layers in fusion and context"}
    )
    hidden_dropout_prob: float = field(
        default=0.1, metadata={"help": "dropout in projections, fusion, context and heads"}
    )
    initializer_range: float = field(default=0.05, metadata={"help": "standard deviation of the initial weights"})
    fusion: str = field(
        default="joint_vector", metadata={"help": "joint_vector, concat, cross_attention, tensor or gated"}
    )
    num_joint_vectors: int = field(default=4, metadata={"help": "number of trainable joint vectors (joint_vector)"})
    num_fusion_layers: int = field(default=2, metadata={"help": "number of fusion layers"})
    modality_dropout: float = field(default=0.0, metadata={"help": "probability of masking a modality in training"})
    context: str = field(default="transformer", metadata={"help": "transformer, gru, relational or none"})
    context_position: str = field(default="both", metadata={"help": "context before fusion, after it, or both"})
    num_context_layers: int = field(default=1, metadata={"help": "number of context layers"})
    context_causal: bool = field(default=False, metadata={"help": "use earlier utterances only"})
    context_window: int | None = field(default=None, metadata={"help": "utterances on either side; default: all"})


@dataclass
class LossArguments:
    """What is predicted, and the terms of the objective."""

    problem_type: str | None = field(
        default=None,
        metadata={
            "help": "single_label_classification, multi_label_classification or regression; default: the labels of the "
            "corpus, or else its targets"
        },
    )
    target_loss: str = field(default="mse", metadata={"help": "loss of the targets: mse, mae or ccc (concordance)"})
    target_loss_weight: float = field(default=1.0, metadata={"help": "weight of the loss of the targets"})
    classification_loss: str = field(default="cross_entropy", metadata={"help": "cross_entropy or focal"})
    focal_gamma: float = field(default=2.0, metadata={"help": "gamma of the focal loss (0 is cross-entropy)"})
    logit_adjustment: float = field(
        default=0.0, metadata={"help": "tau of the logit adjustment, which raises rare classes; 0 for none"}
    )
    label_smoothing: float = field(default=0.0, metadata={"help": "label smoothing of the classification loss"})
    modality_logit_weight: float = field(
        default=1.0, metadata={"help": "weight of each modality head in the logits, beside 1 for the joint head"}
    )
    modality_loss_weight: float = field(default=0.2, metadata={"help": "weight of the mean loss of the modality heads"})
    contrastive: str = field(default="inter_class", metadata={"help": "inter_class, supcon or none"})
    contrastive_weight: float = field(default=0.1, metadata={"help": "weight of the contrastive loss"})
    contrastive_temperature: float = field(default=0.1, metadata={"help": "temperature of the contrastive loss"})
    contrastive_size: int = field(default=64, metadata={"help": "width of the contrastive projection"})
    contrastive_memory: int = field(default=0, metadata={"help": "embeddings of earlier batches as extra negatives"})


@dataclass
class ModelArguments(LossArguments, FusionArguments, BackboneArguments):
    """Backbones, and every plain setting of `ErcConfig` with the same name and default."""
