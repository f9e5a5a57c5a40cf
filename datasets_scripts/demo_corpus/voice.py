"""Speech-like audio for the demo corpus: a pulse train filtered by moving formants, in four kinds of voice."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
_WINDOW = 512
_HOP = 128

# First three formants (Hz) of a, e, i, o, u: textbook values for an adult voice.
_VOWELS = np.array([[730, 1190, 2440], [530, 1840, 2480], [300, 2250, 3000], [570, 880, 2410], [320, 870, 2240]])
_BANDWIDTHS = (90, 120, 180)  # in Hz
_STRENGTHS = (1.0, 0.6, 0.35)


@dataclass(frozen=True)
class Voice:
    """Parameters of a kind of voice, relative to the speaker's own."""

    pitch: float  # factor on the speaker's base pitch
    rise: float  # change of pitch from the start to the end of the clip, in octaves
    accent: float  # pitch variation between syllables, in octaves
    syllables: float  # per second
    tilt: float  # loss of the spectrum above 500 Hz, in dB per octave
    rough: float  # difference in strength between neighbouring pulses, 0 to 1
    breath: float  # strength of the breath noise relative to the pulses
    level: float  # root mean square of the clip, in dB relative to full scale


VOICES = {
    "high": Voice(pitch=1.6, rise=0.55, accent=0.22, syllables=6.0, tilt=5.0, rough=0.03, breath=0.01, level=-20.0),
    "loud": Voice(pitch=1.1, rise=-0.35, accent=0.12, syllables=5.2, tilt=2.0, rough=0.75, breath=0.05, level=-15.0),
    "dull": Voice(pitch=0.8, rise=-0.2, accent=0.02, syllables=2.6, tilt=13.0, rough=0.03, breath=0.07, level=-28.0),
    "calm": Voice(pitch=1.0, rise=-0.1, accent=0.08, syllables=4.2, tilt=8.0, rough=0.03, breath=0.02, level=-22.0),
}


def speak(voice: str, speaker: int, seconds: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Synthesizes meaningless syllables in a given kind of voice.

    Args:
        voice: key of `VOICES`.
        speaker: number of the speaker; it determines the base pitch (90 to 250 Hz) and the length of the vocal tract.
        seconds: length of the clip.
        rng: source of the variation inside one clip.

    Returns:
        Mono samples at 16 kHz between -1 and 1, float32 `(seconds * 16000,)`.

    Example:
        >>> speak("calm", 3, 1.0, np.random.default_rng(0)).shape
        (16000,)
    """
    kind = VOICES[voice]
    traits = np.random.default_rng([speaker, 1])  # a speaker sounds the same in every clip
    base_pitch, tract, speaker_level = traits.uniform(90, 250), traits.uniform(0.9, 1.12), traits.uniform(-2.5, 2.5)

    length = round(seconds * SAMPLE_RATE)
    time = np.arange(0, seconds, 0.001)  # pitch and loudness change slowly: one value per millisecond suffices
    starts = _syllable_starts(kind.syllables * rng.uniform(0.92, 1.08), seconds, rng)
    syllable = np.searchsorted(starts, time, side="right") - 1
    into = (time - starts[syllable]) / np.diff(np.append(starts, seconds))[syllable]

    accents = rng.normal(0, kind.accent, len(starts))[syllable] * np.sin(np.pi * into)
    octaves = kind.rise * (time / seconds - 0.4) + accents + 0.01 * np.sin(2 * np.pi * 5.5 * time)
    pitch = base_pitch * kind.pitch * rng.uniform(0.95, 1.05) * 2.0**octaves
    source = _pulses(_each_sample(pitch, length), kind.rough, rng) + kind.breath * rng.standard_normal(length)

    vowels = rng.integers(len(_VOWELS), size=len(starts))
    formants = _VOWELS[vowels[np.searchsorted(starts, np.arange(0, length, _HOP) / SAMPLE_RATE, side="right") - 1]]
    spoken = _through_tract(source, formants * tract, kind.tilt)
    # Each syllable opens fast and closes slowly, followed by a pause. Half of the syllables start with a hiss.
    spoken *= _each_sample(np.sin(np.pi * into**0.6) ** 1.5, length)
    hisses = (rng.random(len(starts)) < 0.5)[syllable] & (into < 0.15)
    hiss = np.diff(rng.standard_normal(length + 1))
    spoken += 0.1 * spoken.std() * _each_sample(hisses.astype(float), length) * hiss

    level = kind.level + speaker_level + rng.uniform(-2, 2)
    spoken *= 10 ** (level / 20) / np.sqrt(np.mean(spoken**2))
    spoken += 10 ** (-60 / 20) * hiss  # background noise
    return np.clip(spoken, -1, 1).astype(np.float32)


def _each_sample(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Resamples values per millisecond to `length` values per sample."""
    return np.interp(np.arange(length), np.arange(len(values)) * SAMPLE_RATE / 1000, values)


def _syllable_starts(rate: float, seconds: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draws start times in seconds, beginning with 0, of syllables of uneven length at `rate` per second."""
    lengths = rng.uniform(0.75, 1.25, max(2, round(rate * seconds)))
    return np.concatenate(([0.0], np.cumsum(lengths)[:-1])) * seconds / lengths.sum()


def _pulses(pitch: NDArray[np.float64], rough: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Returns one pulse per period of `pitch` (Hz, per sample); rough voices alternate strong and weak pulses."""
    phase = np.cumsum(pitch / SAMPLE_RATE)
    at = np.flatnonzero(np.diff(np.floor(phase)) > 0) + 1
    late = (phase[at] % 1.0) / (pitch[at] / SAMPLE_RATE)  # fraction of a sample by which the period ended before `at`
    strength = 1 + rough * (np.where(np.arange(len(at)) % 2, -0.8, 0.8) + rng.normal(0, 0.3, len(at)))
    source = np.zeros(len(pitch))
    source[at] += strength * (1 - late)
    source[at - 1] += strength * late
    return source


def _through_tract(source: NDArray[np.float64], formants: NDArray[np.float64], tilt: float) -> NDArray[np.float64]:
    """Filters `source` in overlapping windows by formants (Hz) `(hops, 3)` and by the spectral tilt."""
    hops = len(formants)
    # Formants move smoothly: each hop takes the mean of five.
    glide = np.pad(formants, ((2, 2), (0, 0)), mode="edge")
    formants = np.mean([glide[i : i + hops] for i in range(5)], axis=0)
    frequency = np.fft.rfftfreq(_WINDOW, 1 / SAMPLE_RATE).astype(np.float32)
    gain = np.zeros((hops, len(frequency)), np.float32)
    for formant, bandwidth, strength in zip(formants.T.astype(np.float32), _BANDWIDTHS, _STRENGTHS, strict=True):
        gain += strength / np.sqrt(1 + ((frequency - formant[:, None]) / bandwidth) ** 2)
    gain *= 10 ** (-tilt / 20 * np.log2(np.maximum(frequency, 500) / 500))

    window = np.hanning(_WINDOW + 1)[:-1]
    padded = np.pad(source, (_WINDOW // 2, _WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP][:hops]
    shaped = np.fft.irfft(np.fft.rfft(frames * window) * gain, _WINDOW)
    # Overlap-add of windows that start a quarter of their length apart.
    quarters = shaped.reshape(hops, _WINDOW // _HOP, _HOP)
    out = np.zeros((hops + _WINDOW // _HOP, _HOP))
    for quarter in range(_WINDOW // _HOP):
        out[quarter : quarter + hops] += quarters[:, quarter]
    return out.reshape(-1)[_WINDOW // 2 :][: len(source)]
