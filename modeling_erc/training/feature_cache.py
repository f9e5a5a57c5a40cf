"""Features of frozen backbones, computed once, kept on disk and memory-mapped afterwards."""

import copy
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from ..modeling_erc import ErcPreTrainedModel
from ..processing_erc import FEATURE_NAMES, ErcProcessor

SHARD_UTTERANCES = 1024
BATCH_UTTERANCES = 32
_RAW_COLUMNS = {"text": "text", "audio": "audio_path", "vision": "video_path"}


class FeatureStore(Mapping[str, Tensor]):
    """Token features by content key, in a folder of safetensors shards.

    A shard appears under its name only when it is whole (written aside, then renamed), so neither a kill in the middle
    of writing nor another process that writes at the same time can leave half of one.

    Args:
        folder: made if it is not there.

    Example:
        >>> store = FeatureStore(tmp_path)  # doctest: +SKIP
        >>> store.write({"a": torch.zeros(3, 8)})  # doctest: +SKIP
        >>> store["a"].shape  # doctest: +SKIP
        torch.Size([3, 8])
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._places: dict[str, tuple[str, int, int]] = {}
        self._tokens: dict[str, Tensor] = {}
        for shard in sorted(folder.glob("*.safetensors")):
            self._index(shard.name)

    def _index(self, shard: str) -> None:
        with safe_open(self.folder / shard, framework="pt") as file:
            keys = json.loads(file.metadata()["keys"])
            ends = file.get_tensor("ends").tolist()
        for key, start, end in zip(keys, [0, *ends], ends, strict=False):
            self._places[key] = (shard, start, end)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: str) -> Tensor:
        """Features `(tokens, width)` or `(layers, tokens, width)`."""
        shard, start, end = self._places[key]
        if shard not in self._tokens:
            with safe_open(self.folder / shard, framework="pt") as file:
                self._tokens[shard] = file.get_tensor(
                    "tokens"
                )  # a view of the mapped file: pages come as they are read
        return self._tokens[shard][start:end].movedim(0, -2)

    def write(self, features: dict[str, Tensor]) -> None:
        """Adds a shard of features, each `([layers,] tokens, width)`."""
        lengths = torch.tensor([value.shape[-2] for value in features.values()])
        # Tokens first, so that an utterance is one slice of the file.
        tokens = torch.cat([value.movedim(-2, 0) for value in features.values()]).contiguous()
        name = hashlib.sha256("".join(features).encode()).hexdigest()[:16] + ".safetensors"
        handle, aside = tempfile.mkstemp(dir=self.folder, suffix=".writing")
        os.close(handle)
        try:
            save_file({"tokens": tokens, "ends": lengths.cumsum(0)}, aside, metadata={"keys": json.dumps([*features])})
            os.replace(aside, self.folder / name)
        finally:
            Path(aside).unlink(missing_ok=True)
        self._index(name)

    def __getstate__(self) -> dict[str, Any]:
        # A data-loader worker maps the files itself.
        return {**self.__dict__, "_tokens": {}}


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
        name = FEATURE_NAMES[self.modality]
        raw = {"text": ("text",), "audio": ("audio", "audio_path"), "vision": ("video", "video_path")}[self.modality]
        changed = []
        for utterance, key in zip(utterances, self.keys(utterances), strict=True):
            features = self.store.get(key)
            # NumPy, through which the processor takes them, has no bfloat16.
            value = None if features is None else features.float()
            changed.append({**{k: v for k, v in utterance.items() if k not in raw}, name: value})
        return changed

    def keys(self, utterances: Sequence[dict[str, Any]]) -> list[str]:
        """What each utterance's features depend on, as a hash: the words around it, or its media file and range."""
        return [
            hashlib.sha256(repr(self._content(utterances, i)).encode(errors="surrogatepass")).hexdigest()
            for i in range(len(utterances))
        ]

    def _content(self, utterances: Sequence[dict[str, Any]], index: int) -> tuple[Any, ...]:
        if self.modality == "text":
            first = max(0, index - self.past)
            near = utterances[first : index + 1 + self.future]
            # Without neighbours the speaker's name is not part of the input.
            named = self.past or self.future
            return (index - first, *((u.get("speaker") if named else None, u.get("text")) for u in near))
        utterance = utterances[index]
        path = utterance.get("audio_path" if self.modality == "audio" else "video_path")
        if path is None or not os.path.exists(path):
            return (path,)
        status = os.stat(path)
        return (path, status.st_size, status.st_mtime_ns, utterance.get("start"), utterance.get("end"))


