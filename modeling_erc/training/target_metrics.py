"""Scores of targets and of several labels, as functions of sums over dialogues, which a bootstrap can draw again.

The conventions of the field, for a predicted value x and a true value y of n utterances:

- `mae`: mean of |x - y|, in units of the target. `pearson`: the correlation of x and y.
- `ccc`: concordance (Lin 1989), 2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))^2), with moments over all n
  utterances of the split at once, not averaged over dialogues or batches.
- `accuracy_2`, `f1_2`: positive against negative for utterances with y other than 0; x > 0 is positive.
- `accuracy_2_zeros`, `f1_2_zeros`: not negative (at least 0) against negative, for all utterances. Both F1 are weighted
  by the true utterances of the two classes, as in MMSA (Yu et al. 2021) and MulT (Tsai et al. 2019).
- `accuracy_7`: x and y rounded to whole numbers (halves to the even one) inside -3 to 3 are equal.
- For several labels, `macro_f1` is the mean F1 of the labels, `micro_f1` that of all decisions together, and
  `weighted_accuracy` the mean over labels of (true positive rate + true negative rate) / 2 (Zadeh et al. 2018). An
  F1 without positives, true or predicted, is 0, a rate without utterances 1/2.
- Scores of several targets are means over the targets that have them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from ..configuration_erc import ErcConfig
from ..hub.run_facts import titles_of
from ..losses_erc import IGNORE_INDEX
from .metrics import ErcMetric, labelled

CORRELATIONS = ("mae", "pearson", "ccc")
SIGNS = ("accuracy_2", "f1_2", "accuracy_2_zeros", "f1_2_zeros")


def target_sums(predicted: np.ndarray, true: np.ndarray, dialogue: np.ndarray) -> np.ndarray:
    """Returns the sums from which [`target_scores`] computes, `(dialogues, targets, 16)`.

    Args:
        predicted: `(n, targets)`.
        true: `(n, targets)`, NaN where a target is missing.
        dialogue: `(n,)` name or number of the utterance's dialogue.
    """
    known = np.isfinite(true)
    x, y = np.where(known, predicted, 0.0), np.where(known, true, 0.0)
    rounded = (np.rint(values.clip(-3, 3)) for values in (x, y))
    signs = [(x > 0, y > 0, known & (y != 0)), (x >= 0, y >= 0, known)]
    cells = [a & b & mask for up, truth, mask in signs for a in (truth, ~truth) for b in (up, ~up)]
    parts = [known, x, y, x * x, y * y, x * y, np.abs(x - y), np.equal(*rounded) & known, *cells]
    names, row = np.unique(dialogue, return_inverse=True)
    sums = np.zeros((len(names), true.shape[1], len(parts)))
    np.add.at(sums, row, np.stack(parts, axis=-1).astype(np.float64))
    return sums


def target_scores(sums: np.ndarray, ranges: Sequence[Sequence[float]]) -> dict[str, np.ndarray]:
    """Returns the scores of each target, `(..., targets)`, NaN where a target does not have the score.

    Args:
        sums: `(..., targets, 16)`, results of [`target_sums`] added over dialogues.
        ranges: smallest and largest value of each target in training. Only targets with both signs have scores of the
            sign, and only those that go beyond 1 and not beyond 3 on both sides have `accuracy_7`.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        count = sums[..., 0]
        x, y, xx, yy, xy, error, equal = np.moveaxis(sums[..., 1:8], -1, 0) / count
        var_x, var_y, cov = xx - x * x, yy - y * y, xy - x * y
        scores = {
            "mae": error,
            "pearson": cov / np.sqrt(var_x * var_y),
            "ccc": 2 * cov / (var_x + var_y + (x - y) ** 2),
        }
        for suffix, first in (("", 8), ("_zeros", 12)):
            cells = sums[..., first : first + 4]
            hits, total = cells[..., 0] + cells[..., 3], cells.sum(axis=-1)
            f1_up = 2 * cells[..., 0] / (2 * cells[..., 0] + cells[..., 1] + cells[..., 2])
            f1_down = 2 * cells[..., 3] / (2 * cells[..., 3] + cells[..., 1] + cells[..., 2])
            up, down = cells[..., 0] + cells[..., 1], cells[..., 2] + cells[..., 3]
            scores[f"accuracy_2{suffix}"] = hits / total
            scores[f"f1_2{suffix}"] = (np.nan_to_num(f1_up) * up + np.nan_to_num(f1_down) * down) / total
    low, high = np.asarray(ranges, dtype=np.float64).reshape(-1, 2).T
    signed, strengths = (low < 0) & (high > 0), (low >= -3) & (low < -1) & (high > 1) & (high <= 3)
    for name in SIGNS:
        scores[name] = np.where(signed, scores[name], np.nan)
    return {**scores, "accuracy_7": np.where(strengths, equal, np.nan)}


def label_sums(predicted: np.ndarray, true: np.ndarray, dialogue: np.ndarray) -> np.ndarray:
    """Returns true and false positives, false and true negatives of each label, `(dialogues, labels, 4)`.

    Args:
        predicted: boolean `(n, labels)`.
        true: `(n, labels)`, 1, 0, or NaN where a label is unknown.
        dialogue: `(n,)` name or number of the utterance's dialogue.
    """
    known, truth = np.isfinite(true), true == 1
    cells = [predicted & truth, predicted & ~truth, ~predicted & truth, ~predicted & ~truth]
    names, row = np.unique(dialogue, return_inverse=True)
    sums = np.zeros((len(names), true.shape[1], 4))
    np.add.at(sums, row, np.stack([cell & known for cell in cells], axis=-1).astype(np.float64))
    return sums


