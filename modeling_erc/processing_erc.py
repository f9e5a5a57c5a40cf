"""`ErcProcessor`: converts dialogues (plain Python) to model inputs, and the checks and encoders that it uses."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, ClassVar

import numpy as np
import torch
from transformers import (
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoTokenizer,
    BatchFeature,
    FeatureExtractionMixin,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)
from transformers.utils import logging

from .configuration_erc import MODALITIES
from .containers_erc import MediaError, clip_settings, source_name
from .media_erc import crop_face, load_audio, load_frames
from .registry_erc import DIALOGUE_INPUTS
from .text_context_erc import WHOLE_DIALOGUES, Place, encode_dialogue, encode_in_context

logger = logging.get_logger(__name__)

MEDIA = ("audio", "vision")
SUB_PROCESSORS = {"text": "tokenizer", "audio": "feature_extractor", "vision": "image_processor"}
URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

Utterance = Mapping[str, Any]
Dialogue = Sequence[Utterance] | Mapping[str, Any]


class _SubProcessors:
    """`get_attributes()`: all possible sub-processors on the class, the existing ones on an instance."""

    names = tuple(SUB_PROCESSORS.values())

    def __get__(self, instance: "ErcProcessor | None", owner: type) -> Callable[[], list[str]]:
        return lambda: [name for name in self.names if instance is None or getattr(instance, name) is not None]


class ErcProcessor(ProcessorMixin):
    """Converts dialogues to model inputs with a tokenizer, an audio feature extractor and an image processor.

    An utterance is a dict of `speaker`, `text`, `audio` (a path, bytes of a media file, `(array, rate in Hz)`, or a
    value of `datasets.Audio`), `video` (a path or bytes), `start` and `end` (seconds inside the media), all optional,
    or the columns `audio_path`, `video_path`, `video_start`, `video_end` and `video_half` of the dataset rows.
    Precomputed `text_features`, `audio_features` or `visual_features` replace raw inputs. A modality that is missing or
    cannot be decoded is masked.

    Args:
        tokenizer: tokenizer of the text backbone.
        feature_extractor: feature extractor of the audio backbone.
        image_processor: image processor of the vision backbone.
        modalities: modalities of the model, in its order.
        max_text_length: largest number of tokens that the text backbone reads at once.
        text_context: what it reads at once: `"neighbours"`: an utterance with `text_past` utterances before it and
            `text_future` after it; `"dialogue"`: all utterances, or overlapping windows of a dialogue that is longer.
        text_past: number of earlier utterances.
        text_future: number of later utterances.
        max_audio_seconds: longer clips are cut (seconds).
        num_frames: number of frames of a video clip.
        face_crop: crop frames to the largest face (needs the extra `faces`); without a face they are not cropped.
        unnamed_speakers: `"one"`: utterances without speaker are those of one person; `"each"`: of different ones.

    Example:
        >>> processor = AutoProcessor.from_pretrained("runs/demo-001")  # doctest: +SKIP
        >>> inputs = processor([{"speaker": "Ann", "text": "We won!"}, {"speaker": "Bo"}])  # doctest: +SKIP
        >>> model(**inputs).logits.shape  # doctest: +SKIP
        torch.Size([1, 2, 7])
    """

    get_attributes = _SubProcessors()  # type: ignore[assignment]
    _loaders: ClassVar[dict[str, Any]] = {
        "tokenizer": AutoTokenizer,
        "feature_extractor": AutoFeatureExtractor,
        "image_processor": AutoImageProcessor,
    }

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase | None = None,
        feature_extractor: FeatureExtractionMixin | None = None,
        image_processor: Any = None,
        modalities: Sequence[str] = tuple(MODALITIES),
        max_text_length: int = 128,
        text_context: str = "neighbours",
        text_past: int = 0,
        text_future: int = 0,
        max_audio_seconds: float = 12.0,
        num_frames: int = 4,
        face_crop: bool = False,
        unnamed_speakers: str = "one",
    ) -> None:
        if unnamed_speakers not in ("one", "each"):
            raise ValueError(f"unnamed_speakers {unnamed_speakers!r}: choose one or each")
        if text_context not in ("neighbours", "dialogue"):
            raise ValueError(f"text_context {text_context!r}: choose neighbours or dialogue")
        if text_context == "dialogue" and (text_past or text_future):
            raise ValueError("text_context dialogue includes all neighbours: leave out text_past and text_future")
        self.tokenizer = tokenizer
        self.feature_extractor = feature_extractor
        self.image_processor = image_processor
        self.chat_template = None
        self.modalities = list(modalities)
        self.max_text_length = max_text_length
        self.text_context = text_context
        self.text_past = text_past
        self.text_future = text_future
        self.max_audio_seconds = max_audio_seconds
        self.num_frames = num_frames
        self.face_crop = face_crop
        self.unnamed_speakers = unnamed_speakers

    @classmethod
    def _get_arguments_from_pretrained(
        cls, pretrained_model_name_or_path: str, processor_dict: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Any]:
        saved = processor_dict or {}
        # A tokenizer is saved in its own files, not in the processor config.
        present = {name: saved.get(name) is not None for name in _SubProcessors.names}
        present["tokenizer"] = bool(saved.get("has_tokenizer"))
        return [
            cls._loaders[name].from_pretrained(pretrained_model_name_or_path, **kwargs) if here else None
            for name, here in present.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Returns settings and sub-processors as a dict, without those that are None."""
        output = super().to_dict()
        output["has_tokenizer"] = self.tokenizer is not None
        return {name: value for name, value in output.items() if value is not None}

    @property
    def model_input_names(self) -> list[str]:
        """Model arguments that this processor can return."""
        unused = "text_token_mask" if self.text_context == "dialogue" else "text_token_index"
        names = [name for m in self.modalities for name in MODALITIES[m].inputs if name != unused]
        return [*DIALOGUE_INPUTS, *names]

    def __call__(self, dialogues: Dialogue | Sequence[Dialogue], **kwargs: Any) -> BatchFeature:
        """Encodes one dialogue or several; media that cannot be used is masked with a warning.

        Args:
            dialogues: a list of utterances, a row with `utterances`, or a list of either.

        Returns:
            inputs of [`ErcModel.forward`].

        Raises:
            ValueError: a dialogue is empty, or features do not fit together.
        """
        if isinstance(dialogues, Mapping) or is_dialogue(dialogues):
            dialogues = [dialogues]  # type: ignore[list-item]
        inputs, problems = self.encode(dialogues)  # type: ignore[arg-type]
        if problems:
            logger.warning(f"{len(problems)} clip(s) could not be used and are masked: {'; '.join(problems[:5])}")
        return inputs

    def encode_next(self, past: Sequence[Utterance], utterance: Utterance) -> BatchFeature:
        """Encodes one utterance as the last of a dialogue.

        Args:
            past: earlier utterances; speaker and text of the last `text_past` are read.
            utterance: utterance to encode.

        Returns:
            inputs of [`ErcModel.forward`] for a dialogue `(1, 1)`, with speaker id 0.

        Raises:
            ValueError: `text_context` is `"dialogue"`, in which an utterance is read with later ones.
        """
        if self.text_context == "dialogue":
            raise ValueError(WHOLE_DIALOGUES)
        neighbours = list(past)[max(0, len(past) - self.text_past) :]
        inputs = self([*({"speaker": u.get("speaker"), "text": u.get("text")} for u in neighbours), utterance])
        last = {name: inputs[name][:, -1:] for name in ("utterance_mask", "modality_mask")}
        last |= {"speaker_ids": torch.zeros(1, 1).long(), "utterance_index": torch.zeros(1, 2).long()}
        for modality, here in zip(self.modalities, last["modality_mask"][0, 0].tolist(), strict=True):
            if here:
                name = MODALITIES[modality].features
                names = {name, f"{name}_mask", *MODALITIES[modality].inputs} & inputs.keys()
                last |= {name: inputs[name][-1:] for name in names}
        return BatchFeature(last)

    def encode(self, dialogues: Sequence[Dialogue]) -> tuple[BatchFeature, list[str]]:
        """Encodes dialogues; returns the tensors and one line per clip that could not be decoded."""
        batch = [utterances_of(dialogue, index) for index, dialogue in enumerate(dialogues)]
        longest = max((len(utterances) for utterances in batch), default=0)
        utterance_mask = torch.zeros(len(batch), longest, dtype=torch.bool)
        speaker_ids = torch.full((len(batch), longest), -1)
        for row, utterances in enumerate(batch):
            utterance_mask[row, : len(utterances)] = True
            numbers: dict[Any, int] = {}
            for column, utterance in enumerate(utterances):
                speaker_ids[row, column] = numbers.setdefault(self.speaker_key(utterance, column), len(numbers))

        data: dict[str, torch.Tensor] = {}
        problems: list[str] = []
        present = torch.zeros(int(utterance_mask.sum()), len(self.modalities), dtype=torch.bool)
        encoders = {"text": self._encode_text, "audio": self._encode_audio, "vision": self._encode_vision}
        flat = [utterance for utterances in batch for utterance in utterances]
        for index, modality in enumerate(self.modalities):
            name = MODALITIES[modality].features
            if getattr(self, SUB_PROCESSORS[modality]) is not None:
                check_one_form(modality, flat)
            if any(utterance.get(name) is not None for utterance in flat):
                tensors, here = _encode_features(flat, name, problems)
            else:
                tensors, here = encoders[modality](batch, problems)
            data.update(tensors)
            present[:, index] = torch.tensor(here, dtype=torch.bool)
        modality_mask = torch.zeros(*utterance_mask.shape, len(self.modalities), dtype=torch.bool)
        modality_mask[utterance_mask] = present
        masks = {"utterance_mask": utterance_mask, "modality_mask": modality_mask, "speaker_ids": speaker_ids}
        return BatchFeature({**masks, "utterance_index": utterance_mask.nonzero(), **data}), problems

    def speaker_key(self, utterance: Utterance, place: int) -> Any:
        """Returns what tells the speakers of a dialogue apart, for the utterance at a place in it."""
        speaker = utterance.get("speaker")
        return (None, place) if speaker is None and self.unnamed_speakers == "each" else speaker

    def _encode_text(
        self, batch: list[list[Utterance]], problems: list[str]
    ) -> tuple[dict[str, torch.Tensor], list[bool]]:
        if self.tokenizer is None:
            return {}, [False for utterances in batch for _ in utterances]
        if self.text_context == "dialogue":
            return self._encode_windows(self.tokenizer, batch)
        encoded = [
            text
            for utterances in batch
            for text in encode_in_context(
                self.tokenizer,
                [u.get("text") for u in utterances],
                [str(u.get("speaker") or "") for u in utterances],
                past=self.text_past,
                future=self.text_future,
                max_length=self.max_text_length,
            )
        ]
        texts = [text for text in encoded if text is not None]
        if not texts:
            return {}, [False] * len(encoded)
        ids = pad_stack([np.array(text.input_ids) for text in texts], fill=self.tokenizer.pad_token_id or 0)
        attention = pad_stack([np.ones(len(text.input_ids), dtype=np.int64) for text in texts])
        own = pad_stack([np.array(text.own, dtype=np.int64) for text in texts])
        tensors = {"input_ids": ids, "attention_mask": attention, "text_token_mask": own}
        return tensors, [text is not None for text in encoded]

    def _encode_windows(
        self, tokenizer: PreTrainedTokenizerBase, batch: list[list[Utterance]]
    ) -> tuple[dict[str, torch.Tensor], list[bool]]:
        windows: list[list[int]] = []
        places: list[Place | None] = []
        for utterances in batch:
            own_windows, own_places = encode_dialogue(
                tokenizer,
                [u.get("text") for u in utterances],
                [str(u.get("speaker") or "") for u in utterances],
                max_length=self.max_text_length,
            )
            places += [place and replace(place, window=place.window + len(windows)) for place in own_places]
            windows += own_windows
        here = [place is not None for place in places]
        if not windows:
            return {}, here
        ids = pad_stack([np.array(window) for window in windows], fill=tokenizer.pad_token_id or 0)
        attention = pad_stack([np.ones(len(window), dtype=np.int64) for window in windows])
        first = [place.window * ids.shape[1] + np.arange(place.start, place.stop) for place in places if place]
        tensors = {"input_ids": ids, "attention_mask": attention, "text_token_index": pad_stack(first, fill=-1)}
        return tensors, here

    def _encode_audio(
        self, batch: list[list[Utterance]], problems: list[str]
    ) -> tuple[dict[str, torch.Tensor], list[bool]]:
        extractor = self.feature_extractor
        values, masks = [], []

        def encode(utterance: Utterance, source: Any) -> None:
            rate = extractor.sampling_rate  # type: ignore[union-attr]
            wave = load_audio(
                source,
                rate,
                max_seconds=self.max_audio_seconds,
                **_range_of(utterance, source, "audio"),
            )
            # One clip at a time, so that its frames do not depend on the batch.
            frames = extractor(  # type: ignore[operator,misc]
                wave, sampling_rate=rate, padding="longest", return_attention_mask=True, return_tensors="np"
            )
            read = frames[extractor.model_input_names[0]][0]  # type: ignore[union-attr]
            if not np.isfinite(read).all():
                raise MediaError(
                    f"{source_name(source)}: the feature extractor gives NaN or infinite values "
                    f"(largest sample {np.abs(wave).max():.0e}; expected -1 to 1)"
                )
            values.append(read)
            if "attention_mask" in frames:
                masks.append(frames["attention_mask"][0][: values[-1].shape[-1]])

        here = self._try_each(batch, "audio", encode if extractor is not None else None, problems)
        if not values:
            return {}, here
        tensors = {"audio_values": pad_stack(values)}
        if masks:
            tensors["audio_attention_mask"] = pad_stack(masks)
        return tensors, here

    def _encode_vision(
        self, batch: list[list[Utterance]], problems: list[str]
    ) -> tuple[dict[str, torch.Tensor], list[bool]]:
        clips = []

        def encode(utterance: Utterance, source: Any) -> None:
            frames = load_frames(source, self.num_frames, **_range_of(utterance, source, "vision"))
            if self.face_crop:
                frames = crop_face(frames)
            # Otherwise the axis of the channels is guessed, wrongly for a frame of 1 or 3 rows.
            pixels = self.image_processor(list(frames), input_data_format="channels_last", return_tensors="np")[
                "pixel_values"
            ]
            clips.append(np.asarray(pixels))

        known = encode if self.image_processor is not None else None
        here = self._try_each(batch, "vision", known, problems)
        return ({"pixel_values": pad_stack(clips)} if clips else {}), here

    @staticmethod
    def _try_each(
        batch: list[list[Utterance]],
        modality: str,
        encode: Callable[[Utterance, Any], None] | None,
        problems: list[str],
    ) -> list[bool]:
        """Encodes each utterance that has a source; a clip that cannot be decoded is masked and reported."""
        here = []
        for utterance in (utterance for utterances in batch for utterance in utterances):
            source = next(
                (utterance[name] for name in MODALITIES[modality].raw if utterance.get(name) is not None), None
            )
            if isinstance(source, Mapping):
                source = _from_mapping(source)
            here.append(source is not None and encode is not None)
            if here[-1]:
                try:
                    encode(utterance, source)  # type: ignore[misc]
                except MediaError as error:
                    problems.append(str(error))
                    here[-1] = False
        return here


