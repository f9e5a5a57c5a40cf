"""Decoupled training: the joint classifier is fitted again once the features that it reads are trained."""

import numpy as np
import torch
from accelerate.utils import parse_flag_from_env
from transformers.utils import logging

from ..configuration_erc import ErcConfig
from .metrics import labelled
from .trainer import ErcTrainer

logger = logging.get_logger(__name__)

# Prior of a class without a training label, relative to the lowest bias of the others.
UNSEEN = 1e-6


def can_refit(config: ErcConfig) -> bool:
    """Returns whether the joint classifier can be fitted again, and warns where it cannot."""
    reason = None
    if config.target_names:
        reason = "numbers are predicted"
    elif config.problem_type == "multi_label_classification":
        reason = "an utterance may have several labels"
    elif config.modality_logit_weight:
        reason = (
            f"modality_logit_weight {config.modality_logit_weight:g} averages the joint classifier with those of the "
            "modalities; set it to 0"
        )
    elif parse_flag_from_env("ACCELERATE_USE_FSDP"):
        reason = "FSDP keeps a part of the classifier in each process"
    if reason:
        logger.warning(f"refit_classifier has no effect: {reason}")
    return reason is None


def refit_classifier(trainer: ErcTrainer) -> None:
    """Fits the joint classifier again on the features of the training split, in place; everything else stays.

    Features that were trained on all utterances alike often separate rare classes better than the classifier that was
    trained with them (decoupled training, Kang et al. 2020, arXiv 1910.09217). Theirs is trained again on balanced
    classes; this one has a closed form.

    Args:
        trainer: holds the trained model and the training split. Every process fits the same classifier.
    """
    config = trainer.model.config
    ignored = [name for name in config.keys_to_ignore_at_inference if name != "last_hidden_state"]
    prediction = trainer.predict(trainer.train_dataset, ignore_keys=ignored, metric_key_prefix="train")
    known = labelled(prediction.label_ids)
    labels = prediction.label_ids[known]
    if len(np.unique(labels)) < 2:
        logger.warning("refit_classifier: training has labels of one class only, so the classifier stays as it is")
        return
    weight, bias = linear_discriminant(prediction.predictions[1][known], labels, config.num_classes)
    with torch.no_grad():
        trainer.model.classifier.weight.copy_(torch.tensor(weight))
        trainer.model.classifier.bias.copy_(torch.tensor(bias))


def linear_discriminant(features: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Fits a linear discriminant analysis, whose classes are normal distributions of one covariance.

    The covariance is shrunk (Ledoit and Wolf 2004), and the prior of a class is its share of the labels.

    Args:
        features: `(n, width)`.
        labels: `(n,)`, at least two different ones.
        classes: number of classes; those without a label have a constant logit, below the bias of all others.

    Returns:
        weight `(classes, width)` and bias `(classes,)` of the logits.
    """
    # Imported here, since scikit-learn takes half a second to import.
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features.astype(np.float64))
    fitted = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(scaler.transform(features), labels)
    coefficients, intercepts = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:  # one logit, that of the second class
        coefficients, intercepts = (np.concatenate([-values, values]) / 2 for values in (coefficients, intercepts))
    weight = np.zeros((classes, features.shape[1]))
    weight[fitted.classes_] = coefficients / scaler.scale_
    bias = np.full(classes, intercepts.min() + np.log(UNSEEN))
    bias[fitted.classes_] = intercepts - weight[fitted.classes_] @ scaler.mean_
    return weight, bias
