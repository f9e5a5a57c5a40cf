"""The rows of `predictions.csv`: labels, predictions and probabilities of every utterance."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from scipy.special import expit, softmax

from ..configuration_erc import ErcConfig
from ..losses_erc import IGNORE_INDEX
from .target_metrics import columns_of, thresholds_of

# Joins several labels in a cell, and stands for none of them.
JOINT, NONE = " + ", "none"
TRUE, PREDICTED = " (true)", " (predicted)"


def prediction_columns(config: ErcConfig) -> list[str]:
    """Returns the header of [`prediction_rows`].

    The columns are two for each target, then for classes `label`, `prediction` and the probability of each class. With
    several labels the two are called `labels` and `predictions`.
    """
    columns = ["dialogue_id", "utterance_id", "speaker", "text"]
    columns += [name + kind for name in config.target_names or () for kind in (TRUE, PREDICTED)]
    if config.num_classes:
        several = config.problem_type == "multi_label_classification"
        columns += ["labels", "predictions"] if several else ["label", "prediction"]
        columns += [config.id2label[index] for index in range(config.num_classes)]
    return columns


def prediction_rows(
    config: ErcConfig, dialogues: Iterable[Mapping], logits: np.ndarray, labels: np.ndarray
) -> Iterator[list[Any]]:
    """Yields a row for each utterance, with the cells of [`prediction_columns`].

    Args:
        config: config of the model.
        dialogues: rows in the order of `logits`.
        logits: `(dialogues, utterances, outputs)`, padded.
        labels: in the form of `ErcLoss`.
    """
    count = config.num_classes
    names = [config.id2label[index] for index in range(count)]
    several = config.problem_type == "multi_label_classification"
    scores = logits[..., :count]
    probabilities = expit(scores) if several or not count else softmax(scores, axis=-1)
    chosen = probabilities >= thresholds_of(config) if several else probabilities
    classes, targets = columns_of(config, labels)
    for row, dialogue in enumerate(dialogues):
        for place, utterance in enumerate(dialogue["utterances"]):
            cells = [
                dialogue["dialogue_id"],
                utterance["utterance_id"],
                utterance["speaker"],
                utterance.get("text") or "",
            ]
            for true, predicted in zip(targets[row, place], logits[row, place, count:], strict=True):
                cells += ["" if np.isnan(true) else float(f"{true:g}"), round(float(predicted), 6)]
            if several:
                known, own = classes[row, place], chosen[row, place]
                cells += ["" if np.isnan(known).all() else _joined(names, known == 1), _joined(names, own)]
            elif count:
                label = classes[row, place]
                cells += ["" if label == IGNORE_INDEX else names[label], names[probabilities[row, place].argmax()]]
            yield [*cells, *(f"{probability:.6f}" for probability in probabilities[row, place])]


def _joined(names: list[str], chosen: np.ndarray) -> str:
    return JOINT.join(name for name, own in zip(names, chosen, strict=True) if own) or NONE
