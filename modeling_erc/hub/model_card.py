"""The model card and the Hub's evaluation results of a run, written from `run.json` and `metrics.json`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, ModelCardData, eval_result_entries_to_yaml

from datasets_scripts.publishing.markdown import markdown_table

from ..configuration_erc import MODALITIES
from .redaction import is_hub_id, public, public_settings
from .run_facts import TITLES, RunFacts, score_rows, titles_of

# Jinja templates of the cards.
CARDS = Path(__file__).with_name("cards")
LIMITS_START = "<!-- limits: robustness and cross write between these marks -->"
LIMITS_END = "<!-- end of limits -->"
# Metrics that the Hub knows by their key.
_HUB_METRICS = ["accuracy", "f1", "mae"]
TAGS = ["emotion-recognition-in-conversation", "multimodal"]


def write_model_card(folder: Path) -> Path:
    """Writes `README.md`, with a model-index in its front matter, and `.eval_results/*.yaml` where they apply.

    Args:
        folder: folder of a run with `run.json` and `metrics.json`; the results of `robustness` and `cross` in it are
            included.

    Returns:
        Path of the card.
    """
    facts = RunFacts.load(folder)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    write_eval_results(folder, metrics, facts)
    last_split, last = list(metrics.items())[-1]
    data = ModelCardData(
        model_name=facts.title,
        license=facts.license,
        library_name="transformers",
        pipeline_tag=facts.hub_task,
        language=facts.language,
        datasets=None if facts.hub_dataset is None else [facts.hub_dataset],
        tags=TAGS,
        metrics=["mae"] if "mae" in last and "accuracy" not in last else ["accuracy", "f1"],
        base_model=[source for source in facts.backbones.values() if is_hub_id(source)] or None,
        eval_results=eval_results(metrics, facts),
    )
    baseline = [f"fusion `{facts.fusion}`"] * (facts.fusion != "joint_vector")
    baseline += [f"contrastive loss `{facts.contrastive}`"] * (facts.contrastive != "inter_class")
    card = ModelCard.from_template(
        data,
        template_path=str(CARDS / "model_card.md"),
        facts=facts,
        classes=list(last.get("per_class", ())),
        targets=list(last.get("per_target", ())),
        several="weighted_accuracy" in last,
        example=example(facts),
        intended_use=(CARDS / "intended_use.md").read_text(encoding="utf-8").strip(),
        results=score_table("split", score_rows(metrics)),
        intervals="intervals" in last,
        last_split=last_split,
        calibration=[last[key] for key in CALIBRATION if key in last],
        per_class=_per_class(last),
        per_target=_per_target(last),
        limits=limits(folder),
        backbones={modality: _backbone(source) for modality, source in facts.backbones.items()},
        recogniser=_backbone(str(facts.settings.get("transcribe", ""))),
        settings=yaml.safe_dump(public_settings(facts.settings)).strip(),
        baseline=" and ".join(baseline),
    )
    path = folder / "README.md"
    card.save(path)
    return path


# Keys of a split in `metrics.json`; a run of version 0.1 has none.
CALIBRATION = ("calibration_error", "calibration_error_without_temperature")


def example(facts: RunFacts) -> list[str]:
    """Returns the Python source of two utterances with the inputs of the model."""
    utterances = []
    for turn, (speaker, text) in enumerate([("Ann", "We won!"), ("Bo", "Oh no.")], start=1):
        raw = {
            "text": f'"text": "{text}"',
            "audio": f'"audio": "turn{turn}.wav"',
            "vision": f'"video": "turn{turn}.mp4"',
        }
        inputs = [
            raw[m] if m in facts.backbones else f'"{MODALITIES[m].features}": features[{turn - 1}]["{m}"]'
            for m in facts.modalities
        ]
        utterances.append(f'{{"speaker": "{speaker}", {", ".join(inputs)}}}')
    return utterances


def eval_results(metrics: dict[str, Any], facts: RunFacts) -> list[EvalResult]:
    """Returns the model-index: the scores of each split, unrounded."""
    return [
        EvalResult(
            task_type=facts.hub_task,
            task_name="Emotion recognition in conversation",
            dataset_type=facts.hub_dataset or facts.dataset,
            dataset_name=facts.dataset,
            dataset_split=split,
            metric_type=key if key in _HUB_METRICS else "f1" if "f1" in key else key,
            metric_name=f"{title} ({split})",
            metric_value=scores[key],
        )
        for split, scores in metrics.items()
        for key, title in titles_of(scores).items()
    ]


def write_eval_results(folder: Path, metrics: dict[str, Any], facts: RunFacts) -> None:
    """Writes the test scores as `.eval_results/erc-CORPUS.yaml`, one entry per metric.

    The format is that of https://huggingface.co/docs/hub/eval-results. An entry needs the corpus' id on the Hub, so a
    corpus without one gets no file, nor does a fold of a cross-validation, which has no test scores. `task_id` is the
    metric's key in `metrics.json`: the Hub lists a score on a leaderboard once the corpus' repository is a benchmark
    whose `eval.yaml` defines that task.
    """
    if facts.hub_dataset is None or "test" not in metrics:
        return
    entries = [
        EvalResultEntry(facts.hub_dataset, task_id=key, value=metrics["test"][key], notes=f"{title}, test split")
        for key, title in titles_of(metrics["test"]).items()
    ]
    path = folder / ".eval_results" / f"erc-{facts.dataset}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False), encoding="utf-8")


def score_table(name: str, rows: Mapping[Any, Mapping[str, Any]]) -> str:
    """Returns a Markdown table of the overall scores of each row, with their intervals where there are any."""
    titles = titles_of(key for scores in rows.values() for key in scores)
    cells = [[row, *(_score(scores, key) for key in titles)] for row, scores in rows.items()]
    return markdown_table([name, *titles.values()], cells)


def _score(scores: Mapping[str, Any], key: str) -> str:
    if key not in scores:
        return "-"
    interval = scores.get("intervals", {}).get(key)
    bounds = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    return f"{scores[key]:.4f}{bounds}"


def _per_class(scores: Mapping[str, Any]) -> str:
    rows = [
        [name, *(f"{row[key]:.3f}" for key in ("precision", "recall", "f1")), row["support"]]
        for name, row in scores.get("per_class", {}).items()
    ]
    return markdown_table(["class", "precision", "recall", "F1", "utterances"], rows) if rows else ""


def _per_target(scores: Mapping[str, Any]) -> str:
    targets = scores.get("per_target", {})
    titles = titles_of(key for row in targets.values() for key in row)
    rows = [
        [name, *(f"{row[key]:.3f}" if key in row else "-" for key in titles), row["utterances"]]
        for name, row in targets.items()
    ]
    return markdown_table(["target", *titles.values(), "utterances"], rows) if rows else ""


def limits(folder: Path) -> str:
    """Returns the results of `robustness` and `cross` in a run's folder, between two marks."""
    sections = []
    robustness = folder / "robustness" / "table.md"
    if robustness.is_file():
        sections += ["### With modalities missing or noisy", robustness.read_text(encoding="utf-8").strip()]
        if robustness.with_name("curves.png").is_file():
            sections.append("![weighted F1 against the share of corrupted utterances](robustness/curves.png)")
    for report in sorted(folder.glob("cross/*/cross.md")):
        # The report's first-level heading becomes a third-level one.
        sections.append(f"##{report.read_text(encoding='utf-8').strip()}")
    if not sections:
        sections.append(
            "Not measured for this checkpoint: `modeling-erc robustness RUN` and "
            "`modeling-erc cross --train RUN --test CORPUS` add their tables here."
        )
    return "\n\n".join([LIMITS_START, *sections, LIMITS_END])