ErcProcessor.register_for_auto_class()


def is_dialogue(inputs: Any) -> bool:
    """Returns whether a list holds utterances, not dialogues."""
    if isinstance(inputs, str | bytes) or not isinstance(inputs, Iterable):
        raise ValueError(f"expected a dialogue, a list of utterances, or several; got {type(inputs).__name__}")
    first = inputs[0] if isinstance(inputs, Sequence) and inputs else None
    return isinstance(first, Mapping) and "utterances" not in first


def utterances_of(dialogue: Any, number: int) -> list[Utterance]:
    """Returns the utterances of a dialogue or of a row; `number` names a dialogue without id in errors."""
    utterances = dialogue.get("utterances") if isinstance(dialogue, Mapping) else dialogue
    if not isinstance(utterances, Sequence) or isinstance(utterances, str | bytes):
        raise ValueError(f"dialogue {number} is a {type(dialogue).__name__}: expected a list of utterances (dicts)")
    if not utterances:
        name = dialogue.get("dialogue_id", number) if isinstance(dialogue, Mapping) else number
        raise ValueError(f"dialogue {name!r} has no utterances: leave it out")
    return list(utterances)


def check_utterance(utterance: Any, place: str) -> None:
    """Raises `ValueError` for an utterance of a wrong form, naming place, value and remedy."""
    if not isinstance(utterance, Mapping):
        raise ValueError(f"{place} is a {type(utterance).__name__}: expected a dict such as {{'speaker', 'text'}}")
    if not isinstance(utterance.get("text"), str | None):
        raise ValueError(f"{place}: text is a {type(utterance['text']).__name__}: expected a string")
    for modality in MEDIA:
        for name in MODALITIES[modality].raw:
            source = utterance.get(name)
            if isinstance(source, str) and URL.match(source):
                raise ValueError(f"{place}: {name} {source!r} is a URL: download it and give its path or its bytes")
            if isinstance(source, Mapping):
                source = _from_mapping(source)
            waveform = modality == "audio" and isinstance(source, tuple) and len(source) == 2
            frames = modality == "vision" and isinstance(source, np.ndarray)
            if not (waveform or frames or isinstance(source, str | os.PathLike | bytes | None)):
                arrays = "an (array, rate) tuple, {'array', 'sampling_rate'}"
                also = arrays if modality == "audio" else "an array of frames"
                raise ValueError(
                    f"{place}: {name} is a {type(source).__name__}: expected a path, the bytes of a file or {also}"
                )


