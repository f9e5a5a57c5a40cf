"""Report of a finished run, written beside its model: metrics, predictions, confusion matrix, card and settings."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.special import softmax

from ..hub.model_card import write_model_card
from ..hub.run_facts import RunFacts
from .metrics import logits_of
from .trainer import ErcTrainer


def write_report(
    trainer: ErcTrainer,
    splits: Mapping[str, Iterable[Mapping[str, Any]]],
    label_names: list[str],
    settings: dict[str, Any],
    facts: RunFacts,
) -> dict[str, Any]:
    """Evaluates a model and writes the results, the model and its processor into the run's folder.

    Args:
        trainer: holds the model that was chosen on dev.
        splits: splits to score, `dev` and `test`.
        label_names: classes of the corpus, in the order of the rows' label indices.
        settings: settings of the run; `train_hf.py <folder>/run_config.yaml` repeats it.
        facts: facts of the run for `run.json` and the model card.

    Returns:
        The content of `metrics.json`: for each split accuracy, weighted F1, macro F1, per-class scores and the
        confusion matrix.
    """
    folder = Path(str(trainer.args.output_dir))
    names = trainer.metric.label_names
    metrics: dict[str, Any] = {}
    rows: list[list[Any]] = []
    for split, dialogues in splits.items():
        prediction = trainer.predict(dialogues, metric_key_prefix=split)
        logits = logits_of(prediction)
        metrics[split] = trainer.metric.of_logits(logits, prediction.label_ids)
        rows += prediction_rows(split, dialogues, logits, label_names, names)
    # In every process, since a model that is sharded over them is gathered for saving.
    trainer.model.merge_lora()
    # `_internal_call` saves without pushing: only the complete folder is pushed, by `trainer.push_to_hub`.
    trainer.save_model(_internal_call=True)
    if not trainer.is_world_process_zero():
        return metrics
    # Imported here, since matplotlib takes a second to import and training need not wait for it.
    from ..figures import plot_confusion

    with (folder / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["split", "dialogue_id", "utterance_id", "speaker", "text", "label", "prediction", *names])
        writer.writerows(rows)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    (folder / "run_config.yaml").write_text(yaml.safe_dump(settings, sort_keys=True), encoding="utf-8")
    last = list(splits)[-1]
    plot_confusion(np.array(metrics[last]["confusion_matrix"]), names, folder / "confusion_matrix.png", title=last)
    facts.save(folder)
    write_model_card(folder)
    return metrics


def prediction_rows(
    split: str,
    dialogues: Iterable[Mapping[str, Any]],
    logits: np.ndarray,
    corpus_labels: list[str],
    model_labels: list[str],
) -> list[list[Any]]:
    """Returns one row for each utterance: its place, speaker, text, label, prediction and class probabilities.

    Args:
        split: name of the split.
        dialogues: rows in the order of `logits`.
        logits: `(dialogues, utterances, classes)`, padded.
        corpus_labels: classes of the rows.
        model_labels: classes of the logits.
    """
    probabilities = softmax(logits, axis=-1)
    rows = []
    for index, dialogue in enumerate(dialogues):
        for place, utterance in enumerate(dialogue["utterances"]):
            label = utterance["label"]
            rows.append(
                [
                    split,
                    dialogue["dialogue_id"],
                    utterance["utterance_id"],
                    utterance["speaker"],
                    utterance.get("text"),
                    "" if label is None else corpus_labels[label],
                    model_labels[int(logits[index, place].argmax())],
                    *(f"{probability:.6f}" for probability in probabilities[index, place]),
                ]
            )
    return rows
