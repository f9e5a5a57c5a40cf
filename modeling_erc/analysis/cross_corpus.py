"""Scores a model on another corpus, over the emotions that both corpora have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from datasets_scripts import erc_builder
from datasets_scripts.labels import SHARED_EMOTIONS, LabelSet
from datasets_scripts.publishing.markdown import markdown_table

from ..configs import find_config
from ..configuration_erc import MODALITIES, ErcConfig
from ..hub.model_card import refresh_limits
from ..hub.run_facts import METRIC_TITLES
from ..plain_json import json_text
from ..training.arguments import ErcArgumentParser
from ..training.clips_by_speaker import clips_by_speaker
from ..training.confusion import confusion_by_dialogue, score_intervals
from ..training.metrics import ErcMetric
from ..training.train import main as train
from .finished_run import Run, load_run, predict
from .html_report import with_interval


def score_across(
    source: Path,
    test: str,
    out: Path,
    *,
    train_dir: Path | None = None,
    test_dir: Path | None = None,
    test_options: Mapping[str, Any] | None = None,
    label_map: Mapping[str, str | None] | None = None,
    split: str = "test",
    options: Sequence[str] = (),
) -> str:
    """Scores a run on another corpus and on its own, over the same emotions; writes `cross.md` and `cross.json`.

    Everything that can be refused is refused before a recipe is trained.

    Args:
        source: folder of a finished run, or a recipe, which is trained into `out/run` first.
        options: further options of `train_hf.py`, for a recipe; all other arguments are the options of `cross`.

    Returns:
        the text of `cross.md`.

    Raises:
        FileNotFoundError: there is no such recipe or run, or a corpus is not there.
        ValueError: the corpora share fewer than two emotions, or no modality, or a corpus lacks the split.
    """
    builder = erc_builder(test, test_dir, **(test_options or {}))
    run = load_run(source, data_dir=train_dir) if source.is_dir() else None
    recipe = [str(source), *([] if train_dir is None else ["--data_dir", str(train_dir)]), *options]
    if run:
        data_args = run.data_args
    else:
        find_config(source)
        _, data_args, _, _ = ErcArgumentParser().parse(recipe, default_config=source)
    own = erc_builder(data_args.dataset, data_args.data_dir, **data_args.corpus_options)
    mapping = LabelMapping.between(own.label_set, builder.label_set, label_map)
    print("\n".join(["classes of both corpora by emotion:", *mapping.describe()]))
    builder.download_and_prepare()
    other = builder.as_dataset()
    if split not in other:
        raise ValueError(f"--split {split}: {test} has {', '.join(other)}")
    if run is None:
        train([*recipe, "--output_dir", str(out / "run")])
        run = load_run(out / "run")
    run.require_single_labels("cross")
    if split not in run.splits:
        raise ValueError(f"--split {split}: {data_args.dataset} has {', '.join(run.splits)}")
    config = run.model.config
    unseen = other[split]
    if run.data_args.clips_by_speaker:
        unseen = clips_by_speaker(split, unseen)
    common = common_modalities(config, unseen)
    if not common:
        raise ValueError(
            f"{run.folder} takes {', '.join(config.modalities)}, of which {test} has nothing "
            "(precomputed features count only with the width that the model was trained on)"
        )
    within = score(run, list(run.splits[split]), run.label_names, mapping, mapping.train)
    across = score(run, usable(unseen, config), list(builder.label_set.names), mapping, mapping.test)
    report = {
        "run": str(run.folder),
        "train": data_args.dataset,
        "test": test,
        "split": split,
        "modalities": common,
        "masked_modalities": [m for m in config.modalities if m not in common],
        "emotions": list(mapping.emotions),
        "mapping": {"train": mapping.train, "test": mapping.test},
        "scores": {"within": within, "across": across},
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "cross.json").write_text(json_text(report, indent=2) + "\n", encoding="utf-8")
    text = markdown(report, mapping)
    (out / "cross.md").write_text(text, encoding="utf-8")
    refresh_limits(run.folder)
    return text


@dataclass(frozen=True)
class LabelMapping:
    """The emotions that two label sets share, and the emotion of each class.

    Args:
        emotions: in the order of `SHARED_EMOTIONS`.
        train: emotion of each class of the training corpus; None for a class without a counterpart.
        test: emotion of each class of the scored corpus; None for a class without a counterpart.
    """

    emotions: tuple[str, ...]
    train: dict[str, str | None]
    test: dict[str, str | None]

    @classmethod
    def between(
        cls, train: LabelSet, test: LabelSet, label_map: Mapping[str, str | None] | None = None
    ) -> "LabelMapping":
        """Returns the mapping between two label sets.

        Args:
            train: classes of the training corpus.
            test: classes of the scored corpus.
            label_map: emotion of each class, of either corpus, that is to be matched in another way than by the table
                of aliases in `datasets_scripts/labels.py`; None for a class that is left out.

        Raises:
            ValueError: they share fewer than two emotions, or `label_map` names no class or no emotion of theirs.

        Example:
            >>> from datasets_scripts import LABEL_SETS
            >>> LabelMapping.between(LABEL_SETS["meld"], LABEL_SETS["iemocap4"]).emotions
            ('neutral', 'sadness', 'joy', 'anger')
        """
        given = dict(label_map or {})
        unknown = [name for name in given if name not in {*train.names, *test.names}]
        unknown += [emotion for emotion in given.values() if emotion is not None and emotion not in SHARED_EMOTIONS]
        if unknown:
            raise ValueError(
                f"label_map: {', '.join(map(repr, unknown))}: it maps classes of {', '.join(train.names)} and "
                f"{', '.join(test.names)} to {', '.join(SHARED_EMOTIONS)} or null"
            )
        shared = [{name: given.get(name, s) for name, s in known.shared.items()} for known in (train, test)]
        both = set(shared[0].values()) & set(shared[1].values())
        emotions = tuple(emotion for emotion in SHARED_EMOTIONS if emotion in both)
        if len(emotions) < 2:
            first, second = (f"{labels.name} ({', '.join(labels.names)})" for labels in (train, test))
            raise ValueError(
                f"{first} and {second} share {', '.join(emotions) or 'no emotion'}: at least two are needed. "
                "Classes are matched by their usual names; match others with label_map, such as "
                '{"fury": "anger"}'
            )
        maps = [{name: s if s in emotions else None for name, s in side.items()} for side in shared]
        return cls(emotions, *maps)

    def probabilities(self, probabilities: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """Returns the probabilities of the shared emotions, summed over the classes of each.

        Classes without a counterpart are ignored, and the others are renormalised.

        Args:
            probabilities: `(n, classes)` of the training corpus.
            names: its classes, in the order of the columns.

        Returns:
            `(n, emotions)`; rows sum to 1.
        """
        columns = [[self.train[name] == emotion for name in names] for emotion in self.emotions]
        summed = probabilities @ np.array(columns, dtype=probabilities.dtype).T
        return np.asarray(summed / summed.sum(axis=1, keepdims=True))

    def describe(self) -> list[str]:
        """Returns a line for each emotion with its classes in both corpora."""
        lines = []
        for emotion in self.emotions:
            sides = [", ".join(n for n, e in side.items() if e == emotion) for side in (self.train, self.test)]
            lines.append(f"{emotion}: {sides[0]} -> {sides[1]}")
        return lines


def common_modalities(config: ErcConfig, rows: Any) -> list[str]:
    """Returns the model's modalities for which a split has inputs that the model can read."""
    columns = rows.features["utterances"].feature
    common = []
    for modality in config.modalities:
        width = (config.feature_sizes or {}).get(modality)
        name = MODALITIES[modality].column if width is None else MODALITIES[modality].features
        fits = name in columns and (width is None or columns[name].length == width)
        if fits and any(utterance[name] is not None for row in rows for utterance in row["utterances"]):
            common.append(modality)
    return common


