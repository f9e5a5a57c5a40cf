"""Report of a finished run, written beside its model: metrics, predictions, confusion matrix, card and settings."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from datasets_scripts import CORPORA

from ..csv_cells import safe_cell
from ..hub.model_card import write_model_card
from ..hub.run_facts import RunFacts
from ..losses_erc import IGNORE_INDEX
from ..plain_json import json_text
from .calibration import calibration_error, fit_temperature
from .metrics import logits_of, prediction_rows
from .trainer import ErcTrainer


def write_report(
    trainer: ErcTrainer,
    splits: Mapping[str, Iterable[Mapping[str, Any]]],
    settings: dict[str, Any],
    facts: RunFacts,
) -> dict[str, Any]:
    """Evaluates a model and writes the results, the model and its processor into the run's folder.

    Args:
        trainer: holds the model that was chosen on dev.
        splits: splits to score, `dev` before `test`, because dev sets the temperature of the probabilities.
        settings: settings of the run; `train_hf.py <folder>/run_config.yaml` repeats it.
        facts: facts of the run for `run.json` and the model card.

    Returns:
        The content of `metrics.json`: for each split accuracy, weighted F1, macro F1, per-class scores, the confusion
        matrix, and the calibration error with and without the temperature; under `groups` the scores of the corpus'
        groups of dialogues if it has any.
    """
    folder = Path(str(trainer.args.output_dir))
    names = trainer.metric.label_names
    metrics: dict[str, Any] = {}
    rows: list[list[Any]] = []
    for split, dialogues in splits.items():
        prediction = trainer.predict(dialogues, metric_key_prefix=split)
        logits, scored = logits_of(prediction), prediction.label_ids != IGNORE_INDEX
        labels = prediction.label_ids[scored]
        config = trainer.model.config
        raw = logits * config.calibration_temperature
        if split == "dev":
            # The splits that follow are predicted with this temperature.
            config.calibration_temperature = fit_temperature(raw[scored], labels)
            logits = raw / config.calibration_temperature
        metrics[split] = {
            **trainer.metric.of_logits(logits, prediction.label_ids),
            "calibration_error": calibration_error(logits[scored], labels),
            "calibration_error_without_temperature": calibration_error(raw[scored], labels),
        }
        groups = [CORPORA[facts.dataset].dialogue_group(row["dialogue_id"]) for row in dialogues]
        if any(groups):
            metrics[split]["groups"] = trainer.metric.of_groups(logits, prediction.label_ids, groups)
        rows += ([split, *row] for row in prediction_rows(dialogues, logits, prediction.label_ids, names))
    # In every process, since a model that is sharded over them is gathered for saving.
    trainer.model.merge_lora()
    # `_internal_call` saves without pushing: only the complete folder is pushed, by `trainer.push_to_hub`.
    trainer.save_model(_internal_call=True)
    if not trainer.is_world_process_zero():
        return metrics
    # Imported here, since matplotlib takes a second to import and training need not wait for it.
    from ..figures import plot_confusion

    with (folder / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
        header = ["split", "dialogue_id", "utterance_id", "speaker", "text", "label", "prediction", *names]
        csv.writer(file).writerows(map(safe_cell, row) for row in [header, *rows])
    (folder / "metrics.json").write_text(json_text(metrics, indent=2) + "\n", encoding="utf-8")
    (folder / "run_config.yaml").write_text(yaml.safe_dump(settings, sort_keys=True), encoding="utf-8")
    last = list(splits)[-1]
    plot_confusion(np.array(metrics[last]["confusion_matrix"]), names, folder / "confusion_matrix.png", title=last)
    facts.save(folder)
    write_model_card(folder)
    return metrics
