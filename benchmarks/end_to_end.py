"""`end_to_end`: training and inference from text and wav files on a CPU; the encoders are trained too."""

import tempfile
from pathlib import Path

from .corpus import RATE, raw_corpus
from .table import BENCHMARKS, Setting, Table
from .training import Speed, recipe_speed


@BENCHMARKS.register("end_to_end")
def end_to_end(setting: Setting) -> list[Table]:
    """Writes wav files, then measures; all times include decoding, log-mel features and tokenization."""
    lengths = [2, 3] if setting.quick else [10] * 16
    epochs = 1 if setting.quick else 3
    speed, audio = setting.run(_measure, lengths, setting.text_encoder, setting.audio_encoder, epochs)
    total = sum(lengths)
    columns = ["", "s", "CPU s", "utterances / s", "s of audio / s"]
    rows = [
        [name, *taken, total / taken.wall, audio / taken.wall]
        for name, taken in (("training epoch", speed.epoch), ("inference", speed.inference))
    ]
    title = f"Text and wav in: {len(lengths)} dialogues, {total} utterances, {audio:,.0f} s of audio at 16 kHz"
    encoders = f"text encoder {setting.text_encoder}, audio encoder {setting.audio_encoder}"
    notes = [f"{speed.parameters:,} parameters ({encoders}), all trained; peak memory {speed.memory:,.0f} MB."]
    return [Table(title, columns, rows, notes)]


def _measure(lengths: list[int], text_encoder: str, audio_encoder: str, epochs: int) -> tuple[Speed, float]:
    """Returns the speed and the seconds of audio in the corpus."""
    with tempfile.TemporaryDirectory() as folder:
        rows = raw_corpus(Path(folder), lengths, (1.0, 6.0))
        audio = sum(path.stat().st_size for path in Path(folder).glob("*.wav")) / (2 * RATE)
        options = ["--modalities", "text", "audio", "--text_encoder", text_encoder, "--audio_encoder", audio_encoder]
        options += ["--dataloader_num_workers", "0", "--dataloader_persistent_workers", "false", "--use_cpu", "true"]
        return recipe_speed("demo.yaml", options, rows, Path(folder) / "run", epochs), audio