def refresh_limits(folder: Path) -> None:
    """Updates the results of `robustness` and `cross` in the card; all other text, also by hand, is kept."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    before, start, rest = text.partition(LIMITS_START)
    _, end, after = rest.partition(LIMITS_END)
    if start and end:
        card.write_text(before + limits(folder) + after, encoding="utf-8")


def checkpoint_card(folder: Path) -> str:
    """Returns the card of a checkpoint of an unfinished run, with the dev scores of its `trainer_state.json`."""
    state_file = folder / "trainer_state.json"
    state = json.loads(state_file.read_text(encoding="utf-8")) if state_file.is_file() else {}
    evaluations = {
        entry["step"]: {key: entry[f"eval_{key}"] for key in TITLES if f"eval_{key}" in entry}
        for entry in state.get("log_history", ())
        if any(f"eval_{key}" in entry for key in TITLES)
    }
    card = ModelCard.from_template(
        ModelCardData(library_name="transformers", tags=TAGS),
        template_path=str(CARDS / "checkpoint_card.md"),
        intended_use=(CARDS / "intended_use.md").read_text(encoding="utf-8").strip(),
        when=f"step {state['global_step']} (epoch {state['epoch']:.2f})" if state else "an unknown step",
        scores=score_table("step", evaluations) if evaluations else "There is no evaluation yet.",
    )
    return str(card)


def _backbone(source: str) -> str:
    if source in ("tiny", "tiny_resnet"):
        return "small, trained from scratch"
    return f"[{source}](https://huggingface.co/{source})" if is_hub_id(source) else f"`{public(source)}`"
