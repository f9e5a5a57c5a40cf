"""`cross --train A --test B`: trains on one corpus and tests on another, through the emotions that they share."""

import argparse
import json
from pathlib import Path
from typing import Any

from datasets_scripts import erc_builder

from ..analysis.cross_corpus import LabelMapping, common_modalities, markdown, score, usable
from ..analysis.finished_run import load_run
from ..configs import find_config
from ..hub.model_card import refresh_limits
from ..training.arguments import DataArguments, ErcArgumentParser


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
        from ..training.train import main as train

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
    find_config(config)
    _, data_args, _, _ = ErcArgumentParser().parse(recipe, default_config=config)
    return data_args


def _options(text: str) -> dict[str, Any]:
    try:
        options = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from error
    if not isinstance(options, dict):
        raise argparse.ArgumentTypeError(f'{text!r}: expected {{"option": value}}')
    return options
