"""Extraction of the features of frozen backbones: each utterance once, sharded across processes and workers."""

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from tqdm.auto import tqdm

from ..configuration_erc import MODALITIES
from ..modeling_erc import ErcPreTrainedModel
from ..processing_erc import ErcProcessor
from ..registry_erc import DIALOGUE_INPUTS

if TYPE_CHECKING:
    from .feature_cache import CachedFeatures

# Features that wait in memory for the next shard: the most that an interruption can lose.
SHARD_BYTES = 64 * 2**20
BATCH_UTTERANCES = 32
# Number of pieces that are sorted by length together, so that batches hold pieces of similar length.
SORTED_PIECES = 1024


class Piece(NamedTuple):
    """Utterances that are encoded together, their keys, and the number of them that the store lacks."""

    utterances: list[dict[str, Any]]
    keys: list[str]
    missing: int


@torch.inference_mode()
def extract(
    splits: Mapping[str, Iterable[Mapping[str, Any]]],
    model: ErcPreTrainedModel,
    processor: ErcProcessor,
    cached: "CachedFeatures",
    num_workers: int = 0,
) -> list[str]:
    """Encodes the utterances that the store lacks.

    Under `accelerate launch` every process calls it and encodes its shard of the keys, on one machine or on several
    that share the store's folder; it returns when all processes are done.

    Returns:
        One line for each clip that could not be used.
    """
    state = PartialState()
    missing = sum(piece.missing for piece in missing_pieces(splits, cached))
    problems: list[str] = []
    if missing:
        encoder = model.erc_model.encoder(cached.modality)
        training = encoder.training
        encoder.eval()
        batches = _Batches(splits, processor, cached, state.process_index, state.num_processes)
        # Encoding text takes less time than starting a worker.
        workers = 0 if cached.modality == "text" else num_workers
        waiting: dict[str, Tensor] = {}
        bar = tqdm(total=missing, desc=f"{cached.modality} features", unit="utt", disable=not state.is_main_process)
        for inputs, keys, done, unusable in DataLoader(batches, batch_size=None, num_workers=workers):
            problems += unusable
            if inputs:
                tokens, mask = encoder(**{name: value.to(model.device) for name, value in inputs.items()})
                for key, row, own in zip(keys, tokens.cpu(), mask.cpu(), strict=True):
                    waiting[key] = row[..., own, :].clone()
            # The bar assumes that the other processes are equally far.
            bar.update(min(done * state.num_processes, missing - bar.n))
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
    """Batches of one process, sharded across its workers: inputs, keys, number of utterances read, and problems."""

    def __init__(
        self,
        splits: Mapping[str, Iterable[Mapping[str, Any]]],
        processor: ErcProcessor,
        cached: "CachedFeatures",
        process: int,
        processes: int,
    ) -> None:
        self.splits, self.cached = splits, cached
        self.process, self.processes = process, processes
        self.processor = copy.copy(processor)
        self.processor.modalities = [cached.modality]

    def __iter__(self) -> Iterator[tuple[dict[str, Tensor], list[str], int, list[str]]]:
        worker = get_worker_info()
        index, count = (worker.id, worker.num_workers) if worker else (0, 1)
        shard = (self.process * count + index, self.processes * count)
        for pieces in _batched(_sorted(missing_pieces(self.splits, self.cached, shard))):
            inputs, problems = self.processor.encode([piece.utterances for piece in pieces])
            present = inputs["modality_mask"][inputs["utterance_mask"]][:, 0].tolist()
            keys = [key for piece in pieces for key in piece.keys]
            tensors = {k: v for k, v in inputs.items() if k not in DIALOGUE_INPUTS}
            encoded = [key for key, here in zip(keys, present, strict=True) if here]
            yield tensors, encoded, sum(piece.missing for piece in pieces), problems


def missing_pieces(
    splits: Mapping[str, Iterable[Mapping[str, Any]]], cached: "CachedFeatures", shard: tuple[int, int] = (0, 1)
) -> Iterator[Piece]:
    """Yields the utterances that the store lacks, each once, as single utterances.

    Where the text backbone also reads neighbouring utterances, it yields whole dialogues.

    Args:
        shard: index and number of shards; a key belongs to the same shard wherever it occurs.
    """
    column = MODALITIES[cached.modality].column
    index, count = shard
    seen: set[str] = set()
    for split in splits.values():
        for row in split:
            utterances = row["utterances"]
            keys = cached.keys(utterances)
            wanted = []
            for utterance, key in zip(utterances, keys, strict=True):
                # An utterance without text or clip never has features.
                present = bool((utterance.get(column) or "").strip())
                wanted.append(present and key not in cached.store and key not in seen)
                if wanted[-1]:
                    seen.add(key)
            if not any(wanted):
                continue
            pieces = (
                [Piece(list(utterances), keys, sum(wanted))]
                if cached.reads_others
                else [Piece([u], [key], 1) for u, key, new in zip(utterances, keys, wanted, strict=True) if new]
            )
            yield from (piece for piece in pieces if int(piece.keys[0][:8], 16) % count == index)


def _sorted(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Sorts runs of pieces by length, so that batches need little padding."""
    pieces = iter(pieces)
    while run := sorted(itertools.islice(pieces, SORTED_PIECES), key=_length):
        yield from run


def _length(piece: Piece) -> float:
    """Returns the length of the longest utterance: seconds where the row has times, else characters."""
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
