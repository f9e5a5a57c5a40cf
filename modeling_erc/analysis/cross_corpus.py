"""From the classes of two corpora to the emotions that both know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets_scripts.labels import SHARED_EMOTIONS, LabelSet

from ..configuration_erc import MODALITIES, ErcConfig
from ..training.metrics import ErcMetric
from .finished_run import Run, predict


@dataclass(frozen=True)
class LabelMapping:
    """The emotions that two label sets share, and the classes that stand for them.

    Args:
        emotions: in the order of `SHARED_EMOTIONS`.
        train: the emotion of each class of the corpus that was trained on; None for a class that is left out.
        test: likewise, of the corpus that is scored.
    """

    emotions: tuple[str, ...]
    train: dict[str, str | None]
    test: dict[str, str | None]

    @classmethod
    def between(cls, train: LabelSet, test: LabelSet) -> "LabelMapping":
        """The mapping between two label sets.

        Raises:
            ValueError: they share fewer than two emotions, so that there is nothing to tell apart.

        Example:
            >>> from datasets_scripts import LABEL_SETS
            >>> LabelMapping.between(LABEL_SETS["meld"], LABEL_SETS["iemocap4"]).emotions
            ('neutral', 'sadness', 'joy', 'anger')
        """
        both = set(train.shared.values()) & set(test.shared.values())
        emotions = tuple(emotion for emotion in SHARED_EMOTIONS if emotion in both)
        if len(emotions) < 2:
            raise ValueError(
                f"{_told(train)} and {_told(test)} share {', '.join(emotions) or 'no emotion'}: at least two are "
                f"needed. Classes are matched as datasets_scripts/labels.py says, those of a table where they are "
                f"called {', '.join(SHARED_EMOTIONS)}"
            )
        maps = [{name: s if s in emotions else None for name, s in known.shared.items()} for known in (train, test)]
        return cls(emotions, *maps)

    def probabilities(self, probabilities: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Probabilities of the shared emotions, those of classes that stand for one emotion summed.

        Classes without a counterpart have no part in the decision: what is left sums to 1.

        Args:
            probabilities: `(n, classes)` of the corpus that was trained on.
            names: its classes, in the order of the columns.

        Returns:
            `(n, emotions)`.
        """
        columns = [[self.train[name] == emotion for name in names] for emotion in self.emotions]
        summed = probabilities @ np.array(columns, dtype=probabilities.dtype).T
        return np.asarray(summed / summed.sum(axis=1, keepdims=True))

    def describe(self) -> list[str]:
        """A line for each emotion: the classes of either corpus that stand for it."""
        lines = []
        for emotion in self.emotions:
            sides = [", ".join(n for n, e in side.items() if e == emotion) for side in (self.train, self.test)]
            lines.append(f"{emotion}: {sides[0]} -> {sides[1]}")
        return lines


def _told(labels: LabelSet) -> str:
    return f"{labels.name} ({', '.join(labels.names)})"


def emotions_of(labels: Sequence[str | None], classes: dict[str, str | None]) -> list[str | None]:
    """The shared emotion of each label; None for one without, which is not scored."""
    return [None if label is None else classes[label] for label in labels]


def left_out(labels: Sequence[str | None], classes: dict[str, str | None]) -> dict[str, int]:
    """Classes without a counterpart, and how many of the labels are of each."""
    return {name: sum(label == name for label in labels) for name, emotion in classes.items() if emotion is None}


SCORES = {"accuracy": "accuracy", "weighted_f1": "weighted F1", "macro_f1": "macro F1"}


def common_modalities(config: ErcConfig, rows: Any) -> list[str]:
    """The model's modalities of which a split has something that the model can read.

    Args:
        config: the model's.
        rows: dialogues of another corpus.
    """
    columns = rows.features["utterances"].feature
    found = []
    for modality in config.modalities:
        width = (config.feature_sizes or {}).get(modality)
        name = MODALITIES[modality].column if width is None else MODALITIES[modality].features
        fits = name in columns and (width is None or columns[name].length == width)
        if fits and any(utterance[name] is not None for row in rows for utterance in row["utterances"]):
            found.append(modality)
    return found


