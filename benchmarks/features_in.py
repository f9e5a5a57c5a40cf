"""`features_in`: training and inference from precomputed features, on one thread."""

import tempfile
from pathlib import Path

import numpy as np

from .corpus import EMOTIONS, feature_corpus
from .measure import Speed, recipe_speed
from .plain_bclstm import plain_speed
from .table import BENCHMARKS, Setting, Table

WIDTHS = {"text": 1024, "audio": 1582, "vision": 342}
# The fastest public implementation at this size, on one core: seconds per epoch, utterances per second, MB.
PEER_EPOCH, PEER_RATE, PEER_MEMORY = 11.2, 500.0, 1331.0
BATCH = 16


@BENCHMARKS.register("features_in")
def features_in(setting: Setting) -> list[Table]:
    """Measures our model and a plain baseline, each in a process of its own."""
    # 32 dialogues of 8 to 110 utterances, most of them short, 1,550 utterances in total.
    spread = np.random.default_rng(0).permutation(np.linspace(0, 1, 32))
    lengths = [2, 5, 3] if setting.quick else np.rint(8 + 102 * spread**1.548).astype(int).tolist()
    epochs, total = (1 if setting.quick else 7), sum(lengths)
    ours, plain = (setting.run(function, lengths, epochs) for function in (_ours, _plain))
    measured = {"joint_vector, configs/mosi.yaml": ours, "plain bc-LSTM, timed beside it": plain}
    figures = [(name, s.parameters, s.epoch, total / s.inference, s.memory) for name, s in measured.items()]
    if not setting.quick:
        figures.append(("fastest peer, published", None, PEER_EPOCH, PEER_RATE, PEER_MEMORY))
    rows = [
        [name, parameters, epoch, epoch / ours.epoch, rate, rate * ours.inference / total, memory]
        for name, parameters, epoch, rate, memory in figures
    ]
    columns = ["model", "parameters", "CPU s / epoch", "x ours", "utterances / CPU s, inference", "x ours"]
    title = f"Features of widths {', '.join(map(str, WIDTHS.values()))}: {len(lengths)} dialogues, {total:,} utterances"
    notes = [f"Batches of {BATCH} dialogues, one thread; peak memory includes Python and its libraries."]
    return [Table(title, [*columns, "peak memory (MB)"], rows, notes)]


def _ours(lengths: list[int], epochs: int) -> Speed:
    with tempfile.TemporaryDirectory() as folder:
        options = ["--per_device_train_batch_size", str(BATCH)]
        return recipe_speed("mosi.yaml", options, feature_corpus(lengths, WIDTHS), Path(folder), epochs)


def _plain(lengths: list[int], epochs: int) -> Speed:
    return plain_speed(feature_corpus(lengths, WIDTHS), WIDTHS, len(EMOTIONS), BATCH, epochs)
