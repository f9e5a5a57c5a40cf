"""Analyses a finished run on one split and writes the illustrated report."""

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from datasets_scripts import CORPORA

from ..fusion_erc import JointVectorFusion
from ..losses_erc import IGNORE_INDEX
from .finished_run import Prediction, Run, load_run, predict
from .html_report import write_illustrated_report
from .joint_attention import JointAttentionMeter
from .scores import Evaluated
from .sections import all_sections, attention_section
from .target_sections import target_sections

# Columns of an utterance in the report; others, such as features, would only use memory.
COLUMNS = ("utterance_id", "speaker", "text", "start", "end")


def analyse_run(
    checkpoint: Path, split: str = "test", *, out: Path | None = None, data_dir: str | None = None
) -> tuple[Path, Path]:
    """Runs the model of a finished run over a split and writes `report.html`, `report.md` and the figures.

    Args:
        checkpoint: folder of the run.
        split: `train`, `dev` or `test`.
        out: folder of the report; default: `analysis-SPLIT` in the run's folder.
        data_dir: folder of the raw corpus; default: that of the run.
    """
    run = load_run(checkpoint, data_dir=data_dir)
    if split not in run.splits:
        raise ValueError(f"{run.data_args.dataset} has no split {split!r}: choose one of {', '.join(run.splits)}")
    fusion = run.model.erc_model.fusion
    with ExitStack() as stack:
        meter = stack.enter_context(JointAttentionMeter(fusion)) if isinstance(fusion, JointVectorFusion) else None
        prediction = predict(run, run.splits[split])
    folder = out or checkpoint / f"analysis-{split}"
    folder.mkdir(parents=True, exist_ok=True)
    sections = target_sections(run.model.config, prediction, folder)
    if run.model.config.problem_type in ("multi_label_classification", "regression"):
        sections.append(attention_section(meter, folder))
    else:
        sections += all_sections(evaluated(run, split, prediction), folder, meter)
    title = f"Analysis of {checkpoint.resolve().name}"
    return write_illustrated_report(folder, title, lead(run, split, prediction), sections)


def evaluated(run: Run, split: str, prediction: Prediction) -> Evaluated:
    """Combines a prediction with the utterances of its split."""
    utterances = [utterance for row in run.splits["train"] for utterance in row["utterances"]]
    labels = (utterance["label"] for utterance in utterances)
    group_of = CORPORA[run.data_args.dataset].dialogue_group
    train_counts = Counter(run.label_names[label] for label in labels if label is not None)
    return Evaluated(
        name=split,
        class_names=run.model_labels,
        logits=prediction.logits,
        labels=prediction.labels,
        dialogue=prediction.dialogue,
        position=prediction.position,
        vectors=prediction.hidden if prediction.embeddings is None else prediction.embeddings,
        utterances=[
            {
                "dialogue_id": row["dialogue_id"],
                "group": group_of(row["dialogue_id"]),
                **{name: utterance[name] for name in COLUMNS},
            }
            for row in run.splits[split]
            for utterance in row["utterances"]
        ],
        train_counts=np.array([train_counts[name] for name in run.model_labels]),
        ordered=not run.data_args.clips_by_speaker,
    )


def lead(run: Run, split: str, prediction: Prediction) -> str:
    """Returns the first paragraph of the report: corpus, size of the split, model and missing modalities."""
    config = run.model.config
    missing = [
        f"{int(absent)} have no {modality}"
        for modality, absent in zip(config.modalities, (~prediction.modality_mask).sum(axis=0), strict=True)
        if absent
    ]
    labels = prediction.labels
    several = labels.ndim == 2
    scored = np.isfinite(labels).any(axis=1) if several else labels != IGNORE_INDEX
    scored = scored | np.isfinite(prediction.targets).any(axis=1)
    return (
        f"Corpus {run.data_args.dataset}, split {split}: {len(labels):,} utterances in "
        f"{len(np.unique(prediction.dialogue)):,} dialogues, {int(scored.sum()):,} of them labelled. "
        f"Modalities {', '.join(config.modalities)}; fusion {config.fusion}; contrastive loss {config.contrastive}; "
        f"seed {run.args.seed}." + (f" Of the utterances, {' and '.join(missing)}." if missing else "")
    )
