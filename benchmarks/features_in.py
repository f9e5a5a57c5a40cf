"""`features_in`: training and inference from precomputed features, on one thread."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .corpus import EMOTIONS, feature_corpus
from .measure import Speed, recipe_speed
from .plain_bclstm import plain_speed
from .table import BENCHMARKS, Setting, Table

WIDTHS = {"text": 1024, "audio": 1582, "vision": 342}
# One without fusion layers, whose context is a graph, and one with joint vectors and attention over the dialogue.
RECIPES = ("iemocap_features", "mosi")
# The fastest public implementation at this size, on one core: seconds per epoch, utterances per second.
PEER_EPOCH, PEER_RATE = 11.2, 500.0
BATCH = 16


@BENCHMARKS.register("features_in")
def features_in(setting: Setting) -> list[Table]:
    """Measures two recipes and a plain baseline, each in a process of its own."""
    # 32 dialogues of 8 to 110 utterances, most of them short, 1,550 utterances in total.
    spread = np.random.default_rng(0).permutation(np.linspace(0, 1, 32))
    lengths = [2, 5, 3] if setting.quick else np.rint(8 + 102 * spread**1.548).astype(int).tolist()
    epochs, total = (1 if setting.quick else 7), sum(lengths)
    measured = {name: setting.run(recipe_cost, name, lengths, epochs) for name in RECIPES}
    plain = setting.run(plain_cost, lengths, epochs)
    figures = [
        (f"recipe `{name}`", s.parameters, s.epoch, total / s.inference, s.memory) for name, s in measured.items()
    ]
    figures.append(
        ("plain bc-LSTM, timed beside them", plain.parameters, plain.epoch, total / plain.inference, plain.memory)
    )
    if not setting.quick:
        figures.append(("fastest peer, published", None, PEER_EPOCH, PEER_RATE, None))
    rows = [
        [name, parameters, epoch, epoch / plain.epoch, rate, total / plain.inference / rate, memory]
        for name, parameters, epoch, rate, memory in figures
    ]
    columns = ["model", "parameters", "CPU s / epoch", "x bc-LSTM", "utterances / CPU s, inference", "x bc-LSTM's time"]
    title = f"Features of widths {', '.join(map(str, WIDTHS.values()))}: {len(lengths)} dialogues, {total:,} utterances"
    notes = [f"Batches of {BATCH} dialogues, one thread; peak memory without that of Python and its libraries."]
    return [Table(title, [*columns, "peak memory (MB)"], rows, notes)]


def recipe_cost(recipe: str, lengths: Sequence[int], epochs: int) -> Speed:
    """Measures the model of a recipe on text, audio and vision of dialogues with these numbers of utterances."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--per_device_train_batch_size", str(BATCH), "--modalities", *WIDTHS]
        return recipe_speed(f"{recipe}.yaml", options, feature_corpus(lengths, WIDTHS), Path(folder), epochs)


def plain_cost(lengths: Sequence[int], epochs: int) -> Speed:
    """Measures the plain baseline on the same corpus."""
    return plain_speed(feature_corpus(lengths, WIDTHS), WIDTHS, len(EMOTIONS), BATCH, epochs)