def _from_mapping(source: Mapping[str, Any]) -> Any:
    """Returns the clip in a value of `datasets.Audio`: `{"array", "sampling_rate"}` or `{"bytes", "path"}`."""
    if source.get("array") is not None and source.get("sampling_rate"):
        return np.asarray(source["array"]), int(source["sampling_rate"])
    return source["path"] if source.get("bytes") is None and source.get("path") else source.get("bytes", source)


def check_one_form(modality: str, utterances: Iterable[Utterance]) -> None:
    """Raises `ValueError` if some utterances have features of a modality and others only its raw input."""
    names = MODALITIES[modality]
    forms = {u.get(names.features) is not None for u in utterances if any(u.get(key) is not None for key in names.keys)}
    if len(forms) > 1:
        raise ValueError(
            f"some utterances have {names.features} and others {names.raw[0]}: "
            "give one of the two for all, or run the dialogues one by one"
        )


def only(modalities: Sequence[str], utterance: Utterance) -> dict[str, Any]:
    """Returns an utterance without the keys of other modalities."""
    off = {key for name, modality in MODALITIES.items() if name not in modalities for key in modality.keys}
    return {name: value for name, value in utterance.items() if name not in off}


def _range_of(utterance: Utterance, source: Any, modality: str) -> dict[str, Any]:
    """Returns the part of a media file to read; arrays are used completely."""
    return clip_settings(utterance, modality) if isinstance(source, str | bytes | PathLike) else {}


