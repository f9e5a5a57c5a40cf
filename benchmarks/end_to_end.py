"""`end_to_end`: training and inference from text and wav files on a CPU, with encoders that are trained too."""

import tempfile
from pathlib import Path

from .corpus import raw_corpus
from .table import BENCHMARKS, Setting, Table
from .training import Speed, recipe_speed

SECONDS = (1.0, 6.0)


@BENCHMARKS.register("end_to_end")
def end_to_end(setting: Setting) -> list[Table]:
    """Wav files are written first; decoding, log-mel and tokenizing are part of every figure."""
    lengths = [2, 3] if setting.quick else [10] * 16
    found = setting.alone(_measure, lengths, setting.text_encoder, setting.audio_encoder, 1 if setting.quick else 3)
    speed, audio = found
    total = sum(lengths)
    columns = ["", "s", "CPU s", "utterances / s", "s of audio / s"]
    rows = [
        ["training epoch", *speed.epoch, total / speed.epoch.wall, audio / speed.epoch.wall],
        ["inference", *speed.inference, total / speed.inference.wall, audio / speed.inference.wall],
    ]
    title = f"Text and wav in: {len(lengths)} dialogues, {total} utterances, {audio:,.0f} s of audio at 16 kHz"
    encoders = f"text encoder {setting.text_encoder}, audio encoder {setting.audio_encoder}"
    notes = [f"{speed.parameters:,} parameters ({encoders}), all trained; peak memory {speed.memory:,.0f} MB."]
    return [Table(title, columns, rows, notes)]


def _measure(lengths: list[int], text_encoder: str, audio_encoder: str, epochs: int) -> tuple[Speed, float]:
    with tempfile.TemporaryDirectory() as folder:
        rows = raw_corpus(Path(folder), lengths, SECONDS)
        audio = sum(path.stat().st_size for path in Path(folder).glob("*.wav")) / (2 * 16_000)
        words = ["--modalities", "text", "audio", "--text_encoder", text_encoder, "--audio_encoder", audio_encoder]
        words += ["--dataloader_num_workers", "0", "--dataloader_persistent_workers", "false", "--use_cpu", "true"]
        return recipe_speed("demo.yaml", words, rows, Path(folder) / "run", epochs), audio
