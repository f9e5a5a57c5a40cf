"""`end_to_end`: training and inference from text and wav files on one thread; the encoders are trained too."""

import tempfile
from pathlib import Path

from datasets_scripts.demo_corpus.voice import SAMPLE_RATE

from .corpus import raw_corpus
from .measure import Speed, recipe_speed
from .table import BENCHMARKS, Setting, Table


@BENCHMARKS.register("end_to_end")
def end_to_end(setting: Setting) -> list[Table]:
    """Writes wav files, then measures; all times include decoding, log-mel features and tokenization."""
    lengths = [2, 3] if setting.quick else [10] * 16
    speed, audio = setting.run(_measure, lengths, 1 if setting.quick else 3)
    total = sum(lengths)
    columns = ["", "CPU s", "utterances / CPU s", "s of audio / CPU s"]
    times = {"training epoch": speed.epoch, "inference": speed.inference}
    rows = [[name, seconds, total / seconds, audio / seconds] for name, seconds in times.items()]
    title = f"Text and wav in: {len(lengths)} dialogues, {total} utterances, {audio:,.0f} s of audio at 16 kHz"
    notes = [
        f"{speed.parameters:,} parameters (tiny encoders), all trained; peak memory without that of Python and its "
        f"libraries {speed.memory:,.0f} MB."
    ]
    return [Table(title, columns, rows, notes)]


def _measure(lengths: list[int], epochs: int) -> tuple[Speed, float]:
    """Returns the speed and the seconds of audio in the corpus."""
    with tempfile.TemporaryDirectory() as folder:
        rows = raw_corpus(Path(folder), lengths, (1.0, 6.0))
        audio = sum(path.stat().st_size for path in Path(folder).glob("*.wav")) / (2 * SAMPLE_RATE)
        options = ["--modalities", "text", "audio", "--text_encoder", "tiny", "--audio_encoder", "tiny"]
        options += ["--dataloader_num_workers", "0", "--dataloader_persistent_workers", "false"]
        return recipe_speed("demo.yaml", options, rows, Path(folder) / "run", epochs), audio