def _encode_features(
    utterances: list[Utterance], name: str, problems: list[str]
) -> tuple[dict[str, torch.Tensor], list[bool]]:
    """Stacks precomputed features `(width,)`, `(tokens, width)` or `(layers, tokens, width)`."""
    arrays, here = [], []
    for utterance in utterances:
        value = utterance.get(name)
        array = np.empty(0) if value is None else np.asarray(value, dtype=np.float32)
        usable = array.size > 0
        if usable and not np.isfinite(array).all():
            problems.append(f"{name} of utterance {utterance.get('utterance_id')!r} has NaN or infinite values")
            usable = False
        here.append(usable)
        if usable:
            arrays.append(array[None] if array.ndim == 1 else array)
    if not arrays:
        return {}, here
    widths = sorted({array.shape[-1] for array in arrays})
    if len(widths) > 1:
        raise ValueError(f"{name} has rows of different widths {widths}: all must have one")
    # Tokens come first while padding, because layers of a mix precede them.
    tokens = pad_stack([array.swapaxes(0, -2) for array in arrays]).movedim(1, -2)
    lengths = torch.tensor([array.shape[-2] for array in arrays])
    return {name: tokens, f"{name}_mask": torch.arange(tokens.shape[-2]) < lengths[:, None]}, here


def pad_stack(arrays: Sequence[np.ndarray], fill: float = 0) -> torch.Tensor:
    """Stacks arrays of equal rank to a tensor, with each axis padded at its end to the longest."""
    if len({array.shape for array in arrays}) == 1:
        return torch.from_numpy(np.stack(arrays))
    shape = np.max([array.shape for array in arrays], axis=0)
    stacked = np.full((len(arrays), *shape), fill, dtype=arrays[0].dtype)
    for row, array in zip(stacked, arrays, strict=True):
        row[tuple(slice(0, n) for n in array.shape)] = array
    return torch.from_numpy(stacked)
