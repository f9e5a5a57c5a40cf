"""Cache of decoded clips for backbones that are trained."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..containers_erc import MediaError, clip_settings
from ..media_erc import load_audio, load_frames
from ..processing_erc import ErcProcessor


class DecodedMedia:
    """Replaces the media files in a dialogue's utterances by decoded waves and frames.

    Clips are kept in memory up to a budget, in each data-loader worker; further clips are decoded every time. Nothing
    is evicted, since an epoch visits every clip once: the oldest clip is the next one needed.

    Args:
        processor: defines the sampling rate, the number of frames and the modalities to decode.
        budget: maximum size of the kept clips in bytes.
    """

    def __init__(self, processor: ErcProcessor, budget: int) -> None:
        self.processor, self.budget = processor, budget
        self._kept: dict[tuple[Any, ...], np.ndarray] = {}

    def __call__(self, utterances: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns the utterances with `audio` and `video` decoded; a clip that cannot be decoded stays a path."""
        return [{**utterance, **self._audio(utterance), **self._video(utterance)} for utterance in utterances]

    def _audio(self, utterance: dict[str, Any]) -> dict[str, Any]:
        extractor = self.processor.feature_extractor
        if extractor is None or utterance.get("audio_path") is None:
            return {}
        load = partial(
            load_audio,
            sampling_rate=extractor.sampling_rate,
            max_seconds=self.processor.max_audio_seconds,
            min_seconds=0.0,  # the processor pads, after whatever changes the clip
        )
        wave = self._decode(utterance, "audio", "audio_path", load)
        return {} if wave is None else {"audio": (wave, extractor.sampling_rate)}

    def _video(self, utterance: dict[str, Any]) -> dict[str, Any]:
        if self.processor.image_processor is None or utterance.get("video_path") is None:
            return {}
        load = partial(load_frames, num_frames=self.processor.num_frames)
        frames = self._decode(utterance, "vision", "video_path", load)
        return {} if frames is None else {"video": frames}

    def _decode(
        self, utterance: dict[str, Any], modality: str, column: str, load: Callable[..., np.ndarray]
    ) -> np.ndarray | None:
        settings = clip_settings(utterance, modality)
        key = (column, utterance[column], *settings.values())
        if key in self._kept:
            return self._kept[key]
        try:
            value = load(utterance[column], **settings)
        except MediaError:
            return None
        if value.nbytes <= self.budget:
            self.budget -= value.nbytes
            self._kept[key] = value
        return value
