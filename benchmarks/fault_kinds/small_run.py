"""A training run of two seconds on made-up features, and the comparison of two runs bit for bit."""

import json
import pickle
from pathlib import Path
from typing import Any

import datasets
import evaluate
import numpy as np
import torch
import yaml
from safetensors.torch import load_file

from modeling_erc.training.checkpoints import complete_checkpoints
from modeling_erc.training.train import main as train

from . import Plan, children

# Everything that draws random numbers is on; checkpoints, logs and the five steps of an epoch do not coincide.
SETTINGS = {
    "dataset": "mosi_features",
    "dataset_options": {"dev_dialogues": 3},
    "modalities": ["text", "audio"],
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_fusion_layers": 1,
    "hidden_dropout_prob": 0.2,
    "modality_dropout": 0.2,
    "contrastive_memory": 30,
    "num_train_epochs": 2,
    "per_device_train_batch_size": 3,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "save_strategy": "steps",
    "save_steps": 2,
    "logging_strategy": "steps",
    "logging_steps": 3,
    "early_stopping_patience": 6,
    "save_total_limit": 3,
    "use_cpu": True,
    "disable_tqdm": True,
}


def features(draw: np.random.Generator) -> list[Any]:
    """Returns the members of a feature pickle in the community's form: 22 videos of 1 to 5 utterances."""
    videos = [f"video{number}" for number in range(22)]
    lengths = {video: 1 + number % 5 for number, video in enumerate(videos)}
    labels = {video: draw.integers(0, 2, length).tolist() for video, length in lengths.items()}

    def table(width: int) -> dict[str, Any]:
        return {video: [draw.standard_normal(width) + label for label in labels[video]] for video in videos}

    ids = {video: [f"{video}_{place}" for place in range(length)] for video, length in lengths.items()}
    speakers = {video: ["M"] * length for video, length in lengths.items()}
    texts = {video: ["fine"] * length for video, length in lengths.items()}
    return [ids, speakers, labels, table(6), table(4), {}, texts, videos[:18], videos[18:]]


def write_corpus(folder: Path, draw: np.random.Generator) -> list[str]:
    """Writes a corpus and its recipe, and returns the command line of a run without its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "features.pkl").write_bytes(pickle.dumps(features(draw), 2))
    (folder / "small.yaml").write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")
    return [str(folder / "small.yaml"), "--data_dir", str(folder)]


def own_caches(home: Path) -> None:
    """Keeps the caches of this process in a folder."""
    datasets.config.HF_CACHE_HOME = str(home)
    datasets.config.HF_DATASETS_CACHE = home / "datasets"
    evaluate.config.HF_METRICS_CACHE = home / "metrics"
    datasets.disable_progress_bars()


def train_in(home: Path, words: list[str], run: Path) -> None:
    """Starts or continues a training in a folder, as a person would who reads its messages."""
    own_caches(home)
    if complete_checkpoints(run):
        words = [*words, "--resume"]
    elif run.is_dir() and any(run.iterdir()):
        words = [*words, "--overwrite"]
    train([*words, "--output_dir", str(run)])


def finished(home: Path, words: list[str], run: Path, log: Path) -> str | None:
    """Trains to the end in a process of its own; returns what went wrong."""
    code = children.run(train_in, home, words, run, log=log)
    return None if code == 0 else f"exit code {code}: {children.last_line(log)}"


def uninterrupted(plan: Plan) -> tuple[list[str], Path]:
    """Trains once without a fault; returns the command line and the folder that other runs are compared with.

    Raises:
        RuntimeError: it failed.
    """
    words, run = write_corpus(plan.folder / "corpus", plan.draw), plan.folder / "whole" / "run"
    if error := finished(plan.folder / "home", words, run, plan.folder / "log"):
        raise RuntimeError(error)
    return words, run


def difference(run: Path, other: Path) -> str | None:
    """Returns where two runs differ in weights, optimizer, logged figures, metrics or predictions."""
    first, second = state_of(run), state_of(other)
    for name in ("log_history", "global_step", "best_global_step", "best_metric"):
        if first[name] != second[name]:
            return f"trainer_state.json differs in {name}"
    last, last_other = complete_checkpoints(run)[0], complete_checkpoints(other)[0]
    for folder, folder_other in ((last, last_other), (run, other)):
        weights, others = (load_file(path / "model.safetensors") for path in (folder, folder_other))
        if weights.keys() != others.keys() or not all(
            torch.equal(value, others[name]) for name, value in weights.items()
        ):
            return f"{folder.name}/model.safetensors differs"
    moments, others = (torch.load(path / "optimizer.pt", weights_only=True)["state"] for path in (last, last_other))
    if not all(torch.equal(value, others[n][k]) for n, kept in moments.items() for k, value in kept.items()):
        return "optimizer.pt differs"
    different = [
        name for name in ("metrics.json", "predictions.csv") if (run / name).read_bytes() != (other / name).read_bytes()
    ]
    return f"{', '.join(different)} differs" if different else None


def state_of(run: Path) -> dict[str, Any]:
    """Returns the Trainer's state in the last checkpoint, without times."""
    state: dict[str, Any] = json.loads(
        (complete_checkpoints(run)[0] / "trainer_state.json").read_text(encoding="utf-8")
    )
    clock = ("_runtime", "_per_second")
    state["log_history"] = [{k: v for k, v in entry.items() if not k.endswith(clock)} for entry in state["log_history"]]
    return state