def usable(rows: Any, config: ErcConfig) -> list[dict[str, Any]]:
    """Returns dialogues without feature columns of another width, which would replace the raw inputs."""
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
    """Computes metrics over the shared emotions.

    Args:
        run: a finished run.
        rows: dialogues.
        names: classes of the rows' label indices.
        mapping: to the shared emotions.
        classes: `train` or `test` of the mapping, whichever these rows are of.

    Returns:
        the result of [`ErcMetric`], with the number of scored `utterances`, the counts of classes that are `left_out`,
        the scores of always predicting the most frequent emotion of these rows as `majority`, and the bounds of 95 %
        `intervals` of a bootstrap over dialogues.

    Raises:
        ValueError: no utterance has one of the shared emotions.
    """
    labels = [None if u["label"] is None else names[u["label"]] for row in rows for u in row["utterances"]]
    # The model may lack these classes.
    unlabelled = [{**row, "utterances": [{**u, "label": None} for u in row["utterances"]]} for row in rows]
    logits = predict(run, unlabelled).logits.astype(np.float64)
    emotions = [None if label is None else classes[label] for label in labels]
    scored = np.array([emotion is not None for emotion in emotions])
    if not scored.any():
        raise ValueError(f"no utterance to score is {' or '.join(mapping.emotions)}")
    predictions = mapping.probabilities(softmax(logits, axis=1), run.model_labels).argmax(axis=1)[scored]
    references = np.array([mapping.emotions.index(emotion) for emotion in emotions if emotion is not None])
    metric = ErcMetric(list(mapping.emotions))
    majority = np.full_like(references, np.bincount(references).argmax())
    floor = metric.compute(predictions=majority, references=references)
    dialogue = np.repeat(np.arange(len(rows)), [len(row["utterances"]) for row in rows])[scored]
    by_dialogue = confusion_by_dialogue(references, predictions, dialogue, len(mapping.emotions))
    return {
        "utterances": len(references),
        "left_out": {name: labels.count(name) for name, emotion in classes.items() if emotion is None},
        **metric.compute(predictions=predictions, references=references),
        "majority": {name: floor[name] for name in METRIC_TITLES},
        "intervals": score_intervals(by_dialogue),
    }


