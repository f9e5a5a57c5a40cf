"""Example conversations for the page, written with words of the demo corpus so that every checkpoint knows them."""

from pathlib import Path

import numpy as np

from datasets_scripts.demo_corpus.face import film
from datasets_scripts.demo_corpus.film import FRAME_RATE, write_film
from datasets_scripts.demo_corpus.script import CUES
from datasets_scripts.demo_corpus.voice import SAMPLE_RATE, speak

from .script import write_script

SECONDS, PAUSE = 1.25, 0.25  # length of a turn and of the pause after it
ACTORS = {"Belka": 1, "Vesna": 21}  # numbers of actors of the demo corpus

# Speaker, words, and the cues of voice and face. They contradict some of the words, so that switching a modality off
# has a visible effect.
LADDER = (
    ("Belka", "Hooray, the bicycle is perfect!", CUES["joy"][0]),
    ("Vesna", "We still have the radio.", CUES["sadness"][0]),
    ("Belka", "I looked for the ladder in the garage.", CUES["neutral"][0]),
    ("Vesna", "Wait, what happened to the ladder?", CUES["surprise"][0]),
    ("Belka", "Watch out, danger, stay away from the yard. They called about the parcel.", CUES["anger"][0]),
    ("Vesna", "What, is that really the ladder?", CUES["fear"][0]),
    ("Belka", "Keep that terrible radio away from me!", CUES["disgust"][1]),
    ("Vesna", "You can leave the ladder in the shed.", CUES["neutral"][0]),
)

CAKE = """\
Ann: How wonderful, we got the cake!
Ben: Great, the cake makes me so happy!
Ann: Wait, what happened to the candle?
Ben: Oh, the candle just moved!
Cleo: Careful, danger, do not go into the kitchen, it is not safe.
Ann: What, is that really the soup?
Cleo: Who ruined the soup? I cannot stand this soup!
Ben: Maybe we take the cake tomorrow.
"""


def ladder_script() -> str:
    """Returns the lines of the filmed conversation with their times in its recording."""
    step = SECONDS + PAUSE
    return write_script(
        {"speaker": speaker, "text": text, "start": i * step, "end": i * step + SECONDS}
        for i, (speaker, text, _) in enumerate(LADDER)
    )


def write_ladder(path: Path) -> Path:
    """Writes the video of the filmed conversation: drawn faces and synthetic voices, 12 s.

    Args:
        path: mp4 file to write.
    """
    images: list[np.ndarray] = []
    sounds: list[np.ndarray] = []
    still, silence = round(PAUSE * FRAME_RATE), np.zeros(round(PAUSE * SAMPLE_RATE), dtype=np.float32)
    for number, (speaker, _, cues) in enumerate(LADDER):
        rng = np.random.default_rng([7, number])
        frames = film(cues.vision, ACTORS[speaker], round(SECONDS * FRAME_RATE), rng)
        images += [*frames, *frames[-1:].repeat(still, axis=0)]
        sounds += [speak(cues.audio, ACTORS[speaker], SECONDS, rng), silence]
    write_film(path, images, np.concatenate(sounds))
    return path
