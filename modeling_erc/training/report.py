"""Report of a finished run, written beside its model: metrics, predictions, confusion matrix, card and settings."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.special import expit

from datasets_scripts import CORPORA

from ..configuration_erc import ErcConfig
from ..csv_cells import safe_cell
from ..hub.model_card import write_model_card
from ..hub.run_facts import METRIC_TITLES, RunFacts
from ..losses_erc import IGNORE_INDEX
from ..plain_json import json_text
from .calibration import calibration_error, fit_temperature
from .confusion import confusion_by_dialogue, score_intervals, scores_of
from .metrics import labelled, logits_of
from .prediction_table import prediction_columns, prediction_rows
from .target_metrics import columns_of, fit_thresholds
from .trainer import ErcTrainer


def write_report(
    trainer: ErcTrainer,
    splits: Mapping[str, Iterable[Mapping[str, Any]]],
    settings: dict[str, Any],
    facts: RunFacts,
    most_frequent: int,
) -> dict[str, Any]:
    """Evaluates a model and writes the results, the model and its processor into the run's folder.

    Args:
        trainer: holds the model that was chosen on dev.
        splits: splits to score, `dev` before `test`, because dev sets the temperature of the probabilities.
        settings: settings of the run; `train_hf.py <folder>/run_config.yaml` repeats it.
        facts: facts of the run for `run.json` and the model card.
        most_frequent: class that is most frequent in training; its scores are the floor of single labels.

    Returns:
        The content of `metrics.json`: for each split the scores of what the model predicts (see [`TaskMetric`]); for
        single labels also the calibration error with and without the temperature, 95 % `intervals` over dialogues and
        the `floor`; under `groups` the scores of the corpus' groups of dialogues if it has any.
    """
    folder = Path(str(trainer.args.output_dir))
    config = trainer.model.config
    single = config.num_classes and config.problem_type != "multi_label_classification"
    metrics: dict[str, Any] = {}
    rows: list[list[Any]] = []
    for split, dialogues in splits.items():
        prediction = trainer.predict(dialogues, metric_key_prefix=split)
        logits, label_ids = logits_of(prediction), prediction.label_ids
        calibration = _calibrate(config, logits, label_ids, fit=split == "dev") if single else {}
        if split == "dev" and config.problem_type == "multi_label_classification":
            known = labelled(label_ids)
            probabilities = expit(logits[known][:, : config.num_classes].astype(np.float64))
            config.label_thresholds = fit_thresholds(probabilities, columns_of(config, label_ids)[0][known])
        metrics[split] = {**trainer.metric.of_logits(logits, label_ids), **calibration}
        if single:
            metrics[split] |= _intervals_and_floor(config, logits, label_ids, most_frequent)
        groups = [CORPORA[facts.dataset].dialogue_group(row["dialogue_id"]) for row in dialogues]
        if any(groups):
            metrics[split]["groups"] = trainer.metric.of_groups(logits, label_ids, groups)
        rows += ([split, *row] for row in prediction_rows(config, dialogues, logits, label_ids))
    # In every process, since a model that is sharded over them is gathered for saving.
    trainer.model.merge_lora()
    # `_internal_call` saves without pushing: only the complete folder is pushed, by `trainer.push_to_hub`.
    trainer.save_model(_internal_call=True)
    if not trainer.is_world_process_zero():
        return metrics
    # Imported here, since matplotlib takes a second to import and training need not wait for it.
    from ..figures import plot_confusion

    with (folder / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
        header = ["split", *prediction_columns(config)]
        csv.writer(file).writerows(map(safe_cell, row) for row in [header, *rows])
    (folder / "metrics.json").write_text(json_text(metrics, indent=2) + "\n", encoding="utf-8")
    (folder / "run_config.yaml").write_text(yaml.safe_dump(settings, sort_keys=True), encoding="utf-8")
    last = list(splits)[-1]
    if (matrix := metrics[last].get("confusion_matrix")) is not None:
        names = trainer.metric.label_names
        plot_confusion(np.array(matrix), names, folder / "confusion_matrix.png", title=last)
    facts.save(folder)
    write_model_card(folder)
    return metrics


def _intervals_and_floor(
    config: ErcConfig, logits: np.ndarray, label_ids: np.ndarray, most_frequent: int
) -> dict[str, Any]:
    """Returns 95 % intervals of the scores over dialogues, and the scores of predicting one class for all utterances.

    Args:
        logits: `(dialogues, utterances, outputs)`.
        label_ids: `(dialogues, utterances)`, with targets `(dialogues, utterances, 1 + targets)`.
        most_frequent: the class.
    """
    labels = columns_of(config, label_ids)[0]
    dialogue, place = np.nonzero(labels != IGNORE_INDEX)
    true = labels[dialogue, place].astype(np.int64)
    predicted = logits[dialogue, place, : config.num_classes].argmax(axis=-1)
    constant = np.full_like(true, most_frequent)
    floor = scores_of(confusion_by_dialogue(true, constant, dialogue, config.num_classes).sum(axis=0))
    return {
        "intervals": score_intervals(confusion_by_dialogue(true, predicted, dialogue, config.num_classes)),
        "floor": {name: float(getattr(floor, name)) for name in METRIC_TITLES},
    }


def _calibrate(config: ErcConfig, logits: np.ndarray, label_ids: np.ndarray, *, fit: bool) -> dict[str, float]:
    """Returns the calibration errors of single labels; with `fit` first sets the temperature, also in `logits`.

    The splits that follow are predicted with this temperature.
    """
    count, labels = config.num_classes, columns_of(config, label_ids)[0]
    scored = labels != IGNORE_INDEX
    if not scored.any():
        return {}
    raw = logits[..., :count] * config.calibration_temperature
    if fit:
        config.calibration_temperature = fit_temperature(raw[scored], labels[scored])
        logits[..., :count] = raw / config.calibration_temperature
    return {
        "calibration_error": calibration_error(logits[..., :count][scored], labels[scored]),
        "calibration_error_without_temperature": calibration_error(raw[scored], labels[scored]),
    }
