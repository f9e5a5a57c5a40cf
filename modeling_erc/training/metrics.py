"""The field's metrics as one `evaluate.Metric` that needs no network."""

from typing import Any

import datasets
import evaluate
import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from transformers import EvalPrediction

from ..losses_erc import IGNORE_INDEX

_DESCRIPTION = "Accuracy, weighted F1, macro F1 and per-class F1 of utterances, as the ERC literature reports them."


class ErcMetric(evaluate.Metric):
    """Accuracy, weighted F1, macro F1, and precision, recall, F1 and support of each class.

    F1 is as scikit-learn computes it, zero for a class without a prediction. Macro F1 is over all classes, present or
    not.

    Args:
        label_names: the classes in the order of their indices.

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
        predicted, true = np.asarray(predictions), np.asarray(references)
        precision, recall, f1, support = precision_recall_fscore_support(
            true, predicted, labels=classes, zero_division=0
        )
        return {
            "accuracy": float((predicted == true).mean()),
            "weighted_f1": float(np.average(f1, weights=support)),
            "macro_f1": float(f1.mean()),
            "per_class": {
                name: {
                    "precision": float(precision[i]),
                    "recall": float(recall[i]),
                    "f1": float(f1[i]),
                    "support": int(support[i]),
                }
                for i, name in enumerate(self.label_names)
            },
            "confusion_matrix": confusion_matrix(true, predicted, labels=classes).tolist(),
        }

    def of_logits(self, logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Metrics over the labelled utterances of padded dialogues.

        Args:
            logits: `(dialogues, utterances, classes)`.
            labels: `(dialogues, utterances)`, -100 where nothing is scored.
        """
        scored = labels != IGNORE_INDEX
        if not scored.any():
            raise ValueError("no labelled utterance to score: does the split carry labels?")
        result: dict[str, Any] = self.compute(predictions=logits.argmax(-1)[scored], references=labels[scored])
        return result

    def for_trainer(self, prediction: EvalPrediction) -> dict[str, float]:
        """`compute_metrics` of the Trainer: the scalars, with a class' F1 as `f1_<name>`."""
        logits = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
        result = self.of_logits(logits, prediction.label_ids)
        scores = {name: result[name] for name in ("accuracy", "weighted_f1", "macro_f1")}
        return {**scores, **{f"f1_{name}": row["f1"] for name, row in result["per_class"].items()}}