def label_scores(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the overall scores `(...)` and the `f1` of each label `(..., labels)` of added [`label_sums`]."""

    def ratio(part: np.ndarray, whole: np.ndarray, otherwise: float) -> np.ndarray:
        return np.where(whole > 0, part / np.maximum(whole, 1), otherwise)

    hits, false, missed, rest = np.moveaxis(sums, -1, 0)
    f1 = ratio(2 * hits, 2 * hits + false + missed, 0.0)
    total = [part.sum(axis=-1) for part in (hits, false, missed)]
    rates = ratio(hits, hits + missed, 0.5) + ratio(rest, rest + false, 0.5)
    return {
        "macro_f1": f1.mean(axis=-1),
        "micro_f1": ratio(2 * total[0], 2 * total[0] + total[1] + total[2], 0.0),
        "weighted_accuracy": rates.mean(axis=-1) / 2,
        "f1": f1,
    }


def mean_over_targets(scores: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the means `(...)` of the scores of targets `(..., targets)`, without scores that no target has."""
    found = {name: values for name, values in scores.items() if not np.isnan(values).all()}
    return {name: np.nanmean(values, axis=-1) for name, values in found.items()}


def fit_thresholds(probabilities: np.ndarray, true: np.ndarray) -> list[float]:
    """Returns for each label the probability, in steps of 0.01, from which predicting it has the highest F1.

    Args:
        probabilities: `(n, labels)`.
        true: `(n, labels)`, 1, 0, or NaN where a label is unknown.
    """
    steps = np.round(np.arange(0.05, 0.96, 0.01), 2)
    one = np.zeros(len(true))
    f1 = np.stack([label_scores(label_sums(probabilities >= step, true, one))["f1"][0] for step in steps])
    # The middle of equally good steps: the ends of a plateau are chance.
    best = [steps[column == column.max()] for column in f1.T]
    return [float(tied[len(tied) // 2]) for tied in best]


def columns_of(config: ErcConfig, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Splits labels in the form of `ErcLoss` into those of classes and targets, NaN where one is missing.

    Args:
        config: config of the model.
        labels: `(..., columns)`, or class indices `(...)`.

    Returns:
        class indices `(...)` or labels `(..., classes)`, and targets `(..., targets)`.
    """
    count = len(config.target_names or ())
    if config.problem_type != "multi_label_classification" and not count:
        return labels, np.zeros((*labels.shape, 0))
    numbers = np.where(labels == IGNORE_INDEX, np.nan, labels.astype(np.float64))
    targets = numbers[..., numbers.shape[-1] - count :]
    if config.problem_type == "multi_label_classification":
        return numbers[..., : config.num_classes], targets
    return (labels[..., 0].astype(np.int64) if config.num_classes else np.zeros(0)), targets


def thresholds_of(config: ErcConfig) -> np.ndarray:
    """Returns the probability from which each label is predicted, `(labels,)`."""
    return np.array(config.label_thresholds or [0.5] * config.num_classes)


class TaskMetric(ErcMetric):
    """The scores of whatever a model predicts: one label, several labels, targets, or labels and targets.

    Args:
        config: config of the model; its thresholds are read at each evaluation.
    """

    def __init__(self, config: ErcConfig, **kwargs: Any) -> None:
        self.config = config
        super().__init__([config.id2label[index] for index in range(config.num_classes)], **kwargs)

    def of_logits(self, logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Computes the scores over the labelled utterances of padded dialogues.

        Args:
            logits: `(dialogues, utterances, outputs)`.
            labels: in the form of `ErcLoss`.

        Returns:
            the scores of [`ErcMetric`] for single labels; overall scores and `per_class` for several labels; overall
            scores and `per_target` for targets.
        """
        config, count = self.config, self.config.num_classes
        scored = labelled(labels)
        classes, targets = columns_of(config, labels)
        result: dict[str, Any] = {}
        if config.problem_type == "multi_label_classification":
            result |= self._of_several(expit(logits[scored][:, :count].astype(np.float64)), classes[scored])
        elif count and (classes != IGNORE_INDEX).any():
            result |= super().of_logits(logits[..., :count], classes)
        if config.target_names and scored.any():
            result |= self._of_targets(logits[scored][:, count:].astype(np.float64), targets[scored])
        if not result:
            raise ValueError("no labelled utterance to score: does the split carry labels?")
        return result

    def _of_several(self, probabilities: np.ndarray, true: np.ndarray) -> dict[str, Any]:
        one = np.zeros(len(true))
        sums = label_sums(probabilities >= thresholds_of(self.config), true, one)[0]
        scores = label_scores(sums)
        hits, false, missed = sums.T[:3]
        rows = zip(
            hits / np.maximum(hits + false, 1),
            hits / np.maximum(hits + missed, 1),
            scores["f1"],
            hits + missed,
            strict=True,
        )
        per_class = {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
            for name, (p, r, f, s) in zip(self.label_names, rows, strict=True)
        }
        return {**{name: float(scores[name]) for name in titles_of(scores)}, "per_class": per_class}

    def _of_targets(self, predicted: np.ndarray, true: np.ndarray) -> dict[str, Any]:
        scores = target_scores(target_sums(predicted, true, np.zeros(len(true)))[0], self.config.target_ranges or ())
        per_target = {
            target: {
                **{name: float(values[place]) for name, values in scores.items() if np.isfinite(values[place])},
                "utterances": int(np.isfinite(true[:, place]).sum()),
            }
            for place, target in enumerate(self.config.target_names or ())
        }
        return {**{name: float(value) for name, value in mean_over_targets(scores).items()}, "per_target": per_target}
