"""Building of model and processor for a corpus from the arguments of a run."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import datasets
from transformers import AutoConfig, AutoFeatureExtractor, AutoImageProcessor, AutoTokenizer, PreTrainedConfig
from transformers.utils import logging

from datasets_scripts import CORPORA, DialogueRows

from ..configuration_erc import MODALITIES, MODALITY_LISTS, ErcConfig
from ..encoders_erc import unimodal_config
from ..feature_extraction_erc import LogMelImageFeatureExtractor
from ..features.feature_cache import feature_statistics
from ..hub.redaction import is_path
from ..losses_erc import CLASSIFICATION_LOSSES, CONTRASTIVE_LOSSES, TARGET_LOSSES
from ..modeling_erc import ErcForSequenceClassification
from ..processing_erc import SUB_PROCESSORS, ErcProcessor
from ..text_context_erc import text_positions
from .arguments import DataArguments
from .model_arguments import ModelArguments
from .outputs import output_settings
from .tiny_backbones import fresh_backbone
from .warm_start import start_from

logger = logging.get_logger(__name__)


def build(
    model_args: ModelArguments,
    data_args: DataArguments,
    splits: Mapping[str, DialogueRows | datasets.Dataset],
    label_names: list[str],
) -> tuple[ErcForSequenceClassification, ErcProcessor]:
    """Builds a model and its processor, with the weights of pretrained backbones and of `start_from` where given.

    A modality whose features come with the corpus needs no encoder.

    Args:
        model_args: backbones and model settings.
        data_args: input settings.
        splits: the corpus, with a `train` split.
        label_names: classes of the corpus in order.

    Raises:
        ValueError: a setting does not fit, or a requested modality has neither encoder nor features, or is absent from
            the corpus.
    """
    chosen = [m for m in MODALITIES if m in model_args.modalities]
    if len(chosen) < len(set(model_args.modalities)):
        raise ValueError(f"modalities {model_args.modalities}: choose from {', '.join(MODALITIES)}")
    for option in MODALITY_LISTS:
        if not set(getattr(model_args, option) or []) <= set(MODALITIES):
            raise ValueError(f"{option} {getattr(model_args, option)}: choose from {', '.join(MODALITIES)}")
    train = splits["train"]
    configs: dict[str, PreTrainedConfig] = {}
    sub_processors: dict[str, Any] = {}
    pretrained: dict[str, str] = {}
    feature_sizes: dict[str, int] = {}
    for modality in chosen:
        encoder = getattr(model_args, f"{modality}_encoder")
        columns = train.features["utterances"].feature
        if (feature := MODALITIES[modality].features) in columns:
            feature_sizes[modality] = columns[feature].length
            continue
        check_presence(train, modality)
        if encoder is None:
            raise ValueError(
                f"modality {modality} needs --{modality}_encoder (a Hub id, a folder, or 'tiny'); "
                f"or leave it out with --modalities {' '.join(m for m in chosen if m != modality)}"
            )
        if fresh := fresh_backbone(modality, encoder):
            configs[modality], sub_processors[modality] = fresh(_texts(train))
        else:
            configs[modality], sub_processors[modality] = load_encoder_config(modality, encoder)
            pretrained[modality] = encoder

    settings = {f.name for f in fields(ErcConfig)} & {f.name for f in fields(model_args)} - {"problem_type"}
    config = ErcConfig(
        **{f"{m}_config": c for m, c in configs.items()},
        **{name: getattr(model_args, name) for name in settings},
        feature_sizes=feature_sizes,
        **output_settings(model_args, train, label_names),
        training_corpus=_training_corpus(data_args.dataset),
    )
    # Training would be the first to look these up: a wrong name must stop here, with a list of the known names.
    for losses, name in (
        (CLASSIFICATION_LOSSES, config.classification_loss),
        (CONTRASTIVE_LOSSES, config.contrastive),
        (TARGET_LOSSES, config.target_loss),
    ):
        _ = losses[name]
    model = ErcForSequenceClassification(config)
    try:
        model.load_backbones(pretrained)
    except OSError as error:
        raise ValueError(
            f"the weights of {' or '.join(pretrained.values())} could not be loaded. Pickled ones are not opened: "
            "convert what you trust once, with AutoModel.from_pretrained(NAME).save_pretrained(DIR), and name DIR. "
            + " ".join(str(error).split())
        ) from error
    if model_args.start_from is not None:
        start_from(model, model_args.start_from)
    for modality in feature_sizes:
        model.set_feature_statistics(modality, *feature_statistics(train, modality))
    max_text_length = text_length(data_args, configs.get("text"))
    seconds = longest_clip(sub_processors.get("audio"))
    if seconds is not None and data_args.max_audio_seconds > seconds:
        logger.warning(
            f"max_audio_seconds {data_args.max_audio_seconds:g}: the feature extractor of {model_args.audio_encoder} "
            f"reads the first {seconds:g} s of a clip and drops the rest; split longer utterances"
        )
    processor = ErcProcessor(
        **{SUB_PROCESSORS[m]: sub for m, sub in sub_processors.items()},
        modalities=config.modalities,
        max_text_length=max_text_length,
        text_context=data_args.text_context,
        text_past=data_args.text_past,
        text_future=data_args.text_future,
        max_audio_seconds=data_args.max_audio_seconds,
        num_frames=data_args.num_frames,
        face_crop=data_args.face_crop,
        unnamed_speakers=data_args.unnamed_speakers,
    )
    return model, processor


def _training_corpus(name: str) -> dict[str, Any]:
    builder = CORPORA[name]
    return {"name": name, "synthetic": builder.SYNTHETIC, "language": builder.LANGUAGE}


def load_encoder_config(modality: str, source: str) -> tuple[PreTrainedConfig, Any]:
    """Loads the config and the (sub-)processor of a pretrained backbone.

    Args:
        modality: text, audio or vision.
        source: Hub id or local folder.

    Raises:
        ValueError: there is no such model, neither as a folder nor on the Hub.
    """
    try:
        config = unimodal_config(AutoConfig.from_pretrained(source), modality)
        if is_path(source):
            # The path would be saved in `config.json`, which is pushed.
            config.name_or_path = ""
        if modality == "text":
            return config, AutoTokenizer.from_pretrained(source)
        if modality == "vision":
            return config, AutoImageProcessor.from_pretrained(source)
        if hasattr(config, "image_size"):
            # As in the paper, an image model as the audio encoder reads log-mel "images".
            return config, LogMelImageFeatureExtractor(image_size=config.image_size, num_channels=config.num_channels)
        return config, AutoFeatureExtractor.from_pretrained(source)
    except OSError as error:
        raise ValueError(
            f"--{modality}_encoder {source}: neither a local model folder nor a reachable Hub id: "
            + " ".join(str(error).split())
        ) from error


def text_length(data_args: DataArguments, backbone: PreTrainedConfig | None) -> int:
    """Returns the largest number of tokens that a text backbone reads at once.

    Args:
        data_args: `max_text_length` and `text_context`.
        backbone: config of the text backbone, `None` if there is none.

    Raises:
        ValueError: the backbone has fewer positions.
    """
    length, usual = data_args.max_text_length, 512 if data_args.text_context == "dialogue" else 128
    limit = None if backbone is None else text_positions(backbone)
    if backbone is not None and limit is not None and (length or 0) > limit:
        raise ValueError(
            f"max_text_length {length}: the {backbone.model_type} backbone has {limit} positions; "
            f"use --max_text_length {limit}"
        )
    return min(usual, limit or usual) if length is None else length


def longest_clip(extractor: Any) -> float | None:
    """Returns the seconds of a clip that an audio feature extractor reads, `None` if it reads all of it.

    Whisper's reads 30 s, that of log-mel images its own `max_seconds`.
    """
    limit = getattr(extractor, "chunk_length", None) or getattr(extractor, "max_seconds", None)
    return None if limit is None else float(limit)


def check_presence(train: Iterable[Mapping[str, Any]], modality: str) -> None:
    """Raises `ValueError` where no utterance of the training split has the modality."""
    column = MODALITIES[modality].column
    if not any(u.get(column) is not None for row in train for u in row["utterances"]):
        remedy = (
            "recognise the words of its clips with --transcribe"
            if modality == "text"
            else "check --data_dir for the media folders"
        )
        raise ValueError(
            f"no utterance of the training split has {modality} ({column} is empty everywhere): {remedy}, or leave the "
            "modality out of --modalities"
        )


def _texts(train: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    return (u["text"] for row in train for u in row["utterances"] if u["text"])