def cache_frozen_features(
    splits: datasets.DatasetDict, model: ErcPreTrainedModel, processor: ErcProcessor, folder: Path
) -> tuple[list[CachedFeatures], list[str]]:
    """Computes what is missing of the frozen backbones' features.

    Args:
        splits: dialogues.
        model: with its frozen backbones.
        processor: made for the model.
        folder: the caches of all encoders; each has a folder of its own, named by its weights and settings.

    Returns:
        a transform for the collator for each frozen modality, and a line for each clip that could not be used.
    """
    transforms, problems = [], []
    for modality in model.config.frozen_modalities or []:
        if modality in model.erc_model.encoders:
            store = FeatureStore(folder / f"{modality}-{encoder_fingerprint(model, processor, modality)}")
            cached = CachedFeatures(modality, store, processor)
            problems += _fill(splits, model, processor, cached)
            transforms.append(cached)
    return transforms, problems


def encoder_fingerprint(model: ErcPreTrainedModel, processor: ErcProcessor, modality: str) -> str:
    """Hash of everything but the content that features depend on: weights, layer, stride, processor settings."""
    encoder = model.erc_model.encoder(modality)
    digest = hashlib.sha256(encoder.backbone.config.to_json_string().encode())
    for name, weight in encoder.backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    settings = {name: value for name, value in processor.to_dict().items() if name != "modalities"}
    if processor.tokenizer is not None and modality == "text":
        settings["vocabulary"] = sorted(processor.tokenizer.get_vocab().items())
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    digest.update(repr((encoder.layer, model.config.audio_token_stride)).encode())
    return digest.hexdigest()[:16]


@torch.inference_mode()
def _fill(
    splits: datasets.DatasetDict, model: ErcPreTrainedModel, processor: ErcProcessor, cached: CachedFeatures
) -> list[str]:
    """Encodes what the store lacks; returns a line for each clip that could not be used."""
    alone = copy.copy(processor)
    alone.modalities = [cached.modality]
    encoder = model.erc_model.encoder(cached.modality)
    training = encoder.training
    encoder.eval()
    problems: list[str] = []
    waiting: dict[str, Tensor] = {}
    pieces = list(_missing(splits, cached))
    total = sum(len(keys) for _, keys in pieces)
    with tqdm(total=total, desc=f"{cached.modality} features", unit="utt", disable=not pieces) as bar:
        for batch in _batches(pieces):
            inputs, errors = alone.encode([utterances for utterances, _ in batch])
            problems += errors
            present = inputs["modality_mask"][inputs["utterance_mask"]][:, 0].tolist()
            keys = [key for _, keys in batch for key in keys]
            names = ("utterance_mask", "modality_mask", "speaker_ids")
            raw = {name: value.to(model.device) for name, value in inputs.items() if name not in names}
            if raw:
                tokens, mask = encoder(**raw)
                found = [key for key, here in zip(keys, present, strict=True) if here]
                for key, row, own in zip(found, tokens.cpu(), mask.cpu(), strict=True):
                    waiting[key] = row[..., own, :].clone()
            bar.update(len(keys))
            if len(waiting) >= SHARD_UTTERANCES:
                cached.store.write(waiting)
                waiting = {}
    if waiting:
        cached.store.write(waiting)
    encoder.train(training)
    return problems


Piece = tuple[list[dict[str, Any]], list[str]]


def _missing(splits: datasets.DatasetDict, cached: CachedFeatures) -> Iterator[Piece]:
    """What the store lacks: whole dialogues of text (neighbours matter), single utterances of media, each once."""
    seen: set[str] = set()
    for split in splits.values():
        for row in split:
            utterances = row["utterances"]
            keys = cached.keys(utterances)
            # An utterance without words or clip is in no store, however often it is asked for.
            given = [bool((u.get(_RAW_COLUMNS[cached.modality]) or "").strip()) for u in utterances]
            wanted = [has and not (key in cached.store or key in seen) for has, key in zip(given, keys, strict=True)]
            seen.update(keys)
            if cached.modality == "text" and any(wanted):
                yield utterances, keys
            elif cached.modality != "text":
                for utterance, key, new in zip(utterances, keys, wanted, strict=True):
                    if new:
                        yield [utterance], [key]


def _batches(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    for piece in pieces:
        batch.append(piece)
        if sum(len(keys) for _, keys in batch) >= BATCH_UTTERANCES:
            yield batch
            batch = []
    if batch:
        yield batch


def feature_statistics(rows: datasets.Dataset, modality: str) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of a modality's precomputed features over a split, both `(width,)`."""
    name = FEATURE_NAMES[modality]
    values = [u[name] for row in rows for u in row["utterances"] if u.get(name) is not None]
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array).all(axis=1)]
    return torch.from_numpy(array.mean(axis=0)).float(), torch.from_numpy(array.std(axis=0)).float()
