"""Scores a trained model on a split of which some utterances are corrupted."""

import copy
import dataclasses
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from transformers import BatchFeature

from ..configuration_erc import MODALITIES
from ..features.decoded_media import DecodedMedia
from ..features.extraction import extract
from ..features.feature_cache import CachedFeatures
from ..features.feature_store import FeatureStore
from ..processing_erc import ErcProcessor
from ..training.metrics import ErcMetric
from .corruptions import Corruption
from .finished_run import Prediction, Run, frozen_features, predict

# Key under which an utterance carries the corruption of a clip that is not decoded yet.
MARK = "corruption"


class CorruptedSplit:
    """A split on which a run is evaluated, with and without corruption.

    The backbones' features of an utterance are extracted once for each corruption and strength, and the clean ones come
    from the feature cache; which utterances are corrupted then only selects among them.

    Args:
        run: a finished run.
        split: a split of its corpus.
        folder: an empty temporary folder for features.

    Raises:
        ValueError: no utterance of the split has a label.
    """

    def __init__(self, run: Run, split: str, folder: Path) -> None:
        self.rows = list(run.splits[split])
        self.count = sum(len(row["utterances"]) for row in self.rows)
        self.folder, self.workers = folder, run.args.dataloader_num_workers
        cached, _ = frozen_features(run, self.rows)
        stores = {transform.modality: transform.store for transform in cached}
        # The weights of a trained backbone do not change any more either.
        for modality in set(run.model.erc_model.encoders) - set(stores):
            stores[modality] = FeatureStore(folder / modality)
        self.transforms = [CorruptedFeatures(modality, store, run.processor) for modality, store in stores.items()]
        args = copy.copy(run.args)
        # With stored features nothing is decoded, so that a worker costs more time than it saves.
        args.dataloader_num_workers = 0
        self.run = dataclasses.replace(run, args=args)
        self.metric = ErcMetric(run.model_labels)
        self.clean = self.score(self.predict(self.rows))

    def scores(self, corruption: Corruption, shares: Sequence[float], seeds: Sequence[int]) -> np.ndarray:
        """Returns the weighted F1 `(seeds, shares)` with a share of the utterances corrupted.

        Args:
            corruption: applied to the chosen utterances.
            shares: from 0 to 1.
            seeds: each chooses other utterances.
        """
        scores = np.full((len(seeds), len(shares)), self.clean)
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            transforms = [transform.above(Path(folder) / transform.modality) for transform in self.transforms]
            for column, share in enumerate(shares):
                if share == 0:
                    continue
                # There is only one way to choose all utterances.
                for row, seed in enumerate(seeds if share < 1 else seeds[:1]):
                    rows = corrupt(self.rows, hit(self.count, share, seed), corruption)
                    scores[row if share < 1 else slice(None), column] = self.score(self.predict(rows, transforms))
        return scores

    def score(self, prediction: Prediction) -> float:
        """Returns the weighted F1 of the labelled utterances."""
        return float(self.metric.of_logits(prediction.logits, prediction.labels)["weighted_f1"])

    def predict(
        self, rows: Sequence[Mapping[str, Any]], transforms: Sequence["CorruptedFeatures"] | None = None
    ) -> Prediction:
        """Runs the model over dialogues, corrupted or not; extracts features that the stores lack."""
        transforms = self.transforms if transforms is None else transforms
        for transform in transforms:
            processor = _CorruptingProcessor(self.run.processor, transform.modality)
            extract({"rows": rows}, self.run.model, processor, transform, self.workers)  # type: ignore[dict-item]
        return predict(self.run, rows, transforms=transforms)


def hit(count: int, share: float, seed: int) -> np.ndarray:
    """Chooses the corrupted utterances, boolean `(count,)`; those of a smaller share are a subset of a larger one's.

    Example:
        >>> hit(4, 0.5, seed=0).sum()
        2
    """
    chosen = np.zeros(count, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(count)[: round(share * count)]] = True
    return chosen


def corrupt(rows: Sequence[Mapping[str, Any]], chosen: np.ndarray, corruption: Corruption) -> list[dict[str, Any]]:
    """Corrupts the chosen utterances of dialogues, or marks them where their clips are not decoded yet.

    The random numbers depend only on the utterance and the kind of corruption. So a stronger corruption affects the
    same words, and an utterance is corrupted in the same way whichever others are chosen.
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


class CorruptedFeatures(CachedFeatures):
    """[`CachedFeatures`] with separate keys for a corrupted clip and the clean one of the same file.

    Corrupted text needs no mark: its key is made of the words themselves.
    """

    def above(self, folder: Path) -> "CorruptedFeatures":
        """Returns a copy that reads from the same store and writes new features into `folder`."""
        other = copy.copy(self)
        other.store = _StoreAbove(folder, self.store)
        return other

    def _content(self, utterances: Sequence[Mapping[str, Any]], index: int) -> tuple[Any, ...]:
        content = super()._content(utterances, index)
        corruption = utterances[index].get(MARK)
        return (*content, repr(corruption)) if corruption and corruption.modality == self.modality else content


class _StoreAbove(FeatureStore):
    """A store that falls back to another one for keys that it lacks."""

    def __init__(self, folder: Path, below: FeatureStore) -> None:
        super().__init__(folder)
        self.below = below

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self.below

    def __getitem__(self, key: str) -> Tensor:
        return super().__getitem__(key) if super().__contains__(key) else self.below[key]


class _CorruptingProcessor(ErcProcessor):
    """Encodes one modality; decodes and corrupts its marked clips first."""

    def __init__(self, processor: ErcProcessor, modality: str) -> None:
        self.__dict__.update(processor.__dict__)
        self.modalities = [modality]
        # Without them nothing else is decoded.
        self.feature_extractor = processor.feature_extractor if modality == "audio" else None
        self.image_processor = processor.image_processor if modality == "vision" else None

    def encode(self, dialogues: Sequence[Any]) -> tuple[BatchFeature, list[str]]:
        """Encodes dialogues as the processor does, with the marked clips corrupted."""
        return super().encode([[self._corrupted(utterance) for utterance in dialogue] for dialogue in dialogues])

    def _corrupted(self, utterance: dict[str, Any]) -> dict[str, Any]:
        corruption = utterance.get(MARK)
        if corruption is None or corruption.modality not in self.modalities:
            return utterance
        (decoded,) = DecodedMedia(self, budget=0)([utterance])
        # Seeded by the clip and not by the utterance: clips that several utterances share are encoded once.
        name = MODALITIES[corruption.modality].column
        where = (utterance[name], utterance.get("start"), utterance.get("video_start"))
        return corruption(decoded, _generator(corruption, *where))
