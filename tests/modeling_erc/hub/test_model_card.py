from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from modeling_erc.hub.cost import Cost
from modeling_erc.hub.model_card import refresh_limits, write_model_card
from modeling_erc.hub.run_facts import RunFacts

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
    backbones={"text": "/home/ann/minilm", "audio": "openai/whisper-tiny"},
    settings={"learning_rate": 0.001, "data_dir": "/home/ann/MELD", "start_from": "/home/ann/runs/a"},
    cost=Cost(seconds=120, cpu_seconds=360),
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


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "The checkpoint was chosen on dev, never on test. F1"),
        ({"load_best_model_at_end": False}, "The checkpoint is the last epoch's. F1"),
    ],
    ids=["best", "last"],
)
def test_it_tells_how_the_checkpoint_was_chosen(settings: dict[str, Any], told: str, tmp_path: Path) -> None:
    path = write_model_card(tmp_path, METRICS, replace(FACTS, settings=settings))
    assert told in path.read_text(encoding="utf-8")


def test_the_model_index_has_the_measured_values_to_the_last_digit(card: Any) -> None:
    found = {(r.dataset_split, r.metric_name, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert found == {
        (split, f"{name} ({split})", "accuracy" if kind == "accuracy" else "f1"): METRICS[split][kind]
        for split in ("dev", "test")
        for kind, name in (("accuracy", "accuracy"), ("weighted_f1", "weighted F1"), ("macro_f1", "macro F1"))
    }
    assert {r.dataset_name for r in card.data.eval_results} == {"meld"}


def test_its_head_is_what_the_hub_reads(card: Any) -> None:
    # The terms of the corpus are no licence that the Hub knows.
    assert card.data.license == "other"
    assert card.data.library_name == "transformers"
    assert "emotion-recognition-in-conversation" in card.data.tags
    assert card.data.model_name == "erc-meld"
    # A Hub id is one; what lies in a folder, or is trained from scratch, has none.
    assert card.data.base_model == ["openai/whisper-tiny"]


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
        "22,713,216 parameters, 412,000 of them trained; 94 s of training on CPU, 2 thread(s)",
        "seed 4",
        "text: `minilm`, audio: [openai/whisper-tiny](https://huggingface.co/openai/whisper-tiny)",
        "GPL-3.0 for the annotations",
        "no more than the corpus' terms",
        "learning_rate: 0.001",
        "Measured from the start of the program to the end of training: 120 s, 360 s of CPU time, no GPU.",
        "an estimate and no measurement: 1 Wh, assuming 10 W a busy core",
        "Law enforcement",
        "Regulation 2024/1689",
        "Not measured for this checkpoint",
        "| fusion | trainable joint",
        "@inproceedings{shi2024",
        "](confusion_matrix.png)",
        "### Per class, test",
    ):
        assert said in card.text, said


def test_nothing_of_the_template_is_left(card: Any) -> None:
    for mark in ("{{ ", "{%", " }}"):
        assert mark not in card.content
    assert '    {"speaker": "Ann", "text": "We won!", "audio": "turn1.wav"},' in card.text


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


def test_the_example_is_of_what_the_model_reads(tmp_path: Path) -> None:
    facts = replace(FACTS, modalities=["text", "vision"], backbones={"vision": "tiny"})
    text = write_model_card(tmp_path, METRICS, facts).read_text()
    assert '{"speaker": "Bo", "text_features": features[1]["text"], "video": "turn2.mp4"}' in text
    assert "Features are arrays" in text
    assert "vision: small, trained from scratch" in text


def test_folders_of_this_machine_are_not_told(card: Any) -> None:
    assert "/home/ann" not in card.content
    assert "start_from: a\n" in card.content


def test_the_method_is_told_apart_from_baselines(card: Any, tmp_path: Path) -> None:
    assert "baseline" not in card.text
    write_model_card(tmp_path, METRICS, replace(FACTS, fusion="concat", contrastive="none"))
    assert "a baseline in its fusion `concat` and contrastive loss `none`." in (tmp_path / "README.md").read_text()


def test_the_demo_corpus_is_told_to_be_synthetic(card: Any, tmp_path: Path) -> None:
    assert "synthetic" not in card.text
    write_model_card(tmp_path, METRICS, replace(FACTS, dataset="demo"))
    demo = ModelCard.load(tmp_path / "README.md")
    assert "synthetic" in demo.text
    assert demo.data.license == "apache-2.0"


def test_measured_limits_are_taken_in_and_what_was_written_by_hand_stays(card: Any, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(path.read_text().replace("## Limits", "By hand.\n\n## Limits"))
    for name, text in {
        "robustness/table.md": "Weighted F1 with a share p.\n\n| a | b |\n",
        "robustness/curves.png": "",
        "cross/emorynlp/cross.md": "# meld to emorynlp\n\n| c | d |\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for _ in range(2):
        refresh_limits(tmp_path)
    text = path.read_text()
    for said in ("| a | b |", "](robustness/curves.png)", "### meld to emorynlp\n\n| c | d |", "By hand."):
        assert text.count(said) == 1, said
    assert "Not measured" not in text
    assert "## Training" in text
    again: Any = ModelCard(text)
    assert again.data.eval_results == card.data.eval_results


@pytest.mark.parametrize("text", [None, "# Mine alone\n"])
def test_a_card_of_somebody_else_is_left_alone(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "README.md").write_text(text)
    refresh_limits(tmp_path)
    assert (tmp_path / "README.md").exists() is (text is not None)
    assert text is None or (tmp_path / "README.md").read_text() == text
