"""From the corpus to a batch: loading the splits, transforming utterances, collating dialogues."""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers.utils import logging

from datasets_scripts import DialogueRows, known_options, load_erc_dataset

from ..configuration_erc import MODALITIES, ErcConfig
from ..losses_erc import IGNORE_INDEX
from ..processing_erc import ErcProcessor, only
from .arguments import DataArguments
from .clips_by_speaker import clips_by_speaker
from .folds import held_out

logger = logging.get_logger(__name__)


def load_splits(data_args: DataArguments, seed: int) -> Mapping[str, datasets.Dataset]:
    """Loads the corpus of a run with its own splits, where set with [`clips_by_speaker`].

    A dev split that is drawn from the training dialogues is drawn with the run's seed, unless the option `dev_seed` is
    given, so that the spread over seeds includes that of the draw.

    Args:
        data_args: name, folder and options of the corpus.
        seed: seed of the run.
    """
    options = data_args.corpus_options
    if "dev_seed" in known_options(data_args.dataset):
        options = {"dev_seed": seed, **options}
    splits = load_erc_dataset(data_args.dataset, data_args.data_dir, **options)
    if not data_args.clips_by_speaker:
        return splits
    joined = {name: clips_by_speaker(name, split) for name, split in splits.items()}
    if all(len(joined[name]) == len(split) for name, split in splits.items()):
        logger.warning(
            "clips_by_speaker joins nothing, as no speaker has two single clips (is the column of the speakers "
            "mapped?): add --clips_by_speaker false --centered_modalities= --per_device_train_batch_size 32"
        )
    return joined


def load_corpus(data_args: DataArguments, seed: int) -> dict[str, DialogueRows]:
    """Loads the rows of the splits of a run, in a cross-validation those of its fold (see [`held_out`]).

    Of the training dialogues, `max_train_samples` are drawn by the seed.
    """
    splits = dict(load_splits(data_args, seed))
    if data_args.folds is not None:
        splits = held_out(splits, data_args.folds, data_args.fold)
    if data_args.max_train_samples is not None:
        if data_args.max_train_samples > (known := len(splits["train"])):
            raise ValueError(f"--max_train_samples {data_args.max_train_samples}: there are {known} training dialogues")
        splits["train"] = splits["train"].shuffle(seed).select(range(data_args.max_train_samples))
    return {name: DialogueRows(split) for name, split in splits.items()}


def corpus_fingerprint(splits: Mapping[str, Iterable[Mapping[str, Any]]]) -> str:
    """Hashes the ids, speakers, texts, labels and clips of all utterances, so that a resumed run finds its own corpus.

    Folders of the clips do not count, because a corpus may be moved.
    """
    digest = hashlib.sha256()
    for split, rows in splits.items():
        for row in rows:
            content = [
                (
                    *(u[name] for name in ("utterance_id", "speaker", "text", "label")),
                    Path(u["audio_path"] or "").name,
                    *(u[name] for name in ("labels", "targets") if name in u),
                )
                for u in row["utterances"]
            ]
            digest.update(repr((split, row["dialogue_id"], content)).encode(errors="surrogatepass"))
    return digest.hexdigest()[:16]


def check_splits(splits: Mapping[str, DialogueRows], required: Sequence[str] = ("train", "dev", "test")) -> None:
    """Raises `ValueError` where a split has no dialogue: training chooses by dev and reports test.

    Args:
        splits: the corpus.
        required: splits that the run needs.
    """
    missing = [name for name in required if not len(splits.get(name, ()))]
    if missing:
        sizes = ", ".join(f"{name} {len(rows)}" for name, rows in splits.items())
        note = next((f"; {rows.split_note}" for rows in splits.values() if rows.split_note), "")
        raise ValueError(
            f"the corpus has no dialogue in {', '.join(missing)} (dialogues: {sizes or 'none'}{note}): add one, or for "
            "a table more training dialogues to draw them from, and leave split_by at auto, dialogue or speaker"
        )


# Number of clips of each modality that are decoded before training.
SAMPLED_CLIPS = 32


