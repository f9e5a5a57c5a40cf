from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from modeling_erc.analysis.model_card import RunFacts, write_model_card

FACTS = RunFacts(
    title="erc-meld",
    dataset="meld",
    sizes={"train": 9989, "dev": 1109, "test": 2610},
    modalities=["text", "audio"],
    fusion="joint_vector",
    contrastive="inter_class",
    command="accelerate launch train_hf.py --data_dir 'my data' --seed 4",
    parameters=22713216,
    trainable=412000,
    seconds=93.7,
    device="CPU, 2 thread(s)",
    seed=4,
)


def scores_of(accuracy: float, weighted: float, macro: float) -> dict[str, Any]:
    return {
        "accuracy": accuracy,
        "weighted_f1": weighted,
        "macro_f1": macro,
        "per_class": {
            "neutral": {"precision": 0.71, "recall": 0.82, "f1": 0.7611, "support": 1256},
            "joy": {"precision": 0.5, "recall": 0.4, "f1": 0.4444, "support": 402},
        },
        "confusion_matrix": [[1030, 226], [241, 161]],
    }


METRICS = {
    "dev": scores_of(0.6123456789012345, 0.5987654321098765, 0.4333333333333333),
    "test": scores_of(0.6210727969348659, 0.6012345678901234, 0.4511111111111111),
}


@pytest.fixture
def card(tmp_path: Path) -> Any:
    path = write_model_card(tmp_path, METRICS, FACTS)
    assert path == tmp_path / "README.md"
    return ModelCard.load(path)


def test_the_model_index_has_the_measured_values_to_the_last_digit(card: Any) -> None:
    found = {(r.dataset_split, r.metric_name, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert found == {
        (split, f"{name} ({split})", "accuracy" if kind == "accuracy" else "f1"): METRICS[split][kind]
        for split in ("dev", "test")
        for kind, name in (("accuracy", "Accuracy"), ("weighted_f1", "Weighted F1"), ("macro_f1", "Macro F1"))
    }
    assert {r.dataset_name for r in card.data.eval_results} == {"meld"}


def test_its_head_is_what_the_hub_reads(card: Any) -> None:
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "transformers"
    assert "emotion-recognition-in-conversation" in card.data.tags
    assert card.data.model_name == "erc-meld"


def test_its_text_tells_the_run(card: Any) -> None:
    for said in (
        "# erc-meld",
        "**text, audio**",
        "`joint_vector`",
        "`inter_class`",
        "| test | 0.6211 | 0.6012 | 0.4511 |",
        "| neutral | 0.710 | 0.820 | 0.761 | 1256 |",
        "train: 9989 utterances, dev: 1109 utterances, test: 2610 utterances",
        FACTS.command,
        "22,713,216 parameters, 412,000 trained; 94 s of training on CPU, 2 thread(s); seed 4",
        "](confusion_matrix.png)",
        "### Per class, test",
    ):
        assert said in card.text, said


def test_nothing_of_the_template_is_left(card: Any) -> None:
    for mark in ("{{ ", "{%", " }}"):
        assert mark not in card.content
    assert 'dialogue = [{"speaker": "Ann", "text": "We won!"}' in card.text


def test_the_example_in_it_is_python(card: Any) -> None:
    example = card.text.partition("```python\n")[2].partition("```")[0]
    compile(example, "README.md", "exec")
    assert "trust_remote_code=True" in example


@pytest.mark.parametrize("name", ["yes", "a: b", "5", "me/ld {{ 3 }}"])
def test_odd_names_survive(tmp_path: Path, name: str) -> None:
    write_model_card(tmp_path, METRICS, replace(FACTS, title=name, dataset=name))
    data: Any = ModelCard.load(tmp_path / "README.md").data
    assert data.model_name == name
    assert {r.dataset_name for r in data.eval_results} == {name}
