"""A split of which some utterances are corrupted, and how well a trained model does on it."""

import copy
import dataclasses
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import f1_score
from torch import Tensor
from transformers import BatchFeature

from ..configuration_erc import MODALITIES
from ..features.decoded_media import DecodedMedia
from ..features.extraction import extract
from ..features.feature_cache import CachedFeatures, cache_frozen_features
from ..features.feature_store import FeatureStore
from ..losses_erc import IGNORE_INDEX
from ..processing_erc import ErcProcessor
from .corruptions import Corruption
from .finished_run import Prediction, Run, predict

# Where an utterance carries the corruption of a clip that is not decoded yet.
MARK = "corruption"


def hit(count: int, share: float, seed: int) -> np.ndarray:
    """Which utterances are corrupted, boolean `(count,)`: those of a smaller share are among those of a larger one.

    Example:
        >>> hit(4, 0.5, seed=0).sum()
        2
    """
    chosen = np.zeros(count, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(count)[: round(share * count)]] = True
    return chosen


def corrupt(rows: Sequence[Mapping[str, Any]], chosen: np.ndarray, corruption: Corruption) -> list[dict[str, Any]]:
    """Dialogues in which the chosen utterances are corrupted, or marked where their clips are not decoded yet.

    The chance in a corruption depends on the utterance and the kind alone: a stronger one takes the same words, and
    each utterance is corrupted in one way, whichever others are.

    Args:
        rows: dialogues of the schema.
        chosen: boolean, one for each utterance of all rows in turn.
        corruption: what happens to them.
    """
    draws = iter(chosen.tolist())
    changed = []
    for row in rows:
        utterances = []
        for place, utterance in enumerate(row["utterances"]):
            if not next(draws):
                utterances.append(utterance)
            elif corruption.decodes:
                utterances.append({**utterance, MARK: corruption})
            else:
                utterances.append(corruption(utterance, _generator(corruption, row["dialogue_id"], place)))
        changed.append({**row, "utterances": utterances})
    return changed


def _generator(corruption: Corruption, *place: Any) -> np.random.Generator:
    digest = hashlib.sha256(repr((type(corruption).__name__, *place)).encode(errors="surrogatepass"))
    return np.random.default_rng(int.from_bytes(digest.digest()[:8], "little"))


class CorruptedSplit:
    """A split with which a run is tested, corrupted or not.

    What the backbones say of an utterance is computed once for each corruption and strength, and the clean ones are
    those of the feature cache; which utterances are corrupted then only selects.

    Args:
        run: a finished one.
        split: one that its corpus has.
        folder: an empty folder for features, to be deleted afterwards.

    Raises:
        ValueError: nothing of it is labelled.
    """

    def __init__(self, run: Run, split: str, folder: Path) -> None:
        self.rows = list(run.splits[split])
        self.count = sum(len(row["utterances"]) for row in self.rows)
        self.workers = run.args.dataloader_num_workers
        args = copy.copy(run.args)
        # With features at hand there is nothing to decode, and a worker costs more than it does.
        args.dataloader_num_workers = 0
        self.run = dataclasses.replace(run, args=args)
        self.folder = folder
        cached, self.problems = cache_frozen_features(
            {split: self.rows}, run.model, run.processor, run.data_args.feature_folder, self.workers
        )
        stores = {transform.modality: transform.store for transform in cached}
        # A backbone that was trained does not change any more either.
        for modality in set(run.model.erc_model.encoders) - set(stores):
            stores[modality] = FeatureStore(folder / modality)
        self.transforms = [CorruptedFeatures(modality, store, run.processor) for modality, store in stores.items()]
        self.clean = weighted_f1(self.predict(self.rows))

    def scores(self, corruption: Corruption, shares: Sequence[float], seeds: Sequence[int]) -> np.ndarray:
        """Weighted F1 `(seeds, shares)` with a share of the utterances corrupted, each seed drawing others.

        Args:
            corruption: what happens to them.
            shares: from 0 to 1.
            seeds: which utterances.
        """
        scores = np.full((len(seeds), len(shares)), self.clean)
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            transforms = [transform.above(Path(folder) / transform.modality) for transform in self.transforms]
            for column, share in enumerate(shares):
                if share == 0:
                    continue
                for row, seed in enumerate(seeds):
                    rows = corrupt(self.rows, hit(self.count, share, seed), corruption)
                    scores[row, column] = weighted_f1(self.predict(rows, transforms))
                    if share == 1:
                        scores[:, column] = scores[row, column]
                        break
        return scores

    def predict(
        self, rows: Sequence[Mapping[str, Any]], transforms: Sequence["CorruptedFeatures"] | None = None
    ) -> Prediction:
        """What the model says of dialogues, corrupted or not; computes what the stores of features lack.

        Args:
            rows: as [`corrupt`] makes them.
            transforms: one for each backbone; default: those of the clean split.
        """
        transforms = self.transforms if transforms is None else transforms
        for transform in transforms:
            processor = _Corrupting(self.run.processor, transform.modality)
            extract({"rows": rows}, self.run.model, processor, transform, self.workers)  # type: ignore[dict-item]
        return predict(self.run, rows, transforms=transforms)


