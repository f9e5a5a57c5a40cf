"""`growth`: time against the length of a dialogue and the size of a corpus; writes the figure `growth.png`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch

from modeling_erc.losses_erc import ErcLoss

from .corpus import feature_corpus
from .measure import fastest
from .table import BENCHMARKS, Setting, Table
from .training import built, model_inputs, recipe_speed

matplotlib.use("Agg")  # no screen is needed to write a file
import matplotlib.pyplot as plt

FIGURE = Path(__file__).parent / "growth.png"
WIDTHS = {"text": 100, "audio": 73, "vision": 100}
# Range of lengths for the slope. Below it, the constant cost of a call dominates.
FROM, TO = 60, 500


@BENCHMARKS.register("growth")
def growth(setting: Setting) -> list[Table]:
    """Measures a training step on one dialogue, and a training epoch over dialogues of 50 utterances."""
    lengths = [4, 8] if setting.quick else [15, 30, 60, 125, 250, 500, 1000]
    sizes = [1, 2] if setting.quick else [8, 16, 32, 64, 128]
    utterances = 4 if setting.quick else 50
    repeats = 1 if setting.quick else 5
    contexts = {"transformer (default)": "transformer", "gru": "gru"}
    steps = {name: setting.run(_steps, context, lengths, repeats) for name, context in contexts.items()}
    epochs = setting.run(_epochs, sizes, utterances, 1 if setting.quick else 3)
    fitted = [FROM <= length <= TO for length in lengths] if not setting.quick else [True] * len(lengths)
    slopes = {name: slope(np.array(lengths)[fitted], np.array(took)[fitted]) for name, took in steps.items()}
    by_length = Table(
        "A training step on one dialogue, one thread (CPU s)",
        ["utterances", *steps],
        [[length, *(took[i] for took in steps.values())] for i, length in enumerate(lengths)],
        [f"Slope of log time from {FROM} to {TO} utterances: " + ", ".join(f"{n} {s:.2f}" for n, s in slopes.items())],
    )
    by_size = Table(
        f"A training epoch over dialogues of {utterances} utterances, batch 16, one thread",
        ["dialogues", "CPU s"],
        [list(row) for row in zip(sizes, epochs, strict=True)],
        [f"Slope of log time: {slope(np.array(sizes), np.array(epochs)):.2f}"],
    )
    if not setting.quick:
        plot_growth([(f"{name}: slope {slopes[name]:.2f}", lengths, took) for name, took in steps.items()], FIGURE)
    return [by_length, by_size]


def slope(sizes: np.ndarray, took: np.ndarray) -> float:
    """Returns the least-squares slope of log time against log size; 1 means proportional growth."""
    return float(np.polyfit(np.log(sizes), np.log(took), 1)[0])


def plot_growth(lines: Sequence[tuple[str, Sequence[int], Sequence[float]]], path: Path) -> None:
    """Plots time against the length of a dialogue on logarithmic scales.

    Args:
        lines: name, numbers of utterances and seconds of each line.
        path: PNG file to write.
    """
    figure, axes = plt.subplots(figsize=(7.2, 4.8), layout="constrained")
    for name, sizes, took in lines:
        axes.loglog(sizes, took, marker="o", markersize=5, linewidth=1.8, label=name)
    axes.axvspan(FROM, TO, color="#eef1f5", zorder=0, label=f"slope from {FROM} to {TO}")
    axes.set_xlabel("utterances of the dialogue")
    axes.set_ylabel("training step (CPU s)")
    axes.grid(which="major", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=140)
    plt.close(figure)


def _steps(context: str, lengths: list[int], repeats: int) -> list[float]:
    torch.set_num_threads(1)
    # An empty recipe: the defaults of everything but the context.
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as recipe:
        rows = feature_corpus([4], WIDTHS)
        model, collate, _ = built(Path(recipe.name), ["--context", context], rows, tempfile.gettempdir())
    loss = ErcLoss(model.config)
    took = []
    for length in lengths:
        batch = collate(list(feature_corpus([length], WIDTHS)))
        inputs = model_inputs(batch)

        def step(inputs: dict[str, torch.Tensor] = inputs, labels: torch.Tensor = batch["labels"]) -> None:
            model.zero_grad()
            loss(model.train()(**inputs), labels).backward()

        took.append(fastest(step, repeats).cpu)
    return took


def _epochs(sizes: list[int], utterances: int, epochs: int) -> list[float]:
    torch.set_num_threads(1)
    options = ["--per_device_train_batch_size", "16", "--use_cpu", "true"]
    times = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            corpus = feature_corpus([utterances] * size, WIDTHS)
            times.append(recipe_speed("mosi.yaml", options, corpus, Path(folder), epochs).epoch.cpu)
    return times
