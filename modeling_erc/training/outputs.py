"""What a run predicts: the problem type that fits the corpus, and the statistics of its targets."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from datasets_scripts.schema import has_several_labels, target_names

from .model_arguments import LossArguments

# The score that chooses the checkpoint unless the recipe names one.
USUAL_METRICS = {"multi_label_classification": "macro_f1", "regression": "ccc"}


def output_settings(arguments: LossArguments, train: Any, label_names: list[str]) -> dict[str, Any]:
    """Returns the fields of `ErcConfig` that say what the model predicts.

    Args:
        arguments: `problem_type`, or None for what the corpus has: its labels, or else its targets.
        train: training split.
        label_names: classes of the corpus.

    Raises:
        ValueError: the corpus lacks what the problem type needs, or a target is constant.
    """
    targets, several = target_names(train), has_several_labels(train)
    classes = "multi_label_classification" if several else "single_label_classification"
    problem = arguments.problem_type or (classes if label_names else "regression")
    if problem == "regression" and not targets:
        raise ValueError("problem_type regression: the corpus has no targets; name them, as dataset_options targets")
    if problem != "regression" and (problem != classes or not label_names):
        has = "no labels" if not label_names else "several labels" if several else "one label of an utterance"
        raise ValueError(f"problem_type {problem}: the corpus has {has}")
    settings: dict[str, Any] = {} if problem == "single_label_classification" else {"problem_type": problem}
    if targets:
        settings |= {"target_names": targets, **target_statistics(train, targets)}
    if problem == "regression":
        return settings
    by_index = dict(enumerate(label_names))
    return {**settings, "id2label": by_index, "label2id": {name: index for index, name in by_index.items()}}


def target_statistics(train: Iterable[Mapping[str, Any]], names: list[str]) -> dict[str, Any]:
    """Returns mean, standard deviation and range of each target over the training utterances that have it.

    Raises:
        ValueError: a target has fewer than two different values in training.
    """
    values = [[(u.get("targets") or {}).get(name) for name in names] for row in train for u in row["utterances"]]
    table = np.array(values, dtype=np.float64).reshape(-1, len(names))
    for name, column in zip(names, table.T, strict=True):
        if len(np.unique(column[np.isfinite(column)])) < 2:
            raise ValueError(f"target {name} has fewer than two different values in training: leave it out of targets")
    return {
        "target_mean": np.nanmean(table, axis=0).tolist(),
        "target_scale": np.nanstd(table, axis=0).tolist(),
        "target_ranges": np.stack([np.nanmin(table, axis=0), np.nanmax(table, axis=0)], axis=1).tolist(),
    }


def class_balance(train: Iterable[Mapping[str, Any]], num_labels: int, weighting: float) -> dict[str, Any]:
    """Returns `class_weights` and `class_priors` of the training utterances.

    Args:
        train: dialogues whose label indices are those of the model.
        num_labels: number of classes; 0 for `regression`.
        weighting: exponent of the inverse frequencies, scaled to a mean weight of 1 over the training utterances; of
            several labels the exponent of the ratio of utterances without and with the label. 0 for no weights.
    """
    rows = [utterance for row in train for utterance in row["utterances"]]
    if any(utterance.get("labels") is not None for utterance in rows):
        known = [utterance["labels"] for utterance in rows if utterance["labels"] is not None]
        counts = torch.bincount(torch.tensor([index for own in known for index in own]), minlength=num_labels).double()
        weights = ((len(known) - counts).clamp(min=1) / counts.clamp(min=1)) ** weighting
        return {
            "class_weights": weights.tolist() if weighting else None,
            "class_priors": (counts / len(known)).tolist(),
        }
    labels = [utterance["label"] for utterance in rows if utterance["label"] is not None]
    if not (num_labels and labels):
        return {"class_weights": None, "class_priors": None}
    counts = torch.bincount(torch.tensor(labels), minlength=num_labels).double()
    return {"class_weights": class_weights(counts, weighting), "class_priors": (counts / counts.sum()).tolist()}


def class_weights(counts: torch.Tensor, power: float) -> list[float] | None:
    """Computes class weights 1 / frequency ** power, scaled to a mean weight of 1 over the training utterances.

    Args:
        counts: `(classes,)` training utterances.
        power: exponent; 0 returns `None`, no weights.
    """
    if not power:
        return None
    weights = counts.clamp(min=1) ** -power
    scaled: list[float] = (weights * counts.sum() / (weights * counts).sum()).tolist()
    return scaled