def weighted_f1(prediction: Prediction) -> float:
    """Over the labelled utterances.

    Raises:
        ValueError: there is none.
    """
    scored = prediction.labels != IGNORE_INDEX
    if not scored.any():
        raise ValueError("no labelled utterance to score: does the split carry labels?")
    labels, predicted = prediction.labels[scored], prediction.logits.argmax(-1)[scored]
    return float(f1_score(labels, predicted, average="weighted", zero_division=0))


class CorruptedFeatures(CachedFeatures):
    """[`CachedFeatures`] that tell a corrupted clip from the clean one of the same file.

    Corrupted words are other words, which is all that their features depend on.
    """

    def above(self, folder: Path) -> "CorruptedFeatures":
        """The same, with what is new written into a folder of its own."""
        other = copy.copy(self)
        other.store = _StoreAbove(folder, self.store)
        return other

    def _content(self, utterances: Sequence[Mapping[str, Any]], index: int) -> tuple[Any, ...]:
        content = super()._content(utterances, index)
        corruption = utterances[index].get(MARK)
        return (*content, repr(corruption)) if corruption and corruption.modality == self.modality else content


class _StoreAbove(FeatureStore):
    """A store that finds in another one what it does not hold itself."""

    def __init__(self, folder: Path, below: FeatureStore) -> None:
        super().__init__(folder)
        self.below = below

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self.below

    def __getitem__(self, key: str) -> Tensor:
        return super().__getitem__(key) if super().__contains__(key) else self.below[key]


class _Corrupting(ErcProcessor):
    """Decodes and corrupts the clips that are marked, and encodes one modality.

    Args:
        processor: whose settings it takes.
        modality: which.
    """

    def __init__(self, processor: ErcProcessor, modality: str) -> None:
        self.__dict__.update(processor.__dict__)
        self.modalities = [modality]
        # Nothing else is decoded.
        self.feature_extractor = processor.feature_extractor if modality == "audio" else None
        self.image_processor = processor.image_processor if modality == "vision" else None

    def encode(self, dialogues: Sequence[Any]) -> tuple[BatchFeature, list[str]]:
        """As the processor does."""
        return super().encode([[self._corrupted(utterance) for utterance in dialogue] for dialogue in dialogues])

    def _corrupted(self, utterance: dict[str, Any]) -> dict[str, Any]:
        corruption = utterance.get(MARK)
        if corruption is None or corruption.modality not in self.modalities:
            return utterance
        (decoded,) = DecodedMedia(self, budget=0)([utterance])
        # By the clip and not by the utterance: clips that several utterances share are encoded once.
        name = MODALITIES[corruption.modality].column
        where = (utterance[name], utterance.get("start"), utterance.get("video_start"))
        return corruption(decoded, _generator(corruption, *where))