def usable(rows: Any, config: ErcConfig) -> list[dict[str, Any]]:
    """Dialogues without the feature columns that the model was not made for, which would take the raw inputs' place."""
    columns = rows.features["utterances"].feature
    sizes = config.feature_sizes or {}
    unfit = {
        names.features
        for m, names in MODALITIES.items()
        if names.features in columns and columns[names.features].length != sizes.get(m)
    }
    return [
        {**row, "utterances": [{k: v for k, v in u.items() if k not in unfit} for u in row["utterances"]]}
        for row in rows
    ]


def score(
    run: Run,
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    mapping: LabelMapping,
    classes: dict[str, str | None],
) -> dict[str, Any]:
    """Metrics over the shared emotions.

    Args:
        run: the model.
        rows: dialogues.
        names: the classes of the rows' label indices.
        mapping: to the shared emotions.
        classes: of these rows, its `train` or its `test`.

    Returns:
        what [`ErcMetric`] gives, with `utterances`, `left_out`, and as `majority` the scores of always naming the
        emotion that is most frequent in these very rows.

    Raises:
        ValueError: no utterance has one of the shared emotions.
    """
    given = [None if u["label"] is None else names[u["label"]] for row in rows for u in row["utterances"]]
    # The classes may be none of the model's.
    unlabelled = [{**row, "utterances": [{**u, "label": None} for u in row["utterances"]]} for row in rows]
    logits = torch.from_numpy(predict(run, unlabelled).logits).double()
    probabilities = mapping.probabilities(logits.softmax(dim=-1).numpy(), run.model_labels)
    true = emotions_of(given, classes)
    scored = np.array([emotion is not None for emotion in true])
    if not scored.any():
        raise ValueError(f"no utterance to score is {' or '.join(mapping.emotions)}")
    references = np.array([mapping.emotions.index(emotion) for emotion in true if emotion is not None])
    metric = ErcMetric(list(mapping.emotions))
    predictions = probabilities.argmax(axis=1)[scored]
    majority = np.full_like(references, np.bincount(references).argmax())
    floor = metric.compute(predictions=majority, references=references)
    return {
        "utterances": len(references),
        "left_out": left_out(given, classes),
        **metric.compute(predictions=predictions, references=references),
        "majority": {name: floor[name] for name in SCORES},
    }


def markdown(report: Mapping[str, Any], mapping: LabelMapping) -> str:
    """What `cross.json` holds, for a reader."""
    train, test, scores = report["train"], report["test"], report["scores"]
    masked = ", ".join(report["masked_modalities"])
    columns = {f"{train}, its own": scores["within"], f"{test}, never seen": scores["across"]}
    lines = [
        f"# {train} to {test}",
        "",
        f"Trained on {train} (`{Path(report['run']).name}`), scored on {report['split']} of both over the emotions "
        f"that they share. Modalities: {', '.join(report['modalities'])}"
        + (f"; masked on {test}, which has none of it: {masked}." if masked else "."),
        "",
        *(f"- {line}" for line in mapping.describe()),
        f"- without counterpart in {test}, left out of every decision: {_counts(scores['within']['left_out'])}",
        f"- without counterpart in {train}, not scored: {_counts(scores['across']['left_out'])}",
        "",
        "| | " + " | ".join(columns) + " |",
        "| --- " * (1 + len(columns)) + "|",
        "| utterances | " + " | ".join(str(column["utterances"]) for column in columns.values()) + " |",
    ]
    for name, told in SCORES.items():
        lines.append(f"| {told} | " + " | ".join(f"{column[name]:.4f}" for column in columns.values()) + " |")
    lines.append(
        "| weighted F1 of its most frequent emotion alone | "
        + " | ".join(f"{column['majority']['weighted_f1']:.4f}" for column in columns.values())
        + " |"
    )
    for emotion in mapping.emotions:
        rows = [column["per_class"][emotion] for column in columns.values()]
        lines.append(f"| F1 of {emotion} | " + " | ".join(f"{r['f1']:.3f} (of {r['support']})" for r in rows) + " |")
    return "\n".join(lines) + "\n"


def _counts(left: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in left.items()) or "none"
