"""Speech recognisers of transformers: loading, language, and the words of single clips."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import pipeline
from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

from .speech import RATE

WHISPER = "seq2seq_whisper"


def load_recogniser(model: str, device: str | None) -> Any:
    """Loads the pipeline of a speech recogniser, whose weights have to be safetensors.

    Args:
        model: folder or Hub id, such as `openai/whisper-small`.
        device: device such as `cuda:0`; default: the first accelerator.

    Raises:
        ValueError: there is no such model, or it is of another kind.
    """
    try:
        return pipeline(
            "automatic-speech-recognition", model=model, device=device, model_kwargs={"use_safetensors": True}
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{model}: not a speech recogniser: {' '.join(str(error).split())}") from error


def language_settings(recogniser: Any, language: str | None) -> dict[str, Any]:
    """Returns the arguments of a recogniser's pipeline that choose the language; none for a recogniser of one language.

    Args:
        recogniser: result of [`load_recogniser`].
        language: name or code, such as `en`; by default a multilingual recogniser detects it.

    Raises:
        ValueError: the recogniser does not know the language.
    """
    if recogniser.type != WHISPER:
        return {}
    code = None if language is None else language.lower().split("-")[0]
    code = TO_LANGUAGE_CODE.get(code, code)
    if code is not None and code not in LANGUAGES:
        raise ValueError(f"language {language!r} is not one of Whisper's: write its code, such as en or de")
    if getattr(recogniser.model.generation_config, "is_multilingual", False):
        return {"generate_kwargs": {"task": "transcribe", "language": code}}
    if code not in (None, "en"):
        raise ValueError(f"language {language!r}: the recogniser {recogniser.model.name_or_path} knows English only")
    return {}


def recognise(recogniser: Any, clips: Sequence[np.ndarray], language: str | None) -> list[str]:
    """Returns the words of clips of one utterance each, in which no speech has to be found first.

    Args:
        recogniser: result of [`load_recogniser`].
        clips: sounds at 16 kHz, `(samples,)` each, of any length.
        language: as for [`language_settings`].

    Raises:
        ValueError: the recogniser does not know the language.
    """
    settings = language_settings(recogniser, language)
    whisper = recogniser.type == WHISPER
    long = whisper and any(len(clip) > recogniser.feature_extractor.n_samples for clip in clips)
    # Whisper pads short clips to one length; other padding would change the answers. The pipeline wants a pad token.
    together = whisper and not long and recogniser.tokenizer.pad_token_id is not None
    if len(clips) > 1 and not together:
        return [recognise(recogniser, [clip], language)[0] for clip in clips]
    if long:
        settings["return_timestamps"] = True  # with which Whisper reads one window after another
    sounds = [{"raw": clip, "sampling_rate": RATE} for clip in clips]
    return [found["text"].strip() for found in recogniser(sounds, batch_size=len(clips), **settings)]
