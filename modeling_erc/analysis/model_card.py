"""The model card of a run, written from what the run measured."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

_TEMPLATE = """---
{{ card_data }}
---

# {{ title }}

Emotion recognition in conversation: a dialogue in, an emotion for every utterance out.
Modalities: **{{ modalities }}**.
Fusion `{{ fusion }}`, contrastive loss `{{ contrastive }}`, after Shi et al. 2024
([arXiv 2405.17900](https://arxiv.org/abs/2405.17900)); a re-implementation, not the authors' code.

## Use

```python
from transformers import AutoModelForSequenceClassification, AutoProcessor

folder = "path/to/this/folder"  # or its id on the Hub
processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True).eval()

dialogue = [{{ "{" }}"speaker": "Ann", "text": "We won!"{{ "}" }}, {{ "{" }}"speaker": "Bo", "text": "Oh no."{{ "}" }}]
logits = model(**processor(dialogue)).logits  # (1, utterances, classes)
print([model.config.id2label[i] for i in logits[0].argmax(-1).tolist()])
```

An utterance may also have `audio` and `video` (paths); what is missing is masked.

## Results

Chosen on dev, never on test. F1 as scikit-learn computes it.

{{ results }}

### Per class, {{ last_split }}

{{ per_class }}

![confusion matrix](confusion_matrix.png)

## Training

- Corpus: {{ dataset }} ({{ sizes }}).
- Command: `{{ command }}`
- {{ parameters }} parameters, {{ trainable }} trained; {{ seconds }} s of training on {{ device }}; seed {{ seed }}.
- Settings: `run_config.yaml` in this folder.

## Limits and intended use

For research on conversations and for tools whose users know of it and agree. An emotion label is what annotators would
say of a performance, not what a person feels; accuracy on other speakers, languages, cultures and recordings than the
corpus' is unknown. Not for decisions about people: hiring, policing, credit, health. In the European Union, inferring
emotions at work and in education is prohibited in most cases (AI Act, Article 5).
"""


@dataclass
class RunFacts:
    """What a card tells of a run besides its metrics.

    Args:
        title: the model's name.
        dataset: the corpus' name.
        sizes: utterances of each split.
        modalities: what the model takes.
        fusion: its name.
        contrastive: its name.
        command: what was typed.
        parameters: of the whole model.
        trainable: of them, trained.
        seconds: of training.
        device: where.
        seed: of the run.
        license: of the checkpoint.
    """

    title: str
    dataset: str
    sizes: dict[str, int]
    modalities: list[str]
    fusion: str
    contrastive: str
    command: str
    parameters: int
    trainable: int
    seconds: float
    device: str
    seed: int
    license: str = "apache-2.0"
    tags: list[str] = field(default_factory=lambda: ["emotion-recognition-in-conversation", "multimodal"])


def write_model_card(folder: Path, metrics: dict[str, Any], facts: RunFacts) -> Path:
    """Writes `README.md` with a model-index.

    Args:
        folder: of the run.
        metrics: as in `metrics.json`, a split each.
        facts: the rest.

    Returns:
        the card's path.
    """
    kinds = {"accuracy": "Accuracy", "weighted_f1": "Weighted F1", "macro_f1": "Macro F1"}
    results = [
        EvalResult(
            task_type="text-classification",
            task_name="Emotion recognition in conversation",
            dataset_type=facts.dataset,
            dataset_name=facts.dataset,
            dataset_split=split,
            metric_type="accuracy" if kind == "accuracy" else "f1",
            metric_name=f"{name} ({split})",
            metric_value=scores[kind],
        )
        for split, scores in metrics.items()
        for kind, name in kinds.items()
    ]
    data = ModelCardData(
        model_name=facts.title,
        license=facts.license,
        library_name="transformers",
        tags=facts.tags,
        eval_results=results,
    )
    table = ["| split | accuracy | weighted F1 | macro F1 |", "| --- | --- | --- | --- |"]
    table += [
        f"| {s} | {m['accuracy']:.4f} | {m['weighted_f1']:.4f} | {m['macro_f1']:.4f} |" for s, m in metrics.items()
    ]
    last_split, last = list(metrics.items())[-1]
    per_class = ["| class | precision | recall | F1 | utterances |", "| --- | --- | --- | --- | --- |"]
    per_class += [
        f"| {name} | {row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} | {row['support']} |"
        for name, row in last["per_class"].items()
    ]
    card = ModelCard.from_template(
        data,
        template_str=_TEMPLATE,
        title=facts.title,
        modalities=", ".join(facts.modalities),
        fusion=facts.fusion,
        contrastive=facts.contrastive,
        results="\n".join(table),
        last_split=last_split,
        per_class="\n".join(per_class),
        dataset=facts.dataset,
        sizes=", ".join(f"{split}: {n} utterances" for split, n in facts.sizes.items()),
        command=facts.command,
        parameters=f"{facts.parameters:,}",
        trainable=f"{facts.trainable:,}",
        seconds=f"{facts.seconds:.0f}",
        device=facts.device,
        seed=facts.seed,
    )
    path = folder / "README.md"
    card.save(path)
    return path