def check_media(rows: Iterable[Mapping[str, Any]], processor: ErcProcessor) -> None:
    """Decodes a sample of the clips, spread over the training split, before a run that would ignore broken ones.

    Args:
        rows: dialogues of the training split.
        processor: decodes the modalities that the run uses.

    Raises:
        ValueError: more than half of the sampled clips of a modality cannot be decoded; the message names the first
            three and the reasons.
    """
    decoders = {"audio": processor.feature_extractor, "vision": processor.image_processor}
    clips: dict[str, list[Mapping[str, Any]]] = {name: [] for name, decoder in decoders.items() if decoder is not None}
    for row in rows if clips else ():
        for utterance in row["utterances"]:
            for modality in clips:
                if utterance.get(MODALITIES[modality].column) is not None:
                    clips[modality].append(utterance)
    for modality, found in clips.items():
        count = min(len(found), SAMPLED_CLIPS)
        sample = [found[i * len(found) // count] for i in range(count)]
        problems = [p for utterance in sample for p in processor.encode([[only([modality], dict(utterance))]])[1]]
        if len(problems) > count / 2:
            raise ValueError(
                f"{len(problems)} of {count} sampled {modality} clips of the training split cannot be decoded: "
                f"{'; '.join(problems[:3])}. Repair the files, or leave {modality} out of --modalities"
            )


# Changes the utterances of a dialogue before they are encoded, such as the feature cache.
DialogueTransform = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


class ErcCollator:
    """Collates dialogue rows into the model's inputs, `labels` and `media_problems`.

    Args:
        processor: encodes the dialogues.
        label_names: class names of the corpus, in the order of the rows' label indices.
        label2id: class indices of the model. Labels are matched by name, never by position.
        transforms: applied to each dialogue's utterances in turn.
        config: config of a model with several labels or targets, whose labels have the form of `ErcLoss`.

    Raises:
        ValueError: the model lacks a class of the corpus.
    """

    def __init__(
        self,
        processor: ErcProcessor,
        label_names: Sequence[str],
        label2id: Mapping[str, int],
        transforms: Sequence[DialogueTransform] = (),
        config: ErcConfig | None = None,
    ) -> None:
        self.targets = list((config.target_names if config else None) or ())
        self.problem_type = config.problem_type if config else None
        label_names = [] if self.problem_type == "regression" else label_names
        unknown = [name for name in label_names if name not in label2id]
        if unknown:
            raise ValueError(
                f"the corpus' label(s) {', '.join(unknown)} are unknown to the model, which has {', '.join(label2id)}: "
                "use a checkpoint of this label set, or train one"
            )
        self.processor = processor
        self.model_ids = [label2id[name] for name in label_names]
        self.classes = len(label2id)
        self.transforms = list(transforms)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Collates dialogues.

        Args:
            rows: dialogues of the schema.

        Returns:
            The processor's tensors, `labels` `(batch, utterances)` with -100 where nothing is scored, or with columns
            for several labels and targets (see `ErcLoss`), `media_problems`, one line for each clip that could not be
            used, and the `dialogue_ids`.
        """
        dialogues = []
        label_ids: list[Any] = []
        for row in rows:
            utterances = list(row["utterances"])
            for transform in self.transforms:
                utterances = transform(utterances)
            dialogues.append({"dialogue_id": row.get("dialogue_id"), "utterances": utterances})
            label_ids += map(self._labels, utterances)
        inputs, problems = self.processor.encode(dialogues)
        known = torch.tensor(label_ids)
        padded = known.new_full((*inputs["utterance_mask"].shape, *known.shape[1:]), IGNORE_INDEX)
        padded[inputs["utterance_mask"]] = known
        names = [dialogue["dialogue_id"] for dialogue in dialogues]
        return {**inputs, "labels": padded, "media_problems": problems, "dialogue_ids": names}

    def _labels(self, utterance: Mapping[str, Any]) -> int | list[float]:
        """Returns the class index of an utterance, or the columns of its labels and targets."""
        label = utterance.get("label")
        index = IGNORE_INDEX if label is None or not self.model_ids else self.model_ids[label]
        if self.problem_type == "multi_label_classification":
            columns = [float(IGNORE_INDEX)] * self.classes
            if utterance.get("labels") is not None:
                for place, model_id in enumerate(self.model_ids):
                    columns[model_id] = float(place in utterance["labels"])
        elif self.targets:
            columns = [] if self.problem_type == "regression" else [float(index)]
        else:
            return index
        return columns + [_target(value) for value in map((utterance.get("targets") or {}).get, self.targets)]


def _target(value: float | None) -> float:
    """Returns a target, -100 for a missing one; a value of -100 becomes the next number."""
    if value is None or math.isnan(value):
        return float(IGNORE_INDEX)
    return -99.9999 if value == IGNORE_INDEX else float(value)
