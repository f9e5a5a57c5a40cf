"""Features of frozen backbones in place of their raw inputs: computed once, found again by what they depend on."""

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
from ..modeling_erc import ErcPreTrainedModel
from ..processing_erc import ErcProcessor, clip_settings
from .extraction import extract
from .feature_store import FeatureStore


class CachedFeatures:
    """Puts a frozen modality's stored features into a dialogue's utterances, in place of its raw inputs.

    Args:
        modality: whose features.
        store: where they are.
        processor: its text context decides what an utterance's text features depend on.
    """

    def __init__(self, modality: str, store: FeatureStore, processor: ErcProcessor) -> None:
        self.modality, self.store = modality, store
        self.past, self.future = processor.text_past, processor.text_future

    def __call__(self, utterances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The utterances with features; those without (no words, a broken clip) lack the modality."""
        name = MODALITIES[self.modality].features
        raw = MODALITIES[self.modality].raw
        changed = []
        for utterance, key in zip(utterances, self.keys(utterances), strict=True):
            features = self.store.get(key)
            # NumPy, through which the processor takes them, has no bfloat16.
            value = None if features is None else features.float()
            changed.append({**{k: v for k, v in utterance.items() if k not in raw}, name: value})
        return changed

    def keys(self, utterances: Sequence[Mapping[str, Any]]) -> list[str]:
        """What each utterance's features depend on, as a hash: the words around it, or its media file and range."""
        return [
            hashlib.sha256(repr(self._content(utterances, i)).encode(errors="surrogatepass")).hexdigest()
            for i in range(len(utterances))
        ]

    def _content(self, utterances: Sequence[Mapping[str, Any]], index: int) -> tuple[Any, ...]:
        if self.modality == "text":
            first = max(0, index - self.past)
            near = utterances[first : index + 1 + self.future]
            # Without neighbours the speaker's name is not part of the input.
            named = self.past or self.future
            return (index - first, *((u.get("speaker") if named else None, u.get("text")) for u in near))
        utterance = utterances[index]
        path = utterance.get(MODALITIES[self.modality].column)
        try:
            # However the path is spelled, and from wherever it is looked at.
            status, place = os.stat(path), os.path.realpath(path)  # type: ignore[arg-type]
        except (OSError, TypeError, ValueError):
            return (path,)
        return (place, status.st_size, status.st_mtime_ns, *clip_settings(utterance, self.modality).values())


def cache_frozen_features(
    splits: Mapping[str, Iterable[Mapping[str, Any]]],
    model: ErcPreTrainedModel,
    processor: ErcProcessor,
    folder: Path,
    num_workers: int = 0,
) -> tuple[list[CachedFeatures], list[str]]:
    """Computes what is missing of the frozen backbones' features; called in every process, each does its share.

    Args:
        splits: dialogues.
        model: with its frozen backbones.
        processor: made for the model.
        folder: the caches of all encoders; each has a folder of its own, named by its weights and settings.
        num_workers: processes that decode media, for each process that encodes.

    Returns:
        a transform for the collator for each frozen modality, and a line for each clip that could not be used.
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
    """Hash of everything but the content that features depend on: weights, layer, stride, processor settings."""
    encoder = model.erc_model.encoder(modality)
    # Loading writes into a config where it came from, and the dtype, which the weights tell anyway.
    config = encoder.backbone.config.to_dict()
    config = {key: value for key, value in config.items() if key not in ("_name_or_path", "dtype")}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, weight in encoder.backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    settings = {name: value for name, value in processor.to_dict().items() if name != "modalities"}
    if processor.tokenizer is not None and modality == "text":
        settings["vocabulary"] = sorted(processor.tokenizer.get_vocab().items())
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    digest.update(repr((encoder.layer, model.config.audio_token_stride)).encode())
    return digest.hexdigest()[:16]


def feature_statistics(rows: Iterable[Mapping[str, Any]], modality: str) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of a modality's precomputed features over a split, both `(width,)`.

    Dialogue by dialogue (Chan et al. 1983), so that a corpus never stands in memory whole.

    Raises:
        ValueError: there are none.
    """
    name = MODALITIES[modality].features
    count, mean, squares = 0, np.zeros(()), np.zeros(())
    for row in rows:
        values = [u[name] for u in row["utterances"] if u.get(name) is not None]
        # A dialogue may have nothing of a modality.
        array = np.asarray(values, dtype=np.float64).reshape(len(values), -1 if values else 0)
        array = array[np.isfinite(array).all(axis=1)]
        if len(array):
            shift = array.mean(axis=0) - mean
            squares = squares + array.var(axis=0) * len(array) + shift**2 * count * len(array) / (count + len(array))
            count += len(array)
            mean = mean + shift * len(array) / count
    if not count:
        raise ValueError(f"no utterance of the training split has {name}: leave {modality} out of --modalities")
    return torch.from_numpy(mean).float(), torch.from_numpy(np.sqrt(squares / count)).float()
