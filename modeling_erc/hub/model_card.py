"""The model card of a run, written from what the run measured."""

import json
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from datasets_scripts import CORPORA

from ..configuration_erc import MODALITIES
from .redaction import is_hub_id, public, public_settings
from .run_facts import METRIC_TITLES, RunFacts

# The words of the cards, as Jinja templates.
CARDS = Path(__file__).with_name("cards")
LIMITS_START = "<!-- limits: robustness and cross write between these marks -->"
LIMITS_END = "<!-- end of limits -->"
TAGS = ("emotion-recognition-in-conversation", "multimodal")


def write_model_card(folder: Path, metrics: dict[str, Any], facts: RunFacts) -> Path:
    """Writes `README.md` with a model-index.

    Args:
        folder: of the run; what `robustness` and `cross` have left in it is taken in.
        metrics: as in `metrics.json`, a split each.
        facts: the rest.

    Returns:
        the card's path.
    """
    data = ModelCardData(
        model_name=facts.title,
        license=facts.license,
        library_name="transformers",
        tags=list(TAGS),
        metrics=["accuracy", "f1"],
        base_model=[source for source in facts.backbones.values() if is_hub_id(source)] or None,
        eval_results=eval_results(metrics, facts.dataset),
    )
    last_split, last = list(metrics.items())[-1]
    homepage = CORPORA[facts.dataset].HOMEPAGE if facts.dataset in CORPORA else ""
    card = ModelCard.from_template(
        data,
        template_path=str(CARDS / "model_card.md"),
        title=facts.title,
        modalities=", ".join(facts.modalities),
        classes=", ".join(last["per_class"]),
        fusion=facts.fusion,
        contrastive=facts.contrastive,
        example=example(facts),
        inputs=_inputs(facts),
        dataset=f"[{facts.dataset}]({homepage})" if homepage else facts.dataset,
        sizes=", ".join(f"{split}: {n} utterances" for split, n in facts.sizes.items()),
        terms=facts.terms,
        dataset_name=facts.dataset,
        intended_use=(CARDS / "intended_use.md").read_text(encoding="utf-8").strip(),
        license=facts.license
        if facts.license != "other"
        else "no more than the corpus' terms and its backbones' allow",
        results=score_table(metrics),
        last_split=last_split,
        per_class=class_table(last["per_class"]),
        limits=limits(folder),
        command=facts.command,
        backbones=", ".join(f"{m}: {_backbone(source)}" for m, source in facts.backbones.items()) or "none, features",
        parameters=f"{facts.parameters:,}",
        trainable=f"{facts.trainable:,}",
        seconds=f"{facts.seconds:.0f}",
        device=facts.device,
        seed=facts.seed,
        chosen=facts.settings.get("load_best_model_at_end", True),
        settings=yaml.safe_dump(public_settings(facts.settings)).strip(),
        cost="Not measured." if facts.cost is None else facts.cost.told(),
        deviation=_deviation(facts),
    )
    path = folder / "README.md"
    card.save(path)
    return path


def example(facts: RunFacts) -> list[str]:
    """Two utterances with what the model reads, as Python."""
    raw = {"text": '"{text}"', "audio": '"turn{turn}.wav"', "vision": '"turn{turn}.mp4"'}
    utterances = []
    for turn, (speaker, text) in enumerate([("Ann", "We won!"), ("Bo", "Oh no.")], start=1):
        fields = [f'"speaker": "{speaker}"']
        for m in facts.modalities:
            if m in facts.backbones:
                fields.append(f'"{MODALITIES[m].raw[0]}": {raw[m].format(text=text, turn=turn)}')
            else:
                fields.append(f'"{MODALITIES[m].features}": features[{turn - 1}]["{m}"]')
        utterances.append("{" + ", ".join(fields) + "}")
    return utterances


def _inputs(facts: RunFacts) -> str:
    """What an utterance may hold."""
    told = []
    if {"audio", "vision"} & facts.backbones.keys():
        told.append("Clips are paths or bytes, sound also `(array, rate)`.")
    if set(facts.modalities) - facts.backbones.keys():
        told.append("Features are arrays, made as those of the corpus were.")
    if len(facts.modalities) > 1:
        told.append("What an utterance lacks is masked.")
    return " ".join(told) or "An utterance without text is passed over with what its neighbours say."


