"""`features_in`: training and inference from precomputed features, on one thread."""

import tempfile
from pathlib import Path

import torch

from .corpus import EMOTIONS, dialogue_lengths, feature_corpus
from .plain_bclstm import plain_speed
from .table import BENCHMARKS, Setting, Table
from .training import Speed, recipe_speed

WIDTHS = {"text": 1024, "audio": 1582, "vision": 342}
# The fastest public implementation at this size, on one core: seconds per epoch, utterances per second, MB.
PEER_EPOCH, PEER_RATE, PEER_MEMORY = 11.2, 500.0, 1331.0


@BENCHMARKS.register("features_in")
def features_in(setting: Setting) -> list[Table]:
    """Measures our model and a plain baseline, each in a process of its own."""
    lengths = [2, 5, 3] if setting.quick else dialogue_lengths(32, shortest=8, longest=110, total=1550)
    epochs = 1 if setting.quick else 7
    ours = setting.run(_ours, lengths, epochs)
    plain = setting.run(_plain, lengths, epochs)
    total = sum(lengths)
    rate = total / ours.inference.wall
    rows = [
        [
            name,
            speed.parameters,
            *speed.epoch,
            speed.epoch.wall / ours.epoch.wall,
            total / speed.inference.wall,
            total / speed.inference.cpu,
            total / speed.inference.wall / rate,
            speed.memory,
        ]
        for name, speed in (("joint_vector, configs/mosi.yaml", ours), ("plain bc-LSTM, timed beside it", plain))
    ]
    if not setting.quick:
        ratios = PEER_EPOCH / ours.epoch.wall, PEER_RATE / rate
        peer = ["fastest peer, published", None, PEER_EPOCH, None, ratios[0], PEER_RATE, None, ratios[1], PEER_MEMORY]
        rows.append(peer)
    columns = ["model", "parameters", "s / epoch", "CPU s / epoch", "x ours"]
    columns += ["utterances / s, inference", "utterances / CPU s", "x ours", "peak memory (MB)"]
    title = f"Features of widths {', '.join(map(str, WIDTHS.values()))}: {len(lengths)} dialogues, {total:,} utterances"
    notes = ["Batches of 16 dialogues, one thread; peak memory includes Python and its libraries."]
    return [Table(title, columns, rows, notes)]


def _ours(lengths: list[int], epochs: int) -> Speed:
    torch.set_num_threads(1)
    options = ["--per_device_train_batch_size", "16", "--use_cpu", "true"]
    with tempfile.TemporaryDirectory() as folder:
        return recipe_speed("mosi.yaml", options, feature_corpus(lengths, WIDTHS), Path(folder), epochs)


def _plain(lengths: list[int], epochs: int) -> Speed:
    torch.set_num_threads(1)
    return plain_speed(feature_corpus(lengths, WIDTHS), WIDTHS, len(EMOTIONS), batch=16, epochs=epochs)
