"""A linear probe: logistic regression on the frozen features of single utterances, without their dialogue."""

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from datasets_scripts import label_names

from ..configuration_erc import MODALITIES
from ..features.feature_cache import cache_frozen_features
from ..training.arguments import DataArguments
from ..training.build import build
from ..training.folds import train_and_dev
from ..training.model_arguments import ModelArguments
from .comparison import Predictions

# Inverse strength of the L2 penalty. Of 0.003, 0.01 and 0.03 the best one out of fold on RAVDESS.
INVERSE_PENALTY = 0.03


def probe_out_of_fold(
    model_args: ModelArguments,
    data_args: DataArguments,
    splits: Mapping[str, datasets.Dataset],
    groups: Sequence[Sequence[str]],
) -> Predictions:
    """Predicts each fold by a logistic regression that was fitted on the others.

    The input of an utterance is the mean and the standard deviation of each modality's features over its tokens,
    standardised; a missing modality has the mean of the others. Features of frozen backbones come from the cache.

    Args:
        model_args: modalities and backbones.
        data_args: input settings.
        splits: the corpus with `train` and `dev`; each utterance has one label or none.
        groups: dialogue ids of each fold.

    Returns:
        predictions for the labelled utterances of all folds, in the order of the dialogues.

    Raises:
        ValueError: the corpus has several labels or none, or a backbone is trained, so that it has no fixed features.
    """
    dialogues = train_and_dev(splits)
    names = label_names(dialogues)
    model, processor = build(model_args, data_args, splits, names)
    if not names or model.config.problem_type not in (None, "single_label_classification"):
        raise ValueError("--linear_probe: it needs a corpus with one label for each utterance")
    trained = set(model.erc_model.encoders) - set(model.config.frozen_modalities or [])
    if trained:
        raise ValueError(
            f"--linear_probe: the backbones of {', '.join(sorted(trained))} are trained, so they have no fixed "
            f"features: add --frozen_modalities {' '.join(sorted(trained))}"
        )
    cached, _ = cache_frozen_features({"train": dialogues}, model, processor, data_args.feature_folder)
    places, inputs, labels = [], [], []
    for row in sorted(dialogues, key=lambda row: row["dialogue_id"]):
        utterances = row["utterances"]
        for transform in cached:
            utterances = transform(utterances)
        for utterance in utterances:
            if utterance["label"] is not None:
                places.append((row["dialogue_id"], utterance["utterance_id"], names[utterance["label"]]))
                inputs.append([utterance.get(MODALITIES[m].features) for m in model.config.modalities])
                labels.append(utterance["label"])
    x = np.concatenate([pooled_tokens(column) for column in zip(*inputs, strict=True)], axis=1)
    true = np.array(labels)
    probabilities = np.zeros((len(true), len(names)))
    for group in groups:
        out = np.isin([place[0] for place in places], list(group))
        regression = LogisticRegression(C=INVERSE_PENALTY, max_iter=300)
        probe = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler(), regression)
        probe.fit(x[~out], true[~out])
        # A class may be absent from the other folds.
        probabilities[np.ix_(out, probe.classes_)] = probe.predict_proba(x[out])
    return Predictions(places, names, true, probabilities.argmax(axis=1), probabilities)


def pooled_tokens(values: Sequence[Any]) -> np.ndarray:
    """Returns mean and standard deviation over tokens, `(utterances, 2 * width)`; NaN where the features are missing.

    Args:
        values: features of each utterance, `(tokens, width)` or `(width,)`, or None.

    Raises:
        ValueError: no utterance has features.
    """
    arrays = [None if value is None else np.atleast_2d(np.asarray(value, dtype=np.float64)) for value in values]
    width = next((array.shape[1] for array in arrays if array is not None), None)
    if width is None:
        raise ValueError("--linear_probe: a modality of the recipe has no features in train and dev")
    missing = np.full(2 * width, np.nan)
    return np.stack([missing if a is None else np.concatenate([a.mean(axis=0), a.std(axis=0)]) for a in arrays])
