"""`cross --train A --test B`: trains on one corpus and tests on another, through the emotions that they share."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets_scripts import FEATURE_COLUMNS, RAW_COLUMNS, erc_builder

from ..analysis.label_mapping import LabelMapping, emotions_of, left_out
from ..analysis.model_card import refresh_limits
from ..configuration_erc import ErcConfig
from ..training.arguments import DataArguments, ErcArgumentParser
from ..training.checkpoint import Run, load_run, predict
from ..training.metrics import ErcMetric

SCORES = {"accuracy": "accuracy", "weighted_f1": "weighted F1", "macro_f1": "macro F1"}


def main(argv: list[str]) -> None:
    """Scores a run on another corpus and on its own, over the same emotions; writes `cross.md` and `cross.json`.

    Raises:
        FileNotFoundError: no such config or run, or a corpus is not there.
        ValueError: the corpora share fewer than two emotions, or no modality.
    """
    parser = argparse.ArgumentParser(
        prog="python -m modeling_erc cross",
        description="Train on one corpus, test on another through the emotions that they share.",
        epilog="With a config, whatever else is given goes to train_hf.py: --num_train_epochs 3 --seed 1",
        allow_abbrev=False,
    )
    parser.add_argument("--train", required=True, type=Path, metavar="A", help="a config, or a run's folder")
    parser.add_argument("--train_dir", type=Path, help="folder of A's corpus; a run knows where its own was")
    parser.add_argument("--test", required=True, metavar="B", help="name of a corpus: meld, emorynlp, ...")
    parser.add_argument("--test_dir", type=Path, help="its folder")
    parser.add_argument("--test_options", type=_options, default={}, metavar="JSON", help="its options")
    parser.add_argument("--split", default="test", help="of both corpora (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, help="folder of the results; default: cross/B in a run, else runs/cross-A-B"
    )
    args, others = parser.parse_known_args(argv)
    if args.train.is_dir() and others:
        parser.error(f"unknown: {' '.join(others)}; a finished run is not trained again")
    default = args.train / "cross" / args.test if args.train.is_dir() else None
    out: Path = args.out or default or Path("runs") / f"cross-{args.train.stem}-{args.test}"

    # What cannot be is told before anything is trained.
    builder = erc_builder(args.test, args.test_dir, **args.test_options)
    run = load_run(args.train, data_dir=args.train_dir) if args.train.is_dir() else None
    recipe = [str(args.train), *([] if args.train_dir is None else ["--data_dir", str(args.train_dir)]), *others]
    data_args = run.data_args if run else recipe_data(args.train, recipe)
    own = erc_builder(data_args.dataset, data_args.data_dir, **data_args.corpus_options)
    mapping = LabelMapping.between(own.label_set, builder.label_set)
    builder.download_and_prepare()
    other = builder.as_dataset()
    if args.split not in other:
        raise ValueError(f"--split {args.split}: {args.test} has {', '.join(other)}")
    if run is None:
        from train_hf import main as train

        train([*recipe, "--output_dir", str(out / "run")])
        run = load_run(out / "run")
    if args.split not in run.splits:
        raise ValueError(f"--split {args.split}: {data_args.dataset} has {', '.join(run.splits)}")

    config = run.model.config
    common = common_modalities(config, other[args.split])
    if not common:
        raise ValueError(
            f"{run.folder} takes {', '.join(config.modalities)}, of which {args.test} has nothing "
            "(precomputed features count where they are of the width that the model was trained on)"
        )
    here = score(run, list(run.splits[args.split]), run.label_names, mapping, mapping.train)
    there = score(run, usable(other[args.split], config), list(builder.label_set.names), mapping, mapping.test)
    report = {
        "run": str(run.folder),
        "train": data_args.dataset,
        "test": args.test,
        "split": args.split,
        "modalities": common,
        "masked_modalities": [m for m in config.modalities if m not in common],
        "emotions": list(mapping.emotions),
        "mapping": {"train": mapping.train, "test": mapping.test},
        "scores": {"within": here, "across": there},
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "cross.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    text = markdown(report, mapping)
    (out / "cross.md").write_text(text, encoding="utf-8")
    refresh_limits(run.folder)
    print(f"\n{text}\neverything is in {out}")


def recipe_data(config: Path, recipe: list[str]) -> DataArguments:
    """Which corpus a recipe trains on.

    Args:
        config: its file.
        recipe: the command line for `train_hf.py`.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not config.is_file():
        raise FileNotFoundError(f"--train {config}: neither a config nor the folder of a run")
    _, data_args, _, _ = ErcArgumentParser().parse(recipe, default_config=config)
    return data_args


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
        name = RAW_COLUMNS[modality] if width is None else FEATURE_COLUMNS[modality]
        fits = name in columns and (width is None or columns[name].length == width)
        if fits and any(utterance[name] is not None for row in rows for utterance in row["utterances"]):
            found.append(modality)
    return found


def usable(rows: Any, config: ErcConfig) -> list[dict[str, Any]]:
    """Dialogues without the feature columns that the model was not made for, which would take the raw inputs' place."""
    columns = rows.features["utterances"].feature
    sizes = config.feature_sizes or {}
    unfit = {n for m, n in FEATURE_COLUMNS.items() if n in columns and columns[n].length != sizes.get(m)}
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


def _options(text: str) -> dict[str, Any]:
    try:
        options = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from error
    if not isinstance(options, dict):
        raise argparse.ArgumentTypeError(f'{text!r}: expected {{"option": value}}')
    return options
