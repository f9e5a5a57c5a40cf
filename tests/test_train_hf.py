import contextlib
import csv
import itertools
import json
import random
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load, load_file
from transformers import AutoConfig, AutoModel

import train_hf
from datasets_scripts import LABEL_SETS
from datasets_scripts.demo_corpus.writer import DemoRecipe, ensure_demo_corpus
from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.__main__ import main as modeling_erc_command
from modeling_erc.encoders_erc import TextEncoder
from modeling_erc.hub.run_facts import METRIC_TITLES
from modeling_erc.training.tiny_backbones import FRESH
from modeling_erc.training.train import main as train_main
from tests.hub_server import HubServer, Reply
from tests.small_run import SMALL_RECIPE, edit, refusal, write_meld

SCRIPT = Path(train_hf.__file__)
SMALL = ["--hidden_size", "16", "--num_train_epochs", "1"]
# A separate recipe, so that a change of the demo recipe does not change the meaning of a test.
CONFIG = f"""{SMALL_RECIPE}
num_train_epochs: 1
per_device_train_batch_size: 3
learning_rate: 3.0e-3
"""
EMOTION = 2  # its column
EMOTIONS = LABEL_SETS["meld"].names
WORDS = {emotion: [emotion[:2] + syllable for syllable in ("ka", "mo", "ri")] for emotion in EMOTIONS}
RESULTS = {"metrics.json", "predictions.csv", "confusion_matrix.png", "README.md", "run_config.yaml"}
MODEL = {"model.safetensors", "config.json", "modeling_erc.py", "configuration_erc.py"}
PROCESSOR = {"processor_config.json", "processing_erc.py", "tokenizer.json", "tokenizer_config.json"}
Train = Callable[..., dict[str, Any]]
Finished = tuple[Path, dict[str, Any]]
EIGHT = ["--num_train_epochs", "8", "--save_total_limit", "9"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_demo_corpus(tmp_path_factory.mktemp("corpus") / "demo", recipe=DemoRecipe(6, 3, 3, utterances=4))


@pytest.fixture(scope="module")
def words_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of text whose words reveal the emotion, so that a model learns in a few steps."""
    draw = random.Random(0)
    noise = [word for words in WORDS.values() for word in words]
    splits: dict[str, list[list[object]]] = {"train": [], "dev": [], "test": []}
    for split, dialogues in {"train": 18, "dev": 6, "test": 6}.items():
        for dialogue, utterance in itertools.product(range(dialogues), range(3)):
            emotion = draw.choice(EMOTIONS)
            text = " ".join(draw.choices(WORDS[emotion], k=2) + draw.choices(noise, k=2))
            splits[split].append([text, "AB"[utterance % 2], emotion, dialogue, utterance])
    return write_meld(tmp_path_factory.mktemp("words"), splits)


@pytest.fixture
def train(words_alone: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Trains in this process, by default on text alone; returns the metrics."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(CONFIG)

    def train(*words: str, data_dir: Path = words_alone, config: str = "small.yaml") -> dict[str, Any]:
        return train_main([config, "--data_dir", str(data_dir), *words])

    return train


def finished_run(words_alone: Path, folder: Path, *words: str) -> Finished:
    (folder / "small.yaml").write_text(CONFIG)
    with contextlib.chdir(folder):
        metrics = train_main(["small.yaml", "--data_dir", str(words_alone), "--output_dir", "run", *words])
    return folder / "run", metrics


@pytest.fixture(scope="module")
def finished(words_alone: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished run of one epoch, to copy, and its metrics."""
    return finished_run(words_alone, tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def long_run(words_alone: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished run of `EIGHT` epochs with all checkpoints, to copy, and its metrics."""
    return finished_run(words_alone, tmp_path_factory.mktemp("long"), *EIGHT)


def save_backbone(folder: Path) -> None:
    bert, tokenizer = FRESH["text"]([" ".join(words) for words in WORDS.values()])
    AutoModel.from_config(bert).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def start(words: list[str], folder: Path, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *launcher, str(SCRIPT), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def last_state(folder: Path) -> dict[str, Any]:
    checkpoints = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    state: dict[str, Any] = json.loads((checkpoints[-1] / "trainer_state.json").read_text())
    return state


def test_the_command_leaves_everything_and_runs_twice(
    corpus: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--dataset", "meld", "--data_dir", str(corpus), *SMALL]
    monkeypatch.chdir(tmp_path)
    train_main(words)
    first = content(tmp_path / "runs" / "demo-001")
    done = start(words, tmp_path, launcher=("-m", "accelerate.commands.launch", "--num_processes", "1"))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "demo-002"
    assert {path.name for path in folder.iterdir()} >= RESULTS | MODEL | PROCESSOR
    metrics = json.loads((folder / "metrics.json").read_text())
    for split in ("dev", "test"):
        assert f"{split}: accuracy {metrics[split]['accuracy']:.4f}" in done.stdout
        assert sum(row["support"] for row in metrics[split]["per_class"].values()) == 12
    assert str(Path("runs") / "demo-002") in done.stdout
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 24
    with Image.open(folder / "confusion_matrix.png") as picture:
        picture.verify()
    model = ErcForSequenceClassification.from_pretrained(folder)
    assert model.config.modalities == ("text", "audio", "vision")
    # No warnings on a machine without an accelerator.
    assert "pin_memory" not in done.stderr
    assert "Warning" not in done.stderr

    assert content(tmp_path / "runs" / "demo-001") == first
    assert json.loads(first["metrics.json"]) == metrics
    first_weights, second_weights = load(first["model.safetensors"]), load_file(folder / "model.safetensors")
    assert all(torch.equal(first_weights[name], value) for name, value in second_weights.items())


@pytest.mark.parametrize("modalities", ["vision", "audio text"])
def test_one_override_chooses_the_modalities(train: Train, corpus: Path, modalities: str, tmp_path: Path) -> None:
    encoders = ["--audio_encoder", "tiny", "--vision_encoder", "tiny", "--audio_token_stride", "8"]
    metrics = train(*encoders, "--modalities", *modalities.split(), data_dir=corpus)
    assert 0 <= metrics["test"]["weighted_f1"] <= 1
    config = json.loads((tmp_path / "runs" / "small-001" / "config.json").read_text())
    present = {m for m in ("text", "audio", "vision") if config.get(f"{m}_config")}
    assert present == set(modalities.split())


def test_the_saved_settings_repeat_the_run(finished: Finished, tmp_path: Path) -> None:
    first, metrics = finished
    assert train_main([str(first / "run_config.yaml"), "--output_dir", str(tmp_path / "b")]) == metrics
    assert (first / "run_config.yaml").read_text() == (tmp_path / "b" / "run_config.yaml").read_text()


@pytest.mark.slow
def test_the_shell_sees_the_message_and_a_status(corpus: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("lerning_rate: 1.0e-3\n")
    done = start(["wrong.yaml"], tmp_path)
    assert done.returncode not in (0, None)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "'learning_rate'" in done.stderr


# ---- bad clips ----


def write_silent_clip(path: Path) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=8)
        video.width = video.height = 64
        audio = container.add_stream("aac", rate=16000, layout="mono")
        for shade in range(8):
            picture = np.full((64, 64, 3), 20 * shade, dtype=np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 16000), dtype=np.float32), format="fltp", layout="mono")
        silence.sample_rate = 16000
        container.mux(audio.encode(silence))
        container.mux(audio.encode())


def test_bad_clips_among_good_ones_are_masked_with_one_counted_warning(
    train: Train, corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(corpus, tmp_path / "bad", ignore=shutil.ignore_patterns("demo.json"))
    clips = sorted((tmp_path / "bad" / "train_splits").glob("*.mp4"))
    missing, truncated, empty, text, silent = clips[:5]
    missing.unlink()
    truncated.write_bytes(truncated.read_bytes()[:3000])
    empty.write_bytes(b"")
    text.write_text("not media\n" * 100)
    write_silent_clip(silent)
    tested = next((tmp_path / "bad" / "output_repeated_splits_test").glob("*.mp4"))
    tested.write_bytes(b"")
    words = ["--dataset", "meld", "--output_dir", "run", *SMALL, "--num_train_epochs", "2"]
    # Audio is decoded for the feature cache, video during training.
    train(*words, "--frozen_modalities", "audio", data_dir=tmp_path / "bad", config="demo")
    (warning,) = [line for line in caplog.messages if "could not be used" in line]
    assert "5 clip(s) could not be used and were masked out" in warning
    for clip in (truncated, empty, text, silent, tested):
        # A clip may fail once for its audio and once for its video.
        assert 1 <= warning.count(str(clip)) <= 2
    # A missing file is reported before training.
    (gap,) = [line for line in caplog.messages if "have no clip" in line]
    assert "of 24 utterances, 1 have no clip" in gap
    with (tmp_path / "run" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert all(row["prediction"] for row in rows)


def test_odd_dialogues_are_trained_on_and_predicted(train: Train, words_alone: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    shutil.copytree(words_alone, odd)
    long = [["neka mo", "A", "neutral", "90", str(number)] for number in range(200)]
    others = [
        ["word " * 2500, "A", "joy", "91", "0"],
        ["", "A", "joy", "92", "0"],
        ["\U0001f600", "B", "fear", "93", "0"],
    ]
    for split in ("train", "test"):
        edit(odd / f"{split}_sent_emo.csv", lambda rows: rows.extend([*long, *others]))
    metrics = train("--text_past", "2", "--output_dir", "run", data_dir=odd)
    assert sum(row["support"] for row in metrics["test"]["per_class"].values()) == 18 + 203
    with (tmp_path / "run" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    assert len(rows) == 18 + 203
    assert all(sum(float(row[emotion]) for emotion in EMOTIONS) == pytest.approx(1, abs=1e-5) for row in rows)


# ---- resuming ----


def test_resume_continues_where_the_run_stopped(train: Train, finished: Finished, tmp_path: Path) -> None:
    shutil.copytree(finished[0], tmp_path / "run")
    first = last_state(tmp_path / "run")
    assert first["global_step"] == 6
    train("--output_dir", "run", "--save_total_limit", "3", "--resume_anyway", "--num_train_epochs", "3")
    state = last_state(tmp_path / "run")
    assert state["global_step"] == 18
    evaluated = [entry["step"] for entry in state["log_history"] if "eval_loss" in entry]
    assert evaluated == [6, 12, 18]
    assert state["log_history"][: len(first["log_history"])] == first["log_history"]


def test_resuming_a_finished_run_changes_nothing(train: Train, long_run: Finished, tmp_path: Path) -> None:
    # A vocabulary in another order would give every word another embedding.
    folder, first = long_run
    shutil.copytree(folder, tmp_path / "run")
    assert first["test"]["accuracy"] > 0.5
    weights = load_file(folder / "model.safetensors")
    assert train("--output_dir", "run", *EIGHT, "--resume") == first
    again = load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(again[name], value) for name, value in weights.items())


def test_overwrite_starts_again(train: Train, finished: Finished, tmp_path: Path) -> None:
    shutil.copytree(finished[0], tmp_path / "run")
    (tmp_path / "run" / "of_the_first_run.txt").write_text("old")
    assert train("--output_dir", "run", "--overwrite") == finished[1]
    assert not (tmp_path / "run" / "of_the_first_run.txt").exists()


@pytest.mark.parametrize("broken", ["train row", "no dev", "option"])
def test_a_broken_corpus_leaves_the_run_that_would_be_overwritten(
    train: Train, finished: Finished, words_alone: Path, tmp_path: Path, broken: str
) -> None:
    shutil.copytree(finished[0], tmp_path / "run")
    before = content(tmp_path / "run")
    words = ["--output_dir", "run", "--overwrite"]
    corpus = shutil.copytree(words_alone, tmp_path / "broken")
    if broken == "train row":
        edit(corpus / "train_sent_emo.csv", lambda rows: rows[3].__setitem__(EMOTION, "bored"))
    elif broken == "no dev":
        (corpus / "dev_sent_emo.csv").write_text((corpus / "dev_sent_emo.csv").read_text().splitlines()[0] + "\n")
    else:
        words += ["--fusion", "joint"]
    with pytest.raises(ValueError):
        train(*words, data_dir=corpus)
    assert content(tmp_path / "run") == before


def test_a_table_without_dev_and_test_is_drawn_or_stops_before_training(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"d{i},{'AB'[i % 2]},word {i},{'joy' if i % 3 else 'anger'}" for i in range(12)]
    (tmp_path / "t.csv").write_text("\n".join(["dialogue_id,speaker,text,label", *rows]) + "\n")
    words = ["--dataset", "table", "--output_dir", "run"]
    train(*words, data_dir=tmp_path / "t.csv")
    note = json.loads((tmp_path / "run" / "run.json").read_text())["split_note"]
    assert "test and dev drawn by seed 0" in note
    assert capsys.readouterr().out.count(note) == 1
    before = content(tmp_path / "run")
    (tmp_path / "t.csv").write_text("\n".join(["dialogue_id,speaker,text,label", *rows[:1]]) + "\n")
    with pytest.raises(
        ValueError, match=r"no dialogue in dev, test \(dialogues: train 1; no test and no dev, and too few"
    ):
        train(*words, "--overwrite", data_dir=tmp_path / "t.csv")
    assert content(tmp_path / "run") == before


def test_frozen_features_are_extracted_in_the_first_run_only(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    read = []
    encode = TextEncoder.encode

    def counted(self: TextEncoder, **inputs: torch.Tensor) -> Any:
        read.append(len(inputs["input_ids"]))
        return encode(self, **inputs)

    monkeypatch.setattr(TextEncoder, "encode", counted)
    save_backbone(tmp_path / "bert")
    command = f"--text_encoder {tmp_path / 'bert'} --feature_cache {tmp_path / 'cache'} --num_train_epochs 2 --use_cpu"
    config = "meld_text"
    capfd.readouterr()
    first = train(*command.split(), config=config)
    assert "text features" in capfd.readouterr().err
    stored = content(tmp_path / "cache")
    assert len(stored) == 1
    assert sum(read) == 90, "every utterance once, however many epochs"
    assert train(*command.split(), config=config) == first
    assert "text features" not in capfd.readouterr().err
    assert content(tmp_path / "cache") == stored
    assert sum(read) == 90
    config_of_run = json.loads((tmp_path / "runs" / "meld_text-002" / "config.json").read_text())
    assert config_of_run["frozen_modalities"] == ["text"]
    # The saved model contains the frozen backbone.
    model = ErcForSequenceClassification.from_pretrained(tmp_path / "runs" / "meld_text-001")
    saved = AutoModel.from_pretrained(tmp_path / "bert").state_dict()
    own = model.erc.encoders["text"].backbone.state_dict()
    assert own
    assert all(torch.equal(value, saved[name]) for name, value in own.items())


def test_features_are_kept_in_the_hugging_face_cache(train: Train, home: Path) -> None:
    train("--frozen_modalities", "text")
    assert list((home / "erc-features").glob("text-*/*.safetensors"))


# ---- choice of the checkpoint ----


def numbers_of(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """The logged values without times."""
    clock = ("_runtime", "_per_second")
    return [{name: value for name, value in entry.items() if not name.endswith(clock)} for entry in history]


def test_dev_alone_chooses(train: Train, long_run: Finished, words_alone: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(words_alone, other)

    def rotate(rows: list[list[str]]) -> None:
        for row in rows[1:]:
            row[EMOTION] = EMOTIONS[(EMOTIONS.index(row[EMOTION]) + 1) % len(EMOTIONS)]

    folder, first = long_run
    edit(other / "test_sent_emo.csv", rotate)
    second = train(*EIGHT, "--output_dir", "b", data_dir=other)
    evaluated = [entry for entry in last_state(folder)["log_history"] if "eval_weighted_f1" in entry]
    assert len({entry["eval_weighted_f1"] for entry in evaluated}) > 2, "there was something to choose from"
    assert first["dev"] == second["dev"]
    assert first["test"] != second["test"]
    first_weights, second_weights = (load_file(run / "model.safetensors") for run in (folder, tmp_path / "b"))
    assert all(torch.equal(first_weights[name], value) for name, value in second_weights.items())
    first_state, second_state = last_state(folder), last_state(tmp_path / "b")
    assert first_state["best_global_step"] == second_state["best_global_step"]
    first_history, second_history = (numbers_of(state["log_history"]) for state in (first_state, second_state))
    assert any("loss" in entry for entry in first_history)
    assert first_history == second_history


def test_the_best_dev_score_of_training_is_the_one_reported(long_run: Finished) -> None:
    folder, metrics = long_run
    scores = [entry["eval_weighted_f1"] for entry in last_state(folder)["log_history"] if "eval_weighted_f1" in entry]
    assert len(scores) == 8
    assert max(scores) > min(scores)
    assert metrics["dev"]["weighted_f1"] == pytest.approx(max(scores))


# ---- the Hub ----


def test_a_run_is_pushed_with_a_card_that_agrees_with_metrics_json(
    train: Train, hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pushing = ["--push_to_hub", "--hub_model_id", "me/erc", "--hub_strategy", "end", f"--hub-token={hub.token}"]
    save_backbone(tmp_path / "bert")
    bert = AutoConfig.from_pretrained(tmp_path / "bert")
    first = ErcForSequenceClassification(ErcConfig(text_config=bert, hidden_size=32))
    first.save_pretrained(tmp_path / "first")
    local = ["--text_encoder", str(tmp_path / "bert"), "--start_from", str(tmp_path / "first")]
    metrics = train(*pushing, *local, "--output_dir", "run", "--num_train_epochs", "3")
    assert f"pushed: {hub.url}/me/erc/commit/" in capsys.readouterr().out
    files = hub.files("me/erc")
    run = tmp_path / "run"
    written = RESULTS | MODEL | PROCESSOR | {p.name for p in run.glob("*_erc.py")} | {".eval_results/erc-meld.yaml"}
    assert set(files) == written - {"predictions.csv"}
    assert json.loads(files["metrics.json"]) == metrics
    card: Any = ModelCard(files["README.md"].decode())
    results = card.data.eval_results
    reported = {(result.dataset_split, result.metric_name.lower()): result.metric_value for result in results}
    titles = METRIC_TITLES.items()
    assert reported == {
        (s, f"{title} ({s})".lower()): metrics[s][name] for s in ("dev", "test") for name, title in titles
    }
    # No file contains a folder of this machine or the token.
    for name, text in files.items():
        assert str(tmp_path.parent).encode() not in text, name
        assert hub.token.encode() not in text, name
    assert "--data_dir DIR --push_to_hub" in card.text


def test_a_refusal_of_the_hub_is_reported_before_anything_is_computed(
    train: Train, hub: HubServer, words_alone: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    hub.fail("POST", "/api/repos/create", Reply.json({"error": "not yours"}, 403))
    pushing = ["--push_to_hub", "--hub_model_id", "them/erc", "--frozen_modalities", "text"]
    message = refusal(["small.yaml", "--data_dir", str(words_alone), *pushing], monkeypatch)
    assert "them/erc was not pushed: the Hub answered 403 (not yours)" in message
    reported = "".join(capfd.readouterr())
    assert "text features" not in reported
    assert "'loss'" not in reported


def test_a_failed_last_push_leaves_the_finished_run(
    train: Train, hub: HubServer, tmp_path: Path, words_alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.fail("POST", ".*/commit/.*", Reply.json({"error": "quota"}, 403))
    pushing = ["--push_to_hub", "--hub_model_id", "me/erc", "--hub_strategy", "end", "--output_dir", "run"]
    message = refusal(["small.yaml", "--data_dir", str(words_alone), *pushing], monkeypatch)
    assert "the Hub answered 403 (quota)" in message
    command = shlex.split(message.splitlines()[-1])
    assert command == ["python", "-m", "modeling_erc", "push", "run", "me/erc"]
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["per_class"]
    modeling_erc_command(command[3:])
    assert hub.files("me/erc")["model.safetensors"] == (tmp_path / "run" / "model.safetensors").read_bytes()


# ---- several processes ----


@pytest.mark.slow
def test_two_processes_share_one_new_folder(words_alone: Path, home: Path, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(CONFIG)
    words = ["small.yaml", "--data_dir", str(words_alone), "--frozen_modalities", "text"]
    done = start(words, tmp_path, launcher=("-m", "torch.distributed.run", "--nproc_per_node", "2"))
    assert done.returncode == 0, done.stderr
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == ["small-001"]
    # Eighteen dialogues in steps of two processes with three dialogues each.
    assert last_state(tmp_path / "runs" / "small-001")["global_step"] == 3
    metrics = json.loads((tmp_path / "runs" / "small-001" / "metrics.json").read_text())
    assert sum(row["support"] for row in metrics["test"]["per_class"].values()) == 18