def eval_results(metrics: dict[str, Any], dataset: str) -> list[EvalResult]:
    """The model-index: each split's scores as in `metrics.json`, to the last digit."""
    return [
        EvalResult(
            task_type="text-classification",
            task_name="Emotion recognition in conversation",
            dataset_type=dataset,
            dataset_name=dataset,
            dataset_split=split,
            metric_type="accuracy" if kind == "accuracy" else "f1",
            metric_name=f"{name} ({split})",
            metric_value=scores[kind],
        )
        for split, scores in metrics.items()
        for kind, name in METRIC_TITLES.items()
    ]


def score_table(metrics: dict[str, Any]) -> str:
    """A Markdown row for each split."""
    rows = ["| split | accuracy | weighted F1 | macro F1 |", "| --- | --- | --- | --- |"]
    rows += [
        f"| {split} | " + " | ".join(f"{m[kind]:.4f}" for kind in METRIC_TITLES) + " |" for split, m in metrics.items()
    ]
    return "\n".join(rows)


def class_table(per_class: dict[str, dict[str, float]]) -> str:
    """A Markdown row for each class."""
    rows = ["| class | precision | recall | F1 | utterances |", "| --- | --- | --- | --- | --- |"]
    rows += [
        f"| {name} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']} |"
        for name, row in per_class.items()
    ]
    return "\n".join(rows)


def limits(folder: Path) -> str:
    """What `robustness` and `cross` have left in a run's folder, between two marks."""
    sections = []
    robustness = folder / "robustness" / "table.md"
    if robustness.is_file():
        sections += ["### With modalities missing or noisy", robustness.read_text(encoding="utf-8").strip()]
        if robustness.with_name("curves.png").is_file():
            sections.append("![weighted F1 against the share of corrupted utterances](robustness/curves.png)")
    for report in sorted(folder.glob("cross/*/cross.md")):
        # Its heading comes below this section's.
        sections.append(f"##{report.read_text(encoding='utf-8').strip()}")
    if not sections:
        sections.append(
            "Not measured for this checkpoint: `python -m modeling_erc robustness RUN` and "
            "`python -m modeling_erc cross --train RUN --test CORPUS` put their tables here."
        )
    return "\n\n".join([LIMITS_START, *sections, LIMITS_END])


def refresh_limits(folder: Path) -> None:
    """Takes what `robustness` and `cross` have left since into the card; what else is in it, by hand too, stays."""
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    before, start, rest = text.partition(LIMITS_START)
    _, end, after = rest.partition(LIMITS_END)
    if start and end:
        card.write_text(before + limits(folder) + after, encoding="utf-8")


def checkpoint_card(folder: Path) -> str:
    """A card for a checkpoint of a run that is not finished, from its `trainer_state.json` where there is one."""
    state_file = folder / "trainer_state.json"
    state = json.loads(state_file.read_text(encoding="utf-8")) if state_file.is_file() else {}
    evaluations = [entry for entry in state.get("log_history", ()) if "eval_weighted_f1" in entry]
    rows = [
        "| step | " + " | ".join(f"{name}, dev" for name in METRIC_TITLES.values()) + " |",
        "| --- | --- | --- | --- |",
    ]
    rows += [
        f"| {e['step']} | " + " | ".join(f"{e[f'eval_{k}']:.4f}" for k in METRIC_TITLES) + " |" for e in evaluations
    ]
    card = ModelCard.from_template(
        ModelCardData(library_name="transformers", tags=list(TAGS)),
        template_path=str(CARDS / "checkpoint_card.md"),
        intended_use=(CARDS / "intended_use.md").read_text(encoding="utf-8").strip(),
        when=f"step {state['global_step']} (epoch {state['epoch']:.2f})" if state else "some step",
        scores="\n".join(rows) if evaluations else "No evaluation yet.",
    )
    return str(card)


def _backbone(source: str) -> str:
    if source == "tiny":
        return "small, trained from scratch"
    return f"[{source}](https://huggingface.co/{source})" if is_hub_id(source) else f"`{public(source)}`"


def _deviation(facts: RunFacts) -> str:
    """A paragraph where the model is not the method above but a baseline to compare it with."""
    others = [f"fusion `{facts.fusion}`"] * (facts.fusion != "joint_vector")
    others += [f"contrastive loss `{facts.contrastive}`"] * (facts.contrastive != "inter_class")
    return f"This model is a baseline in its {' and '.join(others)}.\n\n" if others else ""
