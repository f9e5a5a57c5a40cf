"""An example conversation for the page, of the demo corpus, so that every checkpoint knows its words."""

import random
from pathlib import Path

import numpy as np

from datasets_scripts.demo_corpus.face import film
from datasets_scripts.demo_corpus.film import FRAME_RATE, write_film
from datasets_scripts.demo_corpus.script import CAST, write_dialogues
from datasets_scripts.demo_corpus.voice import speak

from .script import write_script

SECONDS = 1.5  # length of a turn
LINES = write_dialogues(1, 8, random.Random(11))


def example_script() -> str:
    """Returns the lines of the conversation with their times in its recording."""
    return write_script(
        {"speaker": line.speaker, "text": line.text, "start": i * SECONDS, "end": (i + 1) * SECONDS}
        for i, line in enumerate(LINES)
    )


def write_example(path: Path) -> Path:
    """Writes the video of the conversation: drawn faces and synthetic voices, 12 s.

    Args:
        path: mp4 file to write.
    """
    rng = np.random.default_rng(7)
    actors = [(line.cues, CAST.index(line.speaker)) for line in LINES]
    frames = [film(cues.vision, actor, round(SECONDS * FRAME_RATE), rng) for cues, actor in actors]
    write_film(path, np.concatenate(frames), np.concatenate([speak(c.audio, a, SECONDS, rng) for c, a in actors]))
    return path
