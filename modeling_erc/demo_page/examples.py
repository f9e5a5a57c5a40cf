"""Conversations to try: made up for this page, with words of the demo corpus, so that every checkpoint has a say."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets_scripts.demo_corpus.face import film
from datasets_scripts.demo_corpus.film import FRAME_RATE, write_film
from datasets_scripts.demo_corpus.script import CUES, Cues
from datasets_scripts.demo_corpus.voice import SAMPLE_RATE, speak

from .script import write_script

SECONDS, PAUSE = 1.25, 0.25  # of a turn, and of the stillness after it


@dataclass(frozen=True)
class Shot:
    """A turn that is acted: who (a number of the demo's cast), what, and how voice and face sound and look."""

    actor: int
    speaker: str
    text: str
    cues: Cues


# The same plain words in several voices and faces: what changes when one of them is switched off is to be seen.
LADDER = (
    Shot(1, "Belka", "Hooray, the bicycle is perfect!", CUES["joy"][0]),
    Shot(21, "Vesna", "We still have the radio.", CUES["sadness"][0]),
    Shot(1, "Belka", "I looked for the ladder in the garage.", CUES["neutral"][0]),
    Shot(21, "Vesna", "Wait, what happened to the ladder?", CUES["surprise"][0]),
    Shot(1, "Belka", "Watch out, danger, stay away from the yard. They called about the parcel.", CUES["anger"][0]),
    Shot(21, "Vesna", "What, is that really the ladder?", CUES["fear"][0]),
    Shot(1, "Belka", "Keep that terrible radio away from me!", CUES["disgust"][1]),
    Shot(21, "Vesna", "You can leave the ladder in the shed.", CUES["neutral"][0]),
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
    """The lines of the acted conversation, with their times in its recording."""
    step = SECONDS + PAUSE
    return write_script(
        {"speaker": shot.speaker, "text": shot.text, "start": i * step, "end": i * step + SECONDS}
        for i, shot in enumerate(LADDER)
    )


def write_ladder(path: Path) -> Path:
    """Films the acted conversation: drawn faces and made-up voices, 12 s of mp4.

    Args:
        path: file to write.
    """
    pictures: list[np.ndarray] = []
    sounds: list[np.ndarray] = []
    still, silence = round(PAUSE * FRAME_RATE), np.zeros(round(PAUSE * SAMPLE_RATE), dtype=np.float32)
    for number, shot in enumerate(LADDER):
        rng = np.random.default_rng([7, number])
        frames = film(shot.cues.vision, shot.actor, round(SECONDS * FRAME_RATE), rng)
        pictures += [*frames, *frames[-1:].repeat(still, axis=0)]
        sounds += [speak(shot.cues.audio, shot.actor, SECONDS, rng), silence]
    write_film(path, pictures, np.concatenate(sounds))
    return path
