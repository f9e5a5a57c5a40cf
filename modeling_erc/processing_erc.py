"""`ErcProcessor`: plain Python dialogues in, tensors for the model out."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
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
from .feature_extraction_erc import LogMelImageFeatureExtractor
from .media_erc import MediaError, crop_face, load_audio, load_frames

MEDIA = ("audio", "vision")
URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

Utterance = Mapping[str, Any]


def only(modalities: Sequence[str], utterance: Utterance) -> dict[str, Any]:
    """An utterance without what belongs to other modalities."""
    off = {key for name, modality in MODALITIES.items() if name not in modalities for key in modality.keys}
    return {name: value for name, value in utterance.items() if name not in off}


def is_dialogue(inputs: Any) -> bool:
    """Whether a list is of utterances, not of dialogues."""
    if isinstance(inputs, str | bytes) or not isinstance(inputs, Iterable):
        raise ValueError(f"expected a dialogue, a list of utterances, or several; got {type(inputs).__name__}")
    first = inputs[0] if isinstance(inputs, Sequence) and inputs else None
    return isinstance(first, Mapping) and "utterances" not in first


def utterances_of(dialogue: Any, number: int) -> list[Utterance]:
    """The utterances of a dialogue, or of a row; `number` is what an error calls it."""
    utterances = dialogue.get("utterances") if isinstance(dialogue, Mapping) else dialogue
    if not isinstance(utterances, Sequence) or isinstance(utterances, str | bytes):
        raise ValueError(f"dialogue {number} is a {type(dialogue).__name__}: expected a list of utterances (dicts)")
    if not utterances:
        raise ValueError(f"dialogue {number} has no utterances: leave it out")
    return list(utterances)


def check_utterance(utterance: Any, place: str) -> None:
    """Refuses what would be misread: the error names the place, the value and the remedy."""
    if not isinstance(utterance, Mapping):
        raise ValueError(f"{place} is a {type(utterance).__name__}: expected a dict such as {{'speaker', 'text'}}")
    if not isinstance(utterance.get("text"), str | None):
        raise ValueError(f"{place}: text is a {type(utterance['text']).__name__}: expected a string")
    for modality in MEDIA:
        for name in MODALITIES[modality].raw:
            source = utterance.get(name)
            if isinstance(source, str) and URL.match(source):
                raise ValueError(f"{place}: {name} {source!r} is a URL: download it and give its path or its bytes")
            sound = modality == "audio" and isinstance(source, tuple) and len(source) == 2
            frames = modality == "vision" and isinstance(source, np.ndarray)
            if not (sound or frames or isinstance(source, str | os.PathLike | bytes | None)):
                also = "an (array, rate) tuple" if modality == "audio" else "an array of frames"
                raise ValueError(
                    f"{place}: {name} is a {type(source).__name__}: expected a path, the bytes of a file or {also}"
                )


@dataclass(frozen=True)
class EncodedText:
    """Token ids of one utterance, and which of them are its own.

    Args:
        input_ids: ids with special tokens.
        own: True for the utterance's own tokens (the first special token included), False for its neighbours'.
    """

    input_ids: list[int]
    own: list[bool]


def encode_in_context(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str | None],
    speakers: Sequence[str],
    *,
    past: int,
    future: int,
    max_length: int,
) -> list[EncodedText | None]:
    """Encodes every utterance of a dialogue, each between its neighbours with speaker names.

    The form is `[CLS] past [SEP] utterance [SEP] future [SEP]`, each turn as "name: words", after EmoBERTa (Kim and
    Vossen 2021, arXiv 2108.12009). Without neighbours (`past = future = 0`) it is `[CLS] utterance [SEP]`, no name.

    Args:
        tokenizer: any tokenizer; special tokens that it lacks are left out.
        texts: the words of each utterance; `None` or blank where there are none.
        speakers: the speaker of each utterance.
        past: so many utterances before.
        future: so many utterances after.
        max_length: tokens at most. The utterance itself is cut only if it alone is too long; of its neighbours the
            farthest words go first.

    Returns:
        an entry for each utterance, `None` where it has no words.
    """
    start = _first_known(tokenizer.cls_token_id, tokenizer.bos_token_id)
    stop = _first_known(tokenizer.sep_token_id, tokenizer.eos_token_id)
    named = past or future
    turns = [f"{s}: {t}" if named else str(t) for s, t in zip(speakers, texts, strict=True)]
    room = max_length - len(start) - (3 if named else 1) * len(stop)
    ids: list[list[int]] = tokenizer(turns, add_special_tokens=False, truncation=True, max_length=room)["input_ids"]
    # Of some words, as of a lone zero-width space, a tokenizer leaves nothing.
    said = [bool(text and text.strip() and turn) for text, turn in zip(texts, ids, strict=True)]

    encoded: list[EncodedText | None] = []
    for index, own_ids in enumerate(ids):
        if not said[index]:
            encoded.append(None)
            continue
        left = [i for k in range(max(0, index - past), index) if said[k] for i in ids[k]]
        right = [i for k in range(index + 1, min(len(ids), index + 1 + future)) if said[k] for i in ids[k]]
        space = room - len(own_ids)
        keep_left = max(space // 2, space - len(right))
        left = left[max(0, len(left) - keep_left) :]
        right = right[: max(0, space - len(left))]
        parts = [(start, True)]
        parts += [([*left, *stop], False)] if named else []
        parts += [([*own_ids, *stop], True)]
        parts += [([*right, *stop], False)] if named else []
        encoded.append(
            EncodedText([i for part, _ in parts for i in part], [mine for part, mine in parts for _ in part])
        )
    return encoded


def _first_known(*token_ids: int | None) -> list[int]:
    return [i for i in token_ids if i is not None][:1]


logger = logging.get_logger(__name__)

Dialogue = Sequence[Utterance] | Mapping[str, Any]


class _SubProcessors:
    """`get_attributes()`: on the class every sub-processor there can be, on an instance those that it has."""

    names = ("tokenizer", "feature_extractor", "image_processor")

    def __get__(self, instance: "ErcProcessor | None", owner: type) -> Callable[[], list[str]]:
        return lambda: [name for name in self.names if instance is None or getattr(instance, name) is not None]


class ErcProcessor(ProcessorMixin):
    """Turns dialogues into model inputs: tokenizer, audio feature extractor and image processor in one.

    An utterance is a dict of `speaker`, `text`, `audio` (a path, bytes of a media file, or `(array, rate in Hz)`),
    `video` (a path or bytes), `start` and `end` (seconds inside the media), all optional; `audio_path`, `video_path`,
    `video_start`, `video_end` and `video_half` of the dataset's rows are read too. Precomputed `text_features`,
    `audio_features` or `visual_features` take the place of raw inputs. What an utterance lacks, or what cannot be
    decoded, becomes a masked-out modality.

    Args:
        tokenizer: for the text backbone.
        feature_extractor: for the audio backbone.
        image_processor: for the vision backbone.
        modalities: what the model takes, in its order.
        max_text_length: tokens an utterance at most, neighbours included.
        text_past: utterances before it whose words go into the text backbone with it.
        text_future: utterances after it, likewise.
        max_audio_seconds: longer clips are cut (seconds).
        num_frames: frames read of each video clip.
        face_crop: cut the frames to the largest face (needs the extra `faces`); without one they stay whole.

    Example:
        >>> processor = AutoProcessor.from_pretrained("runs/demo-001", trust_remote_code=True)  # doctest: +SKIP
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
        text_past: int = 0,
        text_future: int = 0,
        max_audio_seconds: float = 12.0,
        num_frames: int = 4,
        face_crop: bool = False,
    ) -> None:
        self.tokenizer = tokenizer
        self.feature_extractor = feature_extractor
        self.image_processor = image_processor
        self.chat_template = None
        self.modalities = list(modalities)
        self.max_text_length = max_text_length
        self.text_past = text_past
        self.text_future = text_future
        self.max_audio_seconds = max_audio_seconds
        self.num_frames = num_frames
        self.face_crop = face_crop

    @classmethod
    def _get_arguments_from_pretrained(
        cls, pretrained_model_name_or_path: str, processor_dict: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Any]:
        saved = processor_dict or {}
        # A tokenizer is saved in files of its own, so the config says nothing of it.
        present = {name: saved.get(name) is not None for name in _SubProcessors.names}
        present["tokenizer"] = bool(saved.get("has_tokenizer"))
        return [
            cls._loaders[name].from_pretrained(pretrained_model_name_or_path, **kwargs) if here else None
            for name, here in present.items()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Settings and sub-processors as a dict; what is absent is left out."""
        output = super().to_dict()
        output["has_tokenizer"] = self.tokenizer is not None
        return {name: value for name, value in output.items() if value is not None}

    @property
    def model_input_names(self) -> list[str]:
        """The model's arguments that this processor fills."""
        names = [name for m in self.modalities for name in MODALITIES[m].inputs]
        return ["utterance_mask", "modality_mask", "speaker_ids", *names]

    def __call__(self, dialogues: Dialogue | Sequence[Dialogue], **kwargs: Any) -> BatchFeature:
        """Encodes one dialogue or many; media that cannot be used is masked, with one warning.

        Args:
            dialogues: a list of utterances, a row with `utterances`, or a list of either.

        Returns:
            what [`ErcModel.forward`] takes, as tensors.

        Raises:
            ValueError: a dialogue is empty, or features do not fit together.
        """
        if isinstance(dialogues, Mapping) or (
            len(dialogues) > 0 and isinstance(dialogues[0], Mapping) and "utterances" not in dialogues[0]
        ):
            dialogues = [dialogues]  # type: ignore[list-item]
        inputs, problems = self.encode(dialogues)  # type: ignore[arg-type]
        if problems:
            logger.warning(f"{len(problems)} clip(s) could not be used and are masked: {'; '.join(problems[:5])}")
        return inputs

    def encode_next(self, past: Sequence[Utterance], utterance: Utterance) -> BatchFeature:
        """Encodes one utterance, as the last of a dialogue.

        Args:
            past: the utterances before it, of which only speaker and text are read, and only `text_past` of them.
            utterance: what is encoded.

        Returns:
            what [`ErcModel.forward`] takes, of a dialogue `(1, 1)`; its speaker is the first there.
        """
        neighbours = list(past)[max(0, len(past) - self.text_past) :]
        inputs = self([*({"speaker": u.get("speaker"), "text": u.get("text")} for u in neighbours), utterance])
        last = {name: inputs[name][:, -1:] for name in ("utterance_mask", "modality_mask")}
        last["speaker_ids"] = torch.zeros(1, 1, dtype=torch.long)
        for modality, here in zip(self.modalities, last["modality_mask"][0, 0].tolist(), strict=True):
            if here:
                name = MODALITIES[modality].features
                names = {name, f"{name}_mask", *MODALITIES[modality].inputs} & inputs.keys()
                last |= {name: inputs[name][-1:] for name in names}
        return BatchFeature(last)

    def encode(self, dialogues: Sequence[Dialogue]) -> tuple[BatchFeature, list[str]]:
        """Encodes dialogues; what could not be decoded is returned beside the tensors, a line each."""
        batch = [_utterances_of(dialogue, index) for index, dialogue in enumerate(dialogues)]
        longest = max((len(utterances) for utterances in batch), default=0)
        utterance_mask = torch.zeros(len(batch), longest, dtype=torch.bool)
        speaker_ids = torch.full((len(batch), longest), -1)
        for row, utterances in enumerate(batch):
            utterance_mask[row, : len(utterances)] = True
            numbers: dict[Any, int] = {}
            for column, utterance in enumerate(utterances):
                speaker_ids[row, column] = numbers.setdefault(utterance.get("speaker"), len(numbers))

        data: dict[str, torch.Tensor] = {}
        problems: list[str] = []
        present = torch.zeros(int(utterance_mask.sum()), len(self.modalities), dtype=torch.bool)
        encoders = {"text": self._encode_text, "audio": self._encode_audio, "vision": self._encode_vision}
        flat = [utterance for utterances in batch for utterance in utterances]
        for index, modality in enumerate(self.modalities):
            name = MODALITIES[modality].features
            if any(utterance.get(name) is not None for utterance in flat):
                tensors, here = _encode_features(flat, name, problems)
            else:
                tensors, here = encoders[modality](batch, problems)
            data.update(tensors)
            present[:, index] = torch.tensor(here, dtype=torch.bool)
        modality_mask = torch.zeros(*utterance_mask.shape, len(self.modalities), dtype=torch.bool)
        modality_mask[utterance_mask] = present
        masks = {"utterance_mask": utterance_mask, "modality_mask": modality_mask, "speaker_ids": speaker_ids}
        return BatchFeature({**masks, **data}), problems

    def _encode_text(
        self, batch: list[list[Utterance]], problems: list[str]
    ) -> tuple[dict[str, torch.Tensor], list[bool]]:
        if self.tokenizer is None:
            return {}, [False for utterances in batch for _ in utterances]
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
        said = [text for text in encoded if text is not None]
        if not said:
            return {}, [False] * len(encoded)
        ids = pad_stack([np.array(text.input_ids) for text in said], fill=self.tokenizer.pad_token_id or 0)
        seen = pad_stack([np.ones(len(text.input_ids), dtype=np.int64) for text in said])
        own = pad_stack([np.array(text.own, dtype=np.int64) for text in said])
        tensors = {"input_ids": ids, "attention_mask": seen, "text_token_mask": own}
        return tensors, [text is not None for text in encoded]

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
            # Clip by clip, so that a clip's frames do not depend on what else is in the batch.
            frames = extractor(  # type: ignore[operator,misc]
                wave, sampling_rate=rate, padding="longest", return_attention_mask=True, return_tensors="np"
            )
            values.append(frames[extractor.model_input_names[0]][0])  # type: ignore[union-attr]
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
            pixels = self.image_processor(list(frames), return_tensors="np")["pixel_values"]
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
        """Encodes each utterance that has a source; what cannot be decoded is a missing modality and a line."""
        here = []
        for utterance in (utterance for utterances in batch for utterance in utterances):
            source = next(
                (utterance[name] for name in MODALITIES[modality].raw if utterance.get(name) is not None), None
            )
            here.append(source is not None and encode is not None)
            if here[-1]:
                try:
                    encode(utterance, source)  # type: ignore[misc]
                except MediaError as error:
                    problems.append(str(error))
                    here[-1] = False
        return here


def _utterances_of(dialogue: Dialogue, index: int) -> list[Utterance]:
    utterances = dialogue["utterances"] if isinstance(dialogue, Mapping) else dialogue
    if not len(utterances):
        name = dialogue.get("dialogue_id", index) if isinstance(dialogue, Mapping) else index
        raise ValueError(f"dialogue {name!r} has no utterances: leave it out")
    return list(utterances)


def clip_settings(utterance: Utterance, modality: str) -> dict[str, Any]:
    """Where in its file an utterance's clip is, as `load_audio` and `load_frames` take it.

    Args:
        utterance: `start` and `end` (seconds); for the video `video_start` and `video_end`, where one is given, take
            their place, and `video_half` says which half of the picture.
        modality: audio or vision.
    """
    start, end = utterance.get("start"), utterance.get("end")
    if modality == "audio":
        return {"start": start, "end": end}
    if utterance.get("video_start") is not None or utterance.get("video_end") is not None:
        start, end = utterance.get("video_start"), utterance.get("video_end")
    return {"start": start, "end": end, "half": utterance.get("video_half")}


def _range_of(utterance: Utterance, source: Any, modality: str) -> dict[str, Any]:
    """The part of a media file; samples and frames that are given as arrays are that part already."""
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
    # Tokens first while padding: the layers of a mix come before them.
    tokens = pad_stack([array.swapaxes(0, -2) for array in arrays]).movedim(1, -2)
    lengths = torch.tensor([array.shape[-2] for array in arrays])
    return {name: tokens, f"{name}_mask": torch.arange(tokens.shape[-2]) < lengths[:, None]}, here


def pad_stack(arrays: Sequence[np.ndarray], fill: float = 0) -> torch.Tensor:
    """Stacks arrays of one rank into a tensor, each axis padded at its end to the longest."""
    if len({array.shape for array in arrays}) == 1:
        return torch.from_numpy(np.stack(arrays))
    shape = np.max([array.shape for array in arrays], axis=0)
    stacked = np.full((len(arrays), *shape), fill, dtype=arrays[0].dtype)
    for row, array in zip(stacked, arrays, strict=True):
        row[tuple(slice(0, n) for n in array.shape)] = array
    return torch.from_numpy(stacked)


ErcProcessor.register_for_auto_class()


__all__ = ["ErcProcessor", "LogMelImageFeatureExtractor"]
