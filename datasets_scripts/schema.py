"""The row that all corpora share: a dialogue, as a list of utterances in the order in which they were spoken."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from datasets import ClassLabel, Features, List, Value

# Columns of each modality's raw input and precomputed features: `MODALITIES` of `modeling_erc`, whose import would load
# PyTorch, has the same.
RAW_COLUMNS = {"text": "text", "audio": "audio_path", "vision": "video_path"}
FEATURE_COLUMNS = {"text": "text_features", "audio": "audio_features", "vision": "visual_features"}
# What messages and tables call a modality.
MODALITY_NAMES = {"text": "text", "audio": "audio", "vision": "video"}
MEDIA_COLUMNS = {RAW_COLUMNS[modality]: MODALITY_NAMES[modality] for modality in ("audio", "vision")}

# For a video that is cut differently from the audio (one recording of the dialogue, but an audio file per utterance).
VIDEO_COLUMNS = {"video_start": Value("float64"), "video_end": Value("float64"), "video_half": Value("string")}


class Utterance(TypedDict):
    """One turn of a dialogue; columns that are left out are null in the dataset.

    `start` and `end` are seconds inside the media file, null for the whole file. `label` is a class name, in a dataset
    its index; None marks an utterance that is context only. (The collator writes -100 for it: `ClassLabel` accepts
    -100 only at the beginning of a list.) The feature columns exist only in corpora of precomputed features.

    Where an utterance may have several labels, `labels` holds their names (indices in a dataset): an empty list for
    none of them, null for an utterance that is context only. `targets` holds numbers by name, such as
    `{"valence": 2.5, "activation": None}`, where None is a missing value. Both columns exist only in corpora that have
    them.

    `video_start` and `video_end` (seconds) replace `start` and `end` for the video where the audio has its own file;
    `video_half` is "left" or "right" where the picture shows two people side by side.
    """

    utterance_id: str
    speaker: str
    text: str | None
    label: str | None
    labels: NotRequired[Sequence[str] | None]
    targets: NotRequired[Mapping[str, float | None] | None]
    audio_path: NotRequired[str | None]
    video_path: NotRequired[str | None]
    start: NotRequired[float | None]
    end: NotRequired[float | None]
    video_start: NotRequired[float | None]
    video_end: NotRequired[float | None]
    video_half: NotRequired[str | None]
    text_features: NotRequired[Sequence[float] | None]
    audio_features: NotRequired[Sequence[float] | None]
    visual_features: NotRequired[Sequence[float] | None]


class Dialogue(TypedDict):
    """One row: `dialogue_id` is unique over all splits of a corpus."""

    dialogue_id: str
    utterances: list[Utterance]


def dialogue_features(
    label_names: Sequence[str],
    feature_sizes: Mapping[str, int] | None = None,
    extra_columns: Mapping[str, Value] | None = None,
    targets: Sequence[str] = (),
    several_labels: bool = False,
) -> Features:
    """Returns the `datasets.Features` of a dialogue.

    Args:
        label_names: class names in the order of their indices.
        feature_sizes: width of the precomputed features of each modality that has them, keys from `FEATURE_COLUMNS`.
        extra_columns: additional columns of an utterance, such as `VIDEO_COLUMNS`.
        targets: names of the numbers in the column `targets`.
        several_labels: whether an utterance may have several labels, in the column `labels`; `label` is then null.

    Raises:
        ValueError: if a key of `feature_sizes` is no modality.

    Example:
        >>> features = dialogue_features(["neutral", "joy"], {"text": 768})
        >>> features["utterances"].feature["text_features"]
        List(Value('float32'), length=768)
    """
    sizes = feature_sizes or {}
    unknown = set(sizes) - set(FEATURE_COLUMNS)
    if unknown:
        raise ValueError(f"feature_sizes has {sorted(unknown)}: its keys are modalities, {', '.join(FEATURE_COLUMNS)}")
    utterance = {
        "utterance_id": Value("string"),
        "speaker": Value("string"),
        "text": Value("string"),
        # Paths instead of Audio and Video: the processor decodes, and those types need torchcodec.
        "audio_path": Value("string"),
        "video_path": Value("string"),
        "start": Value("float64"),
        "end": Value("float64"),
        "label": ClassLabel(names=[] if several_labels else list(label_names)),
        **(extra_columns or {}),
    }
    if several_labels:
        utterance["labels"] = List(ClassLabel(names=list(label_names)))
    if targets:
        utterance["targets"] = {name: Value("float64") for name in targets}
    for modality, column in FEATURE_COLUMNS.items():
        if modality in sizes:
            utterance[column] = List(Value("float32"), length=sizes[modality])
    return Features({"dialogue_id": Value("string"), "utterances": List(utterance)})


def label_names(data: Any) -> list[str]:
    """Returns the class names of a `Features`, a dataset or a dictionary of splits, in the order of their indices.

    Example:
        >>> label_names(dialogue_features(["neutral", "joy"]))
        ['neutral', 'joy']
    """
    columns = _utterance_columns(data)
    names: list[str] = (columns["labels"].feature if "labels" in columns else columns["label"]).names
    return names


def target_names(data: Any) -> list[str]:
    """Returns the names of the numbers in the column `targets`, for the same kinds of data as [`label_names`].

    Example:
        >>> target_names(dialogue_features(["neutral", "joy"], targets=["valence"]))
        ['valence']
    """
    return list(_utterance_columns(data).get("targets", ()))


def has_several_labels(data: Any) -> bool:
    """Returns whether an utterance may have several labels, for the same kinds of data as [`label_names`]."""
    return "labels" in _utterance_columns(data)


def _utterance_columns(data: Any) -> Mapping[str, Any]:
    if isinstance(data, dict) and not isinstance(data, Features):
        data = next(iter(data.values()))
    features = data if isinstance(data, Features) else data.features
    columns: Mapping[str, Any] = features["utterances"].feature
    return columns
