"""Ready recipes train from raw files: small copies of the releases of IEMOCAP and MELD, and a table of faces."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modeling_erc.__main__ import main as modeling_erc_command
from modeling_erc.hub.run_facts import RunFacts
from tests.conftest import write_mp4, write_wav
from tests.small_run import write_meld

pytestmark = pytest.mark.usefixtures("home")
DIALOGUES = ("Ses01F_impro01", "Ses02M_script01_1", "Ses03F_impro02", "Ses05F_impro01", "Ses05M_script01_1b")
TURNS = (("F000", "hap", "It is so good."), ("M000", "fru", "No, not again."), ("F001", "neu", "I see."))
# Small untrained backbones, a narrow model and two steps.
TINY = [
    *("--text_encoder", "tiny", "--audio_encoder", "tiny", "--vision_encoder", "tiny"),
    *("--hidden_size", "16", "--num_attention_heads", "2", "--num_frames", "1", "--max_steps", "2", "--use_cpu"),
]


@pytest.fixture(scope="module")
def iemocap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five dialogues: labels, transcripts, one wav per turn, and a recording of both actors side by side."""
    root = tmp_path_factory.mktemp("iemocap") / "IEMOCAP_full_release"
    for name in DIALOGUES:
        session = root / f"Session{name[4]}"
        turns = [(number, f"{name}_{turn}", label, words) for number, (turn, label, words) in enumerate(TURNS)]
        texts = {
            "EmoEvaluation": [
                f"[{n}.0 - {n + 1}.0]\t{turn}\t{label}\t[2.5, 2.5, 2.5]\n" for n, turn, label, _ in turns
            ],
            "transcriptions": [f"{turn} [{n:03}.0-{n + 1:03}.0]: {words}\n" for n, turn, _, words in turns],
        }
        for kind, lines in texts.items():
            (session / "dialog" / kind).mkdir(parents=True, exist_ok=True)
            (session / "dialog" / kind / f"{name}.txt").write_text("".join(lines))
        (session / "dialog" / "avi" / "DivX").mkdir(parents=True, exist_ok=True)
        write_mp4(session / "dialog" / "avi" / "DivX" / f"{name}.avi", len(turns))
        (session / "sentences" / "wav" / name).mkdir(parents=True)
        for number, turn, *_ in turns:
            write_wav(session / "sentences" / "wav" / name / f"{turn}.wav", 1.0, seed=number)
    return root


@pytest.fixture(scope="module")
def meld(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dialogues a split with a clip for each utterance."""
    root = tmp_path_factory.mktemp("meld")
    emotions = ("joy", "anger", "neutral")
    rows = [[f"It is {e}.", "AB"[u % 2], e, d, u] for d in range(2) for u, e in enumerate(emotions)]
    folders = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
    write_meld(root, dict.fromkeys(folders, rows))
    for seed, folder in enumerate(folders.values()):
        (root / folder).mkdir()
        for *_, dialogue, utterance in rows:
            write_mp4(root / folder / f"dia{dialogue}_utt{utterance}.mp4", 0.75, seed)
    return root


def train(recipe: str, root: Path, run: Path, *options: str) -> dict[str, Any]:
    modeling_erc_command(["train", recipe, "--data_dir", str(root), "--output_dir", str(run), *TINY, *options])
    metrics: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return metrics


def test_iemocap_trains_from_the_release_and_scores_scripts_and_improvisations(
    iemocap: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    metrics = train("iemocap", iemocap, tmp_path / "run", "--dataset_options", '{"dev_dialogues": 1}')
    printed = capsys.readouterr().out
    assert "could not be used" not in caplog.text
    assert RunFacts.load(tmp_path / "run").modalities == ["text", "audio", "vision"]
    groups = metrics["test"]["groups"]
    assert {name: scores["utterances"] for name, scores in groups.items()} == {"improvised": 3, "scripted": 3}
    for name, scores in groups.items():
        assert f"test, {name}: accuracy {scores['accuracy']:.4f}" in printed
        assert f"| test, {name} | {scores['accuracy']:.4f}" in (tmp_path / "run" / "README.md").read_text()

    modeling_erc_command(["analyse", str(tmp_path / "run")])
    report = (tmp_path / "run" / "analysis-test" / "report.md").read_text()
    section = report.partition("## By group of dialogues")[2].partition("## ")[0]
    assert "| improvised | 3 |" in section
    assert "| scripted | 3 |" in section


def test_iemocap_is_cross_validated_by_session_on_its_words(iemocap: Path, tmp_path: Path) -> None:
    command = ["cv", "iemocap_text", "--folds", "session", "--data_dir", str(iemocap), "--out", str(tmp_path / "out")]
    options = ["--dataset_options", '{"setting": "4way", "dev_dialogues": 1}', "--max_steps", "2", "--use_cpu"]
    modeling_erc_command([*command, "--seeds", "1", "--jobs", "1", "--text_encoder", "tiny", *options])
    text = (tmp_path / "out" / "table.md").read_text()
    # Sessions 1 to 3 have dialogues here; of three turns one is frustrated, which four classes leave out.
    assert "3 folds by session, 6 labelled utterances in 3 dialogues" in text
    rows = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert set(json.loads(rows[0])["dev"]["per_class_f1"]) == {"angry", "happy", "neutral", "sad"}


def test_meld_trains_from_its_clips(meld: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    metrics = train("meld", meld, tmp_path / "run")
    assert "could not be used" not in caplog.text
    assert RunFacts.load(tmp_path / "run").modalities == ["text", "audio", "vision"]
    assert "groups" not in metrics["test"]
    with (tmp_path / "run" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 12


def test_meld_finetunes_a_text_backbone_on_whole_dialogues(
    meld: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("meld_text_finetuned", meld, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "processor_config.json").read_text())["text_context"] == "dialogue"
    printed = capsys.readouterr().out
    assert printed.count("text backbone: ") == 1
    assert "learning rate 4.1e-05 (lowest layer) to 5e-05 (last)" in printed
    assert "fusion, context and heads: " in printed


def test_a_part_of_the_modalities_is_an_override(meld: Path, tmp_path: Path) -> None:
    train("meld", meld, tmp_path / "run", "--modalities", "text", "audio")
    assert RunFacts.load(tmp_path / "run").modalities == ["text", "audio"]


def test_faces_train_from_images_of_disjoint_subjects(tmp_path: Path) -> None:
    rows = ["path,label,speaker"]
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 255, (30, 48, 48), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{('joy', 'anger')[number % 2]},S{number // 3}")
    (tmp_path / "faces.csv").write_text("\n".join(rows) + "\n")
    options = ["--output_dir", str(tmp_path / "run"), "--max_steps", "2", "--use_cpu"]
    modeling_erc_command(["train", "faces", "--data_dir", str(tmp_path / "faces.csv"), *options])
    facts = RunFacts.load(tmp_path / "run")
    assert facts.split_note.startswith("test and dev drawn by seed 0, speaker-disjoint")
    assert facts.backbones == {"vision": "tiny_resnet"}
