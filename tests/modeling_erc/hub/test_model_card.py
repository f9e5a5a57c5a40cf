import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries

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


def write(folder: Path, **facts: Any) -> Path:
    """Writes the card of a run whose facts differ in these."""
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    replace(FACTS, **facts).save(folder)
    return write_model_card(folder)


@pytest.fixture
def card(tmp_path: Path) -> Any:
    path = write(tmp_path)
    assert path == tmp_path / "README.md"
    return ModelCard.load(path)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "The checkpoint was selected on dev, never on test. F1"),
        ({"load_best_model_at_end": False}, "The checkpoint is that of the last epoch. F1"),
    ],
    ids=["best", "last"],
)
def test_the_card_says_how_the_checkpoint_was_selected(settings: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    assert sentence in write(tmp_path, settings=settings).read_text(encoding="utf-8")


def test_the_model_index_has_the_measured_values_to_the_last_digit(card: Any) -> None:
    found = {(r.dataset_split, r.metric_name, r.metric_type): r.metric_value for r in card.data.eval_results}
    assert found == {
        (split, f"{name} ({split})", "accuracy" if kind == "accuracy" else "f1"): METRICS[split][kind]
        for split in ("dev", "test")
        for kind, name in (("accuracy", "accuracy"), ("weighted_f1", "weighted F1"), ("macro_f1", "macro F1"))
    }
    assert {r.dataset_name for r in card.data.eval_results} == {"meld"}


def test_the_front_matter_has_the_metadata_of_the_hub(card: Any) -> None:
    # The Hub has no name for the terms of this corpus.
    assert card.data.license == "other"
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "text-classification"
    assert card.data.language == "en"
    assert card.data.datasets == ["declare-lab/MELD"]
    assert "emotion-recognition-in-conversation" in card.data.tags
    assert card.data.model_name == "erc-meld"
    # Only Hub ids, not a folder or a backbone that is trained from scratch.
    assert card.data.base_model == ["openai/whisper-tiny"]


def test_the_front_matter_leaves_out_what_is_unknown(tmp_path: Path) -> None:
    path = write(
        tmp_path, dataset="table", modalities=["audio", "vision"], backbones={"audio": "tiny", "vision": "tiny"}
    )
    data = ModelCard.load(path).data.to_dict()
    assert data["pipeline_tag"] == "audio-classification"
    assert not data.keys() & {"language", "datasets", "base_model"}


def test_test_scores_are_written_in_the_format_of_evaluation_results(card: Any, tmp_path: Path) -> None:
    (path,) = (tmp_path / ".eval_results").iterdir()
    assert path.name == "erc-meld.yaml"
    content = yaml.safe_load(path.read_text())
    assert content[0] == {
        "dataset": {"id": "declare-lab/MELD", "task_id": "accuracy"},
        "value": METRICS["test"]["accuracy"],
        "notes": "accuracy, test split",
    }
    found = {entry.task_id: (entry.dataset_id, entry.value) for entry in parse_eval_result_entries(content)}
    keys = ("accuracy", "weighted_f1", "macro_f1")
    assert found == {key: ("declare-lab/MELD", METRICS["test"][key]) for key in keys}


def test_a_corpus_that_is_not_on_the_hub_has_no_evaluation_results(tmp_path: Path) -> None:
    write(tmp_path, dataset="demo")
    assert not (tmp_path / ".eval_results").exists()


def test_the_text_contains_the_facts_of_the_run(card: Any) -> None:
    for part in (
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
        "no more than the terms of the corpus and its backbones allow",
        "- Corpus: [meld](https://github.com/declare-lab/MELD) (train: 9989",
        "learning_rate: 0.001",
        "Measured from the start of the program to the end of training: 120 s, 360 s of CPU time, no GPU.",
        "estimated and not measured: 1 Wh, assuming 10 W per busy core",
        "audio may also be `(array, rate)`. A modality that an utterance lacks is masked.\n\n`trust_remote_code`",
        "Law enforcement",
        "Regulation 2024/1689",
        "Not measured for this checkpoint",
        "| fusion | trainable joint",
        "@inproceedings{shi2024",
        "](confusion_matrix.png)",
        "### Per class, test",
    ):
        assert part in card.text, part


def test_no_template_syntax_is_left(card: Any) -> None:
    for mark in ("{{ ", "{%", " }}"):
        assert mark not in card.content
    assert '    {"speaker": "Ann", "text": "We won!", "audio": "turn1.wav"},' in card.text


def test_the_example_is_valid_python(card: Any) -> None:
    example = card.text.partition("```python\n")[2].partition("```")[0]
    compile(example, "README.md", "exec")
    assert "trust_remote_code=True" in example


@pytest.mark.parametrize("name", ["yes", "a: b", "5", "me/ld {{ 3 }}"])
def test_unusual_names_are_escaped(tmp_path: Path, name: str) -> None:
    data: Any = ModelCard.load(write(tmp_path, title=name, dataset=name)).data
    assert data.model_name == name
    assert {r.dataset_name for r in data.eval_results} == {name}


def test_the_example_has_the_inputs_of_the_model(tmp_path: Path) -> None:
    text = write(tmp_path, modalities=["text", "vision"], backbones={"vision": "tiny"}).read_text()
    assert '{"speaker": "Bo", "text_features": features[1]["text"], "video": "turn2.mp4"}' in text
    assert "Features are arrays" in text
    assert "vision: small, trained from scratch" in text
    text = write(tmp_path, modalities=["text"], backbones={}).read_text()
    assert "\n\nFeatures are arrays, extracted in the same way as those of the corpus. An utterance without" in text
    assert "Backbones: none, precomputed features." in text


def test_folders_of_this_machine_are_redacted(card: Any) -> None:
    assert "/home/ann" not in card.content
    assert "start_from: a\n" in card.content


def test_baselines_are_marked(card: Any, tmp_path: Path) -> None:
    assert "baseline" not in card.text
    text = write(tmp_path, fusion="concat", contrastive="none").read_text()
    assert "a baseline, with fusion `concat` and contrastive loss `none`.\n\n## How to cite" in text


def test_the_demo_corpus_is_marked_as_synthetic(card: Any, tmp_path: Path) -> None:
    assert "synthetic" not in card.text
    demo = ModelCard.load(write(tmp_path, dataset="demo"))
    assert "synthetic" in demo.text
    assert demo.data.license == "apache-2.0"


def test_measured_limits_are_added_and_text_by_hand_is_kept(card: Any, tmp_path: Path) -> None:
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
    for part in ("| a | b |", "](robustness/curves.png)", "### meld to emorynlp\n\n| c | d |", "By hand."):
        assert text.count(part) == 1, part
    assert "Not measured" not in text
    assert "## Training" in text
    again: Any = ModelCard(text)
    assert again.data.eval_results == card.data.eval_results


@pytest.mark.parametrize("text", [None, "# My card\n"])
def test_a_card_without_the_marks_is_not_changed(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "README.md").write_text(text)
    refresh_limits(tmp_path)
    assert (tmp_path / "README.md").exists() is (text is not None)
    assert text is None or (tmp_path / "README.md").read_text() == text


def test_the_card_says_which_words_were_recognised_and_by_what(tmp_path: Path) -> None:
    assert "recognised by" not in write(tmp_path).read_text(encoding="utf-8")
    text = write(
        tmp_path, transcribed={"train": 7, "dev": 0}, settings={"transcribe": "openai/whisper-small"}
    ).read_text()
    recogniser = "[openai/whisper-small](https://huggingface.co/openai/whisper-small)"
    assert f"recognised by {recogniser} (train: 7 utterances, dev: 0 utterances).\n- Terms" in text
