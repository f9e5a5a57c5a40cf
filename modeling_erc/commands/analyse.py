"""`analyse CKPT [--split test] [--out DIR]`: where a finished run errs, as one illustrated report."""

import argparse
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ..analysis.finished_run import Prediction, Run, load_run, predict
from ..analysis.html_report import write_illustrated_report
from ..analysis.joint_attention import JointAttentionMeter
from ..analysis.scores import Evaluated
from ..analysis.sections import all_sections
from ..fusion_erc import JointVectorFusion

# What the report reads of an utterance: features would only fill the memory.
TOLD = ("utterance_id", "speaker", "text", "start", "end")


def main(argv: list[str]) -> None:
    """Runs the model of a run's folder over a split and writes `report.html`, `report.md` and the pictures.

    Raises:
        FileNotFoundError: the folder is not that of a finished run, or the corpus is not where it was.
        ValueError: the corpus has no such split, or the split no label.
    """
    parser = argparse.ArgumentParser(
        prog="python -m modeling_erc analyse", description="Says where a finished run errs."
    )
    parser.add_argument("checkpoint", type=Path, metavar="CKPT", help="folder that train_hf.py wrote")
    parser.add_argument("--split", default="test", help="train, dev or test (default: test)")
    parser.add_argument("--out", type=Path, help="folder of the report (default: CKPT/analysis-SPLIT)")
    parser.add_argument("--data_dir", help="folder of the raw corpus (default: the run's)")
    asked = parser.parse_args(argv)
    run = load_run(asked.checkpoint, data_dir=asked.data_dir)
    if asked.split not in run.splits:
        raise ValueError(f"{run.data_args.dataset} has no split {asked.split!r}: choose one of {', '.join(run.splits)}")

    fusion = run.model.erc_model.fusion
    with ExitStack() as stack:
        meter = stack.enter_context(JointAttentionMeter(fusion)) if isinstance(fusion, JointVectorFusion) else None
        prediction = predict(run, run.splits[asked.split])
    found = evaluated(run, asked.split, prediction)
    folder = asked.out or asked.checkpoint / f"analysis-{asked.split}"
    folder.mkdir(parents=True, exist_ok=True)
    name = asked.checkpoint.resolve().name
    page, text = write_illustrated_report(
        folder, f"Analysis of {name}", lead(run, found, prediction), all_sections(found, folder, meter)
    )
    print(f"{page} holds all in one file; {text} has its pictures beside it")


def evaluated(run: Run, split: str, prediction: Prediction) -> Evaluated:
    """Prediction and rows as the analysis takes them."""
    rows = run.splits[split]
    model_labels = run.model_labels
    given = (utterance["label"] for row in run.splits["train"] for utterance in row["utterances"])
    labelled = Counter(run.label_names[label] for label in given if label is not None)
    return Evaluated(
        name=split,
        class_names=model_labels,
        logits=prediction.logits,
        labels=prediction.labels,
        dialogue=prediction.dialogue,
        position=prediction.position,
        vectors=prediction.hidden if prediction.embeddings is None else prediction.embeddings,
        utterances=[
            {"dialogue_id": row["dialogue_id"], **{name: utterance[name] for name in TOLD}}
            for row in rows
            for utterance in row["utterances"]
        ],
        train_counts=np.array([labelled[name] for name in model_labels]),
    )


def lead(run: Run, found: Evaluated, prediction: Prediction) -> str:
    """What the report is about, in a few sentences."""
    config = run.model.config
    missing = [
        f"{int(absent)} have no {modality}"
        for modality, absent in zip(config.modalities, (~prediction.modality_mask).sum(axis=0), strict=True)
        if absent
    ]
    return (
        f"Corpus {run.data_args.dataset}, split {found.name}: {len(found.labels):,} utterances in "
        f"{len(np.unique(found.dialogue)):,} dialogues, {int(found.scored.sum()):,} of them labelled. "
        f"Modalities {', '.join(config.modalities)}; fusion {config.fusion}; contrastive loss {config.contrastive}; "
        f"seed {run.args.seed}." + (f" Of the utterances, {' and '.join(missing)}." if missing else "")
    )
