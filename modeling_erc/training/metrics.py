"""The metrics of the field as one `evaluate.Metric` that needs no network."""

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
from transformers import EvalPrediction

from ..hub.run_facts import titles_of
from ..losses_erc import IGNORE_INDEX

_DESCRIPTION = "Accuracy, weighted F1, macro F1 and per-class F1 of utterances, as the ERC literature reports them."


class ErcMetric(evaluate.Metric):
    """Accuracy, weighted F1, macro F1, and precision, recall, F1 and support of each class.

    The F1 of a class that is never predicted is zero. Macro F1 is the mean over all classes of the label set, present
    or not, as scikit-learn's `f1_score(..., labels=range(classes), average="macro", zero_division=0)`. By its default,
    without `labels`, scikit-learn averages over the classes that occur in the labels or the predictions, which gives a
    higher macro F1 where a class is absent.

    Args:
        label_names: classes in the order of their indices.

    Example:
        >>> metric = ErcMetric(["neutral", "joy"])
        >>> metric.compute(predictions=[0, 1, 1], references=[0, 1, 0])["accuracy"]
        0.6666666666666666
    """

    def __init__(self, label_names: list[str], **kwargs: Any) -> None:
        self.label_names = label_names
        super().__init__(keep_in_memory=True, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            features=datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}),
        )

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, Any]:
        classes = range(len(self.label_names))
        # Without the names, which might be those of the averages.
        from sklearn.metrics import classification_report, confusion_matrix  # a second to import

        report = classification_report(references, predictions, labels=classes, output_dict=True, zero_division=0)
        return {
            "accuracy": float(report["accuracy"]),
            "weighted_f1": float(report["weighted avg"]["f1-score"]),
            "macro_f1": float(report["macro avg"]["f1-score"]),
            "per_class": {
                name: {
                    "precision": float(row["precision"]),
                    "recall": float(row["recall"]),
                    "f1": float(row["f1-score"]),
                    "support": int(row["support"]),
                }
                for name, row in zip(self.label_names, (report[str(index)] for index in classes), strict=True)
            },
            "confusion_matrix": confusion_matrix(references, predictions, labels=classes).tolist(),
        }

    def of_logits(self, logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Computes the metrics over the labelled utterances of padded dialogues.

        Args:
            logits: `(dialogues, utterances, classes)`.
            labels: `(dialogues, utterances)`, -100 where nothing is scored.

        Raises:
            ValueError: no utterance has a label.
        """
        scored = labels != IGNORE_INDEX
        if not scored.any():
            raise ValueError("no labelled utterance to score: does the split carry labels?")
        result: dict[str, Any] = self.compute(predictions=logits.argmax(-1)[scored], references=labels[scored])
        return result

    def of_groups(
        self, logits: np.ndarray, labels: np.ndarray, groups: Sequence[str | None]
    ) -> dict[str, dict[str, float]]:
        """Computes the overall scores of groups of dialogues, such as scripted and improvised ones.

        Args:
            logits: `(dialogues, utterances, classes)`.
            labels: `(dialogues, utterances)`, -100 where nothing is scored.
            groups: group of each dialogue; None for a dialogue without one.

        Returns:
            For each group with labelled utterances, their number and the overall scores.
        """
        result: dict[str, dict[str, float]] = {}
        for group in sorted({name for name in groups if name is not None}):
            chosen = np.array([name == group for name in groups])
            if utterances := int(labelled(labels[chosen]).sum()):
                scores = self.of_logits(logits[chosen], labels[chosen])
                result[group] = {"utterances": utterances, **{name: scores[name] for name in titles_of(scores)}}
        return result

    def for_trainer(self, prediction: EvalPrediction) -> dict[str, float]:
        """Returns overall scores, `f1_<class>` and `ccc_<target>`, `mae_<target>`: `compute_metrics` of the Trainer."""
        result = self.of_logits(logits_of(prediction), prediction.label_ids)
        scores = {name: result[name] for name in titles_of(result)}
        scores |= {f"f1_{name}": row["f1"] for name, row in result.get("per_class", {}).items()}
        for name, row in result.get("per_target", {}).items():
            scores |= {f"{kind}_{name}": row[kind] for kind in ("ccc", "mae") if kind in row}
        return scores


def labelled(labels: np.ndarray) -> np.ndarray:
    """Returns which utterances have a label or a target, boolean `(dialogues, utterances)`; see `ErcLoss`."""
    known = np.asarray(labels != IGNORE_INDEX)
    return np.asarray(known.any(axis=-1)) if labels.ndim == 3 else known


def logits_of(prediction: Any) -> np.ndarray:
    """Returns the logits of a Trainer's prediction, `(dialogues, utterances, classes)`, without other outputs."""
    outputs = prediction.predictions
    logits: np.ndarray = outputs[0] if isinstance(outputs, tuple) else outputs
    return logits
