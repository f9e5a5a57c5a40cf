"""Cache of the features of frozen backbones, keyed by the content and the encoder that they depend on."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..configuration_erc import MODALITIES
from ..containers_erc import clip_settings
from ..modeling_erc import ErcPreTrainedModel
from ..processing_erc import ErcProcessor
from .extraction import extract
from .feature_store import FeatureStore

# Of each modality its sub-processor, and the settings of the processor that change its features.
_SETTINGS = {
    "text": ("tokenizer", ("max_text_length", "text_context", "text_past", "text_future")),
    "audio": ("feature_extractor", ("max_audio_seconds",)),
    "vision": ("image_processor", ("num_frames", "face_crop")),
}


class CachedFeatures:
    """Replaces the raw inputs of a frozen modality in a dialogue's utterances by its stored features.

    Args:
        modality: text, audio or vision.
        store: holds the features.
        processor: its text context determines which neighbours an utterance's text features depend on.
    """

    def __init__(self, modality: str, store: FeatureStore, processor: ErcProcessor) -> None:
        self.modality, self.store = modality, store
        self.past, self.future = processor.text_past, processor.text_future
        self.whole_dialogue = processor.text_context == "dialogue"

    @property
    def reads_others(self) -> bool:
        """Whether the features of an utterance depend on others of its dialogue."""
        return self.modality == "text" and bool(self.whole_dialogue or self.past or self.future)

    def __call__(self, utterances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns the utterances with features; without any (no text, a broken clip) the modality is missing."""
        name = MODALITIES[self.modality].features
        raw = MODALITIES[self.modality].raw
        changed = []
        for utterance, key in zip(utterances, self.keys(utterances), strict=True):
            features = self.store.get(key)
            # The processor converts features to NumPy, which has no bfloat16.
            value = None if features is None else features.float()
            changed.append({**{k: v for k, v in utterance.items() if k not in raw}, name: value})
        return changed

    def keys(self, utterances: Sequence[Mapping[str, Any]]) -> list[str]:
        """Hashes the content that each utterance's features depend on: the text around it, or its clip and times."""
        if self.reads_others and self.whole_dialogue:
            dialogue = content_key([(u.get("speaker"), u.get("text")) for u in utterances])
            return [content_key((index, dialogue)) for index in range(len(utterances))]
        return [content_key(self._content(utterances, index)) for index in range(len(utterances))]

    def _content(self, utterances: Sequence[Mapping[str, Any]], index: int) -> tuple[Any, ...]:
        if self.modality == "text":
            first = max(0, index - self.past)
            neighbours = utterances[first : index + 1 + self.future]
            # Without neighbours the speaker's name is not part of the input.
            return (
                index - first,
                *((u.get("speaker") if self.reads_others else None, u.get("text")) for u in neighbours),
            )
        return clip_content(utterances[index], self.modality)


def clip_content(utterance: Mapping[str, Any], modality: str) -> tuple[Any, ...]:
    """Returns what identifies the clip of an utterance: the file's path, size and time, and the part that is read.

    Args:
        utterance: an utterance of the schema.
        modality: audio or vision.
    """
    path = utterance.get(MODALITIES[modality].column)
    try:
        # The real path, so that the spelling of the path and the working directory do not matter.
        status, real_path = os.stat(path), os.path.realpath(path)  # type: ignore[arg-type]
    except (OSError, TypeError, ValueError):
        return (path,)
    return (real_path, status.st_size, status.st_mtime_ns, *clip_settings(utterance, modality).values())


def model_files(source: str | None) -> list[tuple[str, int, int]]:
    """Returns names, sizes and times of the files of a model in a local folder; a Hub id has none."""
    folder = Path(source) if source else None
    if folder is None or not folder.is_dir():
        return []
    stats = ((path.relative_to(folder), path.stat()) for path in sorted(folder.rglob("*")) if path.is_file())
    return [(str(name), stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def content_key(content: Any) -> str:
    """Returns the key of content in a cache."""
    return hashlib.sha256(repr(content).encode(errors="surrogatepass")).hexdigest()


def cache_frozen_features(
    splits: Mapping[str, Iterable[Mapping[str, Any]]],
    model: ErcPreTrainedModel,
    processor: ErcProcessor,
    folder: Path,
    num_workers: int = 0,
) -> tuple[list[CachedFeatures], list[str]]:
    """Extracts the missing features of all frozen backbones, sharded across the processes, which all call it.

    Args:
        folder: parent of the caches; each encoder has its own folder, named by its weights and settings.
        num_workers: number of processes that decode media, for each process that encodes.

    Returns:
        A collator transform for each frozen modality, and one line for each clip that could not be used.
    """
    transforms, problems = [], []
    for modality in model.config.frozen_modalities or []:
        if modality in model.erc_model.encoders:
            store = FeatureStore(folder / f"{modality}-{encoder_fingerprint(model, processor, modality)}")
            cached = CachedFeatures(modality, store, processor)
            problems += extract(splits, model, processor, cached, num_workers)
            transforms.append(cached)
    return transforms, problems


def encoder_fingerprint(model: ErcPreTrainedModel, processor: ErcProcessor, modality: str) -> str:
    """Hashes all that features depend on besides the content: weights, layer, stride and processor settings."""
    encoder = model.erc_model.encoder(modality)
    # Without the origin and the dtype, which loading adds to a config; the weights show the dtype.
    config = {k: v for k, v in encoder.backbone.config.to_dict().items() if k not in ("_name_or_path", "dtype")}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, weight in encoder.backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    part, names = _SETTINGS[modality]
    sub_processor = getattr(processor, part)
    settings = {name: getattr(processor, name) for name in names}
    settings[part] = _tokenizer_behaviour(sub_processor) if modality == "text" else sub_processor.to_dict()
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    digest.update(repr((encoder.layer, model.config.audio_token_stride)).encode())
    return digest.hexdigest()[:16]


def _tokenizer_behaviour(tokenizer: Any) -> Any:
    """Returns all that the tokens of a text depend on: normalisation, splitting and merges besides the vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return [sorted(tokenizer.get_vocab().items()), tokenizer.init_kwargs]
    # Without what the last call has set.
    return {k: v for k, v in json.loads(backend.to_str()).items() if k not in ("truncation", "padding")}


def feature_statistics(rows: Iterable[Mapping[str, Any]], modality: str) -> tuple[Tensor, Tensor]:
    """Computes mean and standard deviation of a modality's precomputed features over a split.

    It reads one dialogue at a time, so that a large corpus need not fit into memory. Utterances with features that are
    not finite are left out.

    Returns:
        Mean and standard deviation, both `(width,)`; the deviation of a constant feature is zero.

    Raises:
        ValueError: no utterance has such features.
    """
    name = MODALITIES[modality].features
    from sklearn.preprocessing import StandardScaler  # a second to import

    scaler = StandardScaler()
    for row in rows:
        values = [u[name] for u in row["utterances"] if u.get(name) is not None]
        finite = [value for value in np.asarray(values, dtype=np.float64) if np.isfinite(value).all()]
        if finite:
            scaler.partial_fit(finite)
    if not hasattr(scaler, "var_"):
        raise ValueError(f"no utterance of the training split has {name}: leave {modality} out of --modalities")
    return torch.from_numpy(scaler.mean_).float(), torch.from_numpy(np.sqrt(scaler.var_)).float()