def markdown(report: Mapping[str, Any], mapping: LabelMapping) -> str:
    """Formats the content of `cross.json` for a reader."""
    train, test, columns = report["train"], report["test"], list(report["scores"].values())
    left = [", ".join(f"{n} ({count})" for n, count in c["left_out"].items()) or "none" for c in columns]
    masked = ", ".join(report["masked_modalities"])
    items = [
        *mapping.describe(),
        f"without counterpart in {test}, never predicted: {left[0]}",
        f"without counterpart in {train}, not scored: {left[1]}",
    ]
    rows = [
        ["utterances", *(column["utterances"] for column in columns)],
        *(
            [title, *(with_interval(column[name], column["intervals"][name]) for column in columns)]
            for name, title in METRIC_TITLES.items()
        ),
        [
            "weighted F1 of its most frequent emotion alone",
            *(f"{column['majority']['weighted_f1']:.4f}" for column in columns),
        ],
    ]
    for emotion in mapping.emotions:
        classes = [column["per_class"][emotion] for column in columns]
        rows.append([f"F1 of {emotion}", *(f"{c['f1']:.3f} (of {c['support']})" for c in classes)])
    return "\n".join(
        [
            f"# {train} to {test}",
            "",
            f"Trained on {train} (`{Path(report['run']).name}`), scored on {report['split']} of both corpora over the "
            f"emotions that they share. Modalities: {', '.join(report['modalities'])}"
            + (f"; masked on {test}, which lacks them: {masked}." if masked else ".")
            + " Brackets hold 95 % intervals over dialogues: with other test dialogues, not with other training runs.",
            "",
            *(f"- {item}" for item in items),
            "",
            markdown_table(["", f"{train} (trained on)", f"{test} (unseen)"], rows),
            "",
        ]
    )
