"""What a finished run leaves beside its model: metrics, predictions, confusion matrix, card and settings."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..hub.model_card import write_model_card
from ..hub.run_facts import RunFacts
from .trainer import ErcTrainer


def write_report(
    trainer: ErcTrainer,
    splits: Mapping[str, Iterable[Mapping[str, Any]]],
    label_names: list[str],
    settings: dict[str, Any],
    facts: RunFacts,
) -> dict[str, Any]:
    """Evaluates and writes everything into the run's folder.

    Args:
        trainer: with the model that was chosen on dev.
        splits: what to score: `dev` and `test`.
        label_names: the corpus' classes, in the order of the rows' label indices.
        settings: the run's settings, written so that `train_hf.py <folder>/run_config.yaml` repeats it.
        facts: what the model card tells besides.

    Returns:
        the content of `metrics.json`: for each split accuracy, weighted F1, macro F1, per class scores and the
        confusion matrix.
    """
    folder = Path(str(trainer.args.output_dir))
    names = trainer.metric.label_names
    metrics: dict[str, Any] = {}
    rows: list[list[Any]] = []
    for split, dialogues in splits.items():
        prediction = trainer.predict(dialogues, metric_key_prefix=split)
        logits = prediction.predictions[0] if isinstance(prediction.predictions, tuple) else prediction.predictions
        metrics[split] = trainer.metric.of_logits(logits, prediction.label_ids)
        rows += prediction_rows(split, dialogues, logits, label_names, names)
    # Every process takes part: a model that is spread over them is gathered to be saved.
    trainer.model.merge_lora()
    # Pushed is what is complete, by `trainer.push_to_hub`.
    trainer.save_model(_internal_call=True)
    if not trainer.is_world_process_zero():
        return metrics
    # matplotlib takes a second to import: training need not wait for it.
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
    """A row for each utterance: where it is from, who says what, its label, the prediction and each class' probability.

    Args:
        split: its name.
        dialogues: in the order of `logits`.
        logits: `(dialogues, utterances, classes)`, padded.
        corpus_labels: the classes of the rows.
        model_labels: the classes of the logits.
    """
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    scores = shifted / shifted.sum(axis=-1, keepdims=True)
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
                    *(f"{score:.6f}" for score in scores[index, place]),
                ]
            )
    return rows
