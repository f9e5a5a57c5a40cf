"""Runs frozen backbones over a corpus, each utterance once, shared among processes and data-loader workers."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from tqdm.auto import tqdm

from ..configuration_erc import MODALITIES
from ..modeling_erc import ErcPreTrainedModel
from ..processing_erc import ErcProcessor
from .feature_store import FeatureStore

# What a kill in the middle loses at most, and what waits in memory.
SHARD_BYTES = 64 * 2**20
BATCH_UTTERANCES = 32
# Pieces of similar length meet in a batch, found among so many.
SORTED_PIECES = 1024


class KeyedStore(Protocol):
    """What extraction needs to know of [`CachedFeatures`]."""

    modality: str
    store: FeatureStore
    past: int
    future: int

    def keys(self, utterances: Sequence[Mapping[str, Any]]) -> list[str]: ...


class Piece(NamedTuple):
    """Utterances that are encoded together, their keys, and which of them the store lacks."""

    utterances: list[dict[str, Any]]
    keys: list[str]
    wanted: list[bool]


class Batch(NamedTuple):
    """What a worker hands over: model inputs, keys of the utterances that they hold, how many were read, problems."""

    inputs: dict[str, Tensor]
    keys: list[str]
    done: int
    problems: list[str]


@torch.inference_mode()
def extract(
    splits: Mapping[str, Iterable[Mapping[str, Any]]],
    model: ErcPreTrainedModel,
    processor: ErcProcessor,
    cached: KeyedStore,
    num_workers: int = 0,
) -> list[str]:
    """Encodes what the store lacks; returns a line for each clip that could not be used.

    Under `accelerate launch` every process calls it and encodes the keys that fall to it, on one machine or several
    that share the store's folder; it returns when all are done.

    Args:
        splits: dialogues.
        model: with its frozen backbones.
        processor: made for the model.
        cached: the modality, its store and its keys.
        num_workers: processes that decode media.
    """
    state = PartialState()
    missing = sum(sum(piece.wanted) for piece in missing_pieces(splits, cached))
    problems: list[str] = []
    if missing:
        encoder = model.erc_model.encoder(cached.modality)
        training = encoder.training
        encoder.eval()
        batches = _Batches(splits, processor, cached, state.process_index, state.num_processes)
        # Words are encoded faster than a worker is started.
        workers = 0 if cached.modality == "text" else num_workers
        waiting: dict[str, Tensor] = {}
        bar = tqdm(total=missing, desc=f"{cached.modality} features", unit="utt", disable=not state.is_main_process)
        for batch in DataLoader(batches, batch_size=None, num_workers=workers):
            problems += batch.problems
            if batch.inputs:
                tokens, mask = encoder(**{name: value.to(model.device) for name, value in batch.inputs.items()})
                for key, row, own in zip(batch.keys, tokens.cpu(), mask.cpu(), strict=True):
                    waiting[key] = row[..., own, :].clone()
            # The other processes are about as far.
            bar.update(min(batch.done * state.num_processes, missing - bar.n))
            if sum(value.nbytes for value in waiting.values()) >= SHARD_BYTES:
                cached.store.write(waiting)
                waiting = {}
        if waiting:
            cached.store.write(waiting)
        bar.close()
        encoder.train(training)
    if state.num_processes > 1:
        problems = gather_object(problems)
        state.wait_for_everyone()
    cached.store.refresh()
    return problems


class _Batches(IterableDataset):
    """Encoded batches of one process' share, split once more among its workers."""

    def __init__(
        self,
        splits: Mapping[str, Iterable[Mapping[str, Any]]],
        processor: ErcProcessor,
        cached: KeyedStore,
        process: int,
        processes: int,
    ) -> None:
        self.splits, self.cached = splits, cached
        self.process, self.processes = process, processes
        self.processor = copy.copy(processor)
        self.processor.modalities = [cached.modality]

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        index, count = (worker.id, worker.num_workers) if worker else (0, 1)
        share = (self.process * count + index, self.processes * count)
        for pieces in _batched(_sorted(missing_pieces(self.splits, self.cached, share))):
            inputs, problems = self.processor.encode([piece.utterances for piece in pieces])
            present = inputs["modality_mask"][inputs["utterance_mask"]][:, 0].tolist()
            keys = [key for piece in pieces for key in piece.keys]
            tensors = {k: v for k, v in inputs.items() if k not in ("utterance_mask", "modality_mask", "speaker_ids")}
            found = [key for key, here in zip(keys, present, strict=True) if here]
            yield Batch(tensors, found, sum(sum(piece.wanted) for piece in pieces), problems)


def missing_pieces(
    splits: Mapping[str, Iterable[Mapping[str, Any]]], cached: KeyedStore, share: tuple[int, int] = (0, 1)
) -> Iterator[Piece]:
    """What the store lacks: whole dialogues where neighbours are read too, single utterances elsewhere, each once.

    Args:
        splits: dialogues.
        cached: the modality, its store and its keys.
        share: which part of the keys, and of how many: each key falls to one part, wherever it is met.
    """
    column = MODALITIES[cached.modality].column
    whole = cached.modality == "text" and (cached.past or cached.future)
    part, parts = share
    seen: set[str] = set()
    for split in splits.values():
        for row in split:
            utterances = row["utterances"]
            keys = cached.keys(utterances)
            wanted = []
            for utterance, key in zip(utterances, keys, strict=True):
                # An utterance without words or clip is in no store, however often it is asked for.
                given = bool((utterance.get(column) or "").strip())
                wanted.append(given and key not in cached.store and key not in seen)
                if wanted[-1]:
                    seen.add(key)
            if not any(wanted):
                continue
            if whole:
                if int(keys[0][:8], 16) % parts == part:
                    yield Piece(list(utterances), keys, wanted)
                continue
            for utterance, key, new in zip(utterances, keys, wanted, strict=True):
                if new and int(key[:8], 16) % parts == part:
                    yield Piece([utterance], [key], [True])


def _sorted(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Pieces in runs of rising length, so that little of a batch is padding."""
    run: list[Piece] = []
    for piece in pieces:
        run.append(piece)
        if len(run) == SORTED_PIECES:
            yield from sorted(run, key=_length)
            run = []
    yield from sorted(run, key=_length)


def _length(piece: Piece) -> float:
    """Characters of the longest utterance, or seconds of the clip where the row says."""
    return max(
        (u["end"] - (u.get("start") or 0.0)) if u.get("end") is not None else float(len(u.get("text") or ""))
        for u in piece.utterances
    )


def _batched(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    for piece in pieces:
        batch.append(piece)
        if sum(len(kept.keys) for kept in batch) >= BATCH_UTTERANCES:
            yield batch
            batch = []
    if batch:
        yield batch
