"""Pipeline for the task "emotion-recognition-in-conversation", and notes on the answers that it can give."""

import copy
import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import Pipeline, PreTrainedTokenizerBase
from transformers.utils import logging

from .configuration_erc import MODALITIES, ErcConfig
from .context_erc import LONG, LONG_WINDOW
from .processing_erc import (
    MEDIA,
    ErcProcessor,
    Utterance,
    check_one_form,
    check_utterance,
    is_dialogue,
    only,
    utterances_of,
)
from .registry_erc import DIALOGUE_INPUTS

logger = logging.get_logger(__name__)

TASK = "emotion-recognition-in-conversation"
# Entry of a checkpoint's config with which `pipeline(TASK, model=...)` finds the class in the repository.
CUSTOM_PIPELINES = {
    TASK: {
        "impl": "pipeline_erc.EmotionRecognitionPipeline",
        "pt": ["AutoModelForSequenceClassification"],
        "type": "multimodal",
    }
}

# Clips in memory at a time: longer conversations are encoded by the backbone in chunks of this size.
CHUNK = 64
# One word with a suffix, such as talk.srt.
FILE_NAME = re.compile(r"\S*[^\s.]\.(?=\d*[A-Za-z])\w{2,8}")
# Shares of unknown tokens, of letters outside the Latin script, and of English function words.
UNKNOWN, FOREIGN, FUNCTION_WORDS = 0.3, 0.3, 0.07
FEWEST_WORDS = 12  # to judge the language by its function words
FEW = 16  # utterances of a speaker, for a mean of them
MOST_TEXTS, LONGEST = 500, 1_000  # utterances that are examined, and characters of each
# Frequent English words that are rare in other languages of the Latin script.
ENGLISH = re.compile(
    r"\b(?:the|and|you|it|that|to|this|not|are|what|with|for|but|they|your|have|don|i['\u2019](?:m|ll|ve)|my|our|him|his|her|who|why|how|where|"
    r"there|here|yes|yeah|okay|just|know|think|can|would|will|been)\b"
)
WORD = re.compile(r"[^\W\d_]+")

Result = dict[str, Any]


class EmotionRecognitionPipeline(Pipeline):
    """Classifies the emotion of every utterance of one dialogue or several.

    An utterance is a dict of `speaker`, `text`, `audio` (a path, bytes, `(array, rate in Hz)` or `{"array",
    "sampling_rate"}`) and `video` (a path or bytes), with `start` and `end` (seconds) for a part of a file; any of them
    may be missing. Precomputed `text_features`, `audio_features` or `visual_features` replace raw inputs where the
    model reads them. A clip that cannot be used is masked and reported once in a warning.

    Args:
        modalities: modalities to use, default: all of the model.
        modality_scores: whether to return the scores of each modality head.
        top_k: number of labels in the scores, the highest first; default: all, in the order of the model.
        batch_size: number of dialogues in a batch (default: 1).
        num_workers: number of processes that decode media of long dialogues (default: 0).
        **kwargs: arguments of [`Pipeline`]: `model`, `processor`, `device`.

    Example:
        >>> from transformers import pipeline  # doctest: +SKIP
        >>> pipe = pipeline("emotion-recognition-in-conversation", model="runs/demo-001")  # doctest: +SKIP
        >>> pipe([{"speaker": "Ann", "text": "We won!"}, {"speaker": "Bo", "audio": "bo.wav"}])  # doctest: +SKIP
        [{'speaker': 'Ann', 'label': 'joy', 'score': 0.93, 'scores': {'joy': 0.93, ...}, 'modalities': ['text']}, ...]
    """

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False

    # Reads a conversation file to utterances; the installed package sets it.
    read_file: ClassVar[Callable[[str | os.PathLike[str]], list[dict[str, Any]]] | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.processor is None:
            raise ValueError(f"{TASK} needs a processor: pass processor=ErcProcessor.from_pretrained(...)")
        self._reported: set[str] = set()

    def _sanitize_parameters(
        self,
        modalities: Sequence[str] | None = None,
        modality_scores: bool | None = None,
        top_k: int | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        before = {} if modalities is None else {"modalities": self._known(modalities)}
        after: dict[str, Any] = {} if modality_scores is None else {"modality_scores": modality_scores}
        if top_k is not None:
            if top_k < 1:
                raise ValueError(f"top_k={top_k}: it must be at least 1; leave it out for all labels")
            after["top_k"] = top_k
        return before, {}, after

    def _known(self, modalities: Sequence[str]) -> list[str]:
        own = self.model.config.modalities
        unknown = [m for m in ([modalities] if isinstance(modalities, str) else modalities) if m not in own]
        if unknown or not modalities:
            raise ValueError(f"modalities={modalities!r}: the model has {', '.join(own)}; name one or more in a list")
        return [modalities] if isinstance(modalities, str) else list(modalities)

    def __call__(self, inputs: Any, **kwargs: Any) -> Any:
        """Classifies dialogues.

        Args:
            inputs: one dialogue, a list of dialogues, or a generator or `torch` dataset of dialogues, such as
                `KeyDataset`. A dialogue is a list of utterances, a row with `utterances`, an utterance alone, a string
                or a list of strings (the words of the turns of one speaker), or the path of a conversation file.
            **kwargs: `modalities`, `modality_scores`, `top_k`, `batch_size` and `num_workers` for this call.

        Returns:
            for one dialogue a list with one dict per utterance, for several a list of such lists, for a generator or
            dataset an iterator. A dict has `speaker`, `label`, its `score` (a probability), `scores` of the labels,
            used `modalities` and, with `modality_scores=True`, `modality_scores` {modality: {label: score}}. A model
            of several labels gives `labels`, a list, in place of `label` and `score`; one of targets, such as valence,
            gives `targets` {name: value}.

        Raises:
            ValueError: a dialogue is empty or has no input of the model, an utterance has a URL, or an input has a
                wrong type.
            FileNotFoundError: a string looks like the name of a file that does not exist.
        """
        if isinstance(inputs, Dataset):
            inputs = map(inputs.__getitem__, range(len(inputs)))  # type: ignore[arg-type]
        if isinstance(inputs, Iterator):
            return super().__call__((dialogue for dialogue in inputs), **kwargs)
        if isinstance(inputs, Mapping) and "utterances" not in inputs:
            inputs = [inputs]
        files = _is_words(inputs) and any(map(os.path.isfile, inputs))
        if isinstance(inputs, str | os.PathLike | Mapping) or (_is_words(inputs) and not files) or is_dialogue(inputs):
            return super().__call__([inputs], **kwargs)[0]
        dialogues = list(inputs)
        return super().__call__(dialogues, **kwargs) if dialogues else []

    def get_iterator(
        self,
        inputs: Iterable[Any],
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Iterator[list[Result]]:
        """Yields the results of each dialogue; batches consist of dialogues, whose tensors the processor packs."""
        numbered = enumerate(inputs)
        while batch := list(itertools.islice(numbered, batch_size)):
            model_inputs = self.preprocess(batch, **preprocess_params)
            outputs = self.forward(model_inputs, num_workers=num_workers, **forward_params)
            yield from self.postprocess(outputs, **postprocess_params)

    def preprocess(  # type: ignore[override]
        self, batch: Sequence[tuple[int, Any]], modalities: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Checks numbered dialogues and removes modalities that are not used."""
        chosen = self.model.config.modalities if modalities is None else modalities
        dialogues = []
        for number, dialogue in batch:
            utterances = utterances_of(self._turns(dialogue), number)
            for index, utterance in enumerate(utterances):
                check_utterance(utterance, f"dialogue {number}, utterance {index}")
            if not any(self._has(utterance, m) for utterance in utterances for m in self.model.config.modalities):
                raise ValueError(f"dialogue {number} has nothing that the model reads: give {self._expected_keys()}")
            reported = set(self._reported)
            for note in self.notes(utterances, modalities):
                if note not in reported:
                    logger.warning(note)
            dialogues.append([only(chosen, utterance) for utterance in utterances])
        for modality in (m for m in chosen if m in self.model.erc_model.encoders):
            check_one_form(modality, itertools.chain.from_iterable(dialogues))
        return {"dialogues": dialogues}

    def _turns(self, dialogue: Any) -> Any:
        """Returns a dialogue of words as utterances, and a file as what it holds."""
        if isinstance(dialogue, os.PathLike) or (isinstance(dialogue, str) and os.path.isfile(dialogue)):
            read = type(self).read_file
            if read is None:
                raise ValueError(f"{dialogue} is a file, which only the installed package reads: give its utterances")
            return read(dialogue)
        if isinstance(dialogue, str):
            if FILE_NAME.fullmatch(dialogue):
                raise FileNotFoundError(f"{dialogue}: no such file; if these are words, give {{'text': ...}}")
            dialogue = [dialogue]
        return [{"text": turn} for turn in dialogue] if _is_words(dialogue) else dialogue

    def notes(
        self, utterances: Sequence[Utterance], modalities: Sequence[str] | None = None, language: str | None = None
    ) -> list[str]:
        """Returns a sentence for each reason to doubt the results; see `notes_about`. They are not warned of again."""
        found = notes_about(self.model.config, self.processor, utterances, language, modalities)
        self._reported.update(found)
        return found

    def _has(self, utterance: Utterance, modality: str) -> bool:
        names = MODALITIES[modality]
        readable = names.keys if modality in self.model.erc_model.encoders else (names.features,)
        return any(utterance.get(key) is not None for key in readable)

    def _expected_keys(self) -> str:
        with_backbone = self.model.erc_model.encoders
        modalities = self.model.config.modalities
        return ", ".join(MODALITIES[m].raw[0] if m in with_backbone else MODALITIES[m].features for m in modalities)

    def _forward(self, model_inputs: dict[str, Any], num_workers: int = 0) -> dict[str, Any]:
        dialogues = model_inputs["dialogues"]
        if sum(map(len, dialogues)) > CHUNK:
            dialogues = self._encode_media(dialogues, num_workers)
        inputs, problems = self.processor.encode(dialogues)
        self._report(problems)
        output = self.model(**self._to_model(inputs))
        return {
            "logits": output.logits,
            "modality_logits": output.modality_logits,
            "modality_mask": output.modality_mask,
            "speakers": [[utterance.get("speaker") for utterance in dialogue] for dialogue in dialogues],
        }

    def _encode_media(self, dialogues: Sequence[Sequence[Utterance]], num_workers: int) -> list[list[dict[str, Any]]]:
        """Replaces clips by tokens of the backbones, so that the frames of a film are never all in memory."""
        encoded = [[dict(utterance) for utterance in dialogue] for dialogue in dialogues]
        flat = [utterance for dialogue in encoded for utterance in dialogue]
        for modality in (m for m in MEDIA if m in self.model.erc_model.encoders):
            feature = MODALITIES[modality].features
            with_clip = [u for u in flat if u.get(feature) is None and self._has(u, modality)]
            chunks = [with_clip[first : first + CHUNK] for first in range(0, len(with_clip), CHUNK)]
            reader = copy.copy(self.processor)
            reader.modalities = [modality]
            encode = partial(_encode_chunk, reader)
            loader: Any = DataLoader(chunks, batch_size=None, collate_fn=encode, num_workers=num_workers)  # type: ignore[arg-type]
            if len(chunks) > 1:
                loader = logging.tqdm(loader, desc=f"{modality} of {len(with_clip)} utterances", unit=f"x{CHUNK}")
            for chunk, (inputs, problems) in zip(chunks, loader, strict=True):
                self._report(problems)
                present = inputs.pop("modality_mask")[0, :, 0].tolist()
                if any(present):
                    tokens, mask = self.model.erc_model.encoder(modality)(**self._to_model(inputs))
                    rows = zip(tokens.float().cpu(), mask.bool().cpu(), strict=True)
                for utterance, here in zip(chunk, present, strict=True):
                    for name in MODALITIES[modality].raw:
                        utterance.pop(name, None)
                    if here:
                        row, own = next(rows)
                        utterance[feature] = row[..., own, :].numpy()
        return encoded

    def _to_model(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Moves tensors to the device of the model."""
        return {name: value.to(self.device) for name, value in inputs.items()}

    def _report(self, problems: Sequence[str]) -> None:
        """Warns about clips that were not reported before."""
        new = [problem for problem in dict.fromkeys(problems) if problem not in self._reported]
        self._reported.update(new)
        if new:
            more = f"; and {len(new) - 5} more" if len(new) > 5 else ""
            logger.warning(f"{len(new)} clip(s) could not be used and are masked: {'; '.join(new[:5])}{more}")

    def postprocess(  # type: ignore[override]
        self, outputs: dict[str, Any], modality_scores: bool = False, top_k: int | None = None
    ) -> list[list[Result]]:
        """Converts logits to scores by label and to targets for each dialogue and utterance."""
        config = self.model.config
        several = config.problem_type == "multi_label_classification"
        logits, own = outputs["logits"].float(), outputs["modality_logits"].float()
        results: list[list[Result]] = []
        for row, speakers in enumerate(outputs["speakers"]):
            results.append([])
            for place, speaker in enumerate(speakers):
                here = outputs["modality_mask"][row, place].tolist()
                used = [(m, i) for i, m in enumerate(config.modalities) if here[i]]
                result: Result = {"speaker": speaker}
                scores, targets = self._named(logits[row, place], None)
                if several:
                    limits = config.label_thresholds or [0.5] * len(scores)
                    result["labels"] = [n for (n, s), limit in zip(scores.items(), limits, strict=True) if s >= limit]
                elif scores:
                    label = max(scores, key=lambda name: scores[name])
                    result |= {"label": label, "score": scores[label]}
                if scores:
                    result["scores"] = self._named(logits[row, place], top_k)[0]
                if targets:
                    result["targets"] = targets
                result["modalities"] = [m for m, _ in used]
                if modality_scores:
                    named = {m: self._named(own[row, place, i], top_k) for m, i in used}
                    result["modality_scores"] = {m: {**scores, **targets} for m, (scores, targets) in named.items()}
                results[-1].append(result)
        return results

    def _named(self, logits: Tensor, top_k: int | None) -> tuple[dict[str, float], dict[str, float]]:
        """Returns the probabilities of the labels, or of the `top_k` highest, and the targets of an utterance."""
        config = self.model.config
        classes, targets = logits[: config.num_classes], logits[config.num_classes :].tolist()
        several = config.problem_type == "multi_label_classification"
        ranked = list(enumerate((classes.sigmoid() if several else classes.softmax(dim=-1)).tolist()))
        if top_k is not None:
            ranked = sorted(ranked, key=lambda entry: -entry[1])[:top_k]
        scores = {config.id2label[index]: score for index, score in ranked}
        return scores, dict(zip(config.target_names or (), targets, strict=True))

    def stream(
        self,
        utterances: Iterable[Utterance],
        modalities: Sequence[str] | None = None,
        modality_scores: bool | None = None,
    ) -> Iterator[Result]:
        """Classifies a running dialogue: each result is returned before the next utterance is requested.

        Args:
            utterances: any iterable, such as a generator.
            modalities: modalities to use, default: all of the model.
            modality_scores: whether to return the scores of each modality head.

        Returns:
            an iterator over the result dicts.

        Raises:
            ValueError: the model reads later utterances (see [`ErcStream`]), or an utterance has a wrong form.
        """
        before, _, after = self._sanitize_parameters(modalities, modality_scores)
        chosen = {**self._preprocess_params, **before}.get("modalities", self.model.config.modalities)
        stream = self.model.stream(self.processor)

        def results() -> Iterator[Result]:
            for index, utterance in enumerate(utterances):
                check_utterance(utterance, f"utterance {index}")
                output = stream.add(only(chosen, utterance))
                outputs = {**output, "speakers": [[utterance.get("speaker")]]}
                yield self.postprocess(outputs, **{**self._postprocess_params, **after})[0][0]

        return results()

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Saves model, processor and code as a checkpoint."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)


def _is_words(inputs: Any) -> bool:
    return isinstance(inputs, list | tuple) and bool(inputs) and all(isinstance(turn, str) for turn in inputs)


def _encode_chunk(reader: ErcProcessor, chunk: list[Utterance]) -> tuple[dict[str, Tensor], list[str]]:
    inputs, problems = reader.encode([chunk])
    read = {name: value for name, value in inputs.items() if name not in DIALOGUE_INPUTS}
    return {"modality_mask": inputs["modality_mask"], **read}, problems


def synthetic_note(config: ErcConfig) -> str | None:
    """Returns the note about a model that was trained on a synthetic corpus, else None."""
    corpus = config.training_corpus or {}
    if not corpus.get("synthetic"):
        return None
    return (
        f"the model was trained on the synthetic corpus {corpus['name']!r} and tells nothing about real conversations: "
        "use a checkpoint that was trained on real ones"
    )


def notes_about(
    config: ErcConfig,
    processor: ErcProcessor,
    utterances: Sequence[Mapping[str, Any]],
    language: str | None = None,
    modalities: Sequence[str] | None = None,
) -> list[str]:
    """Returns a sentence for each reason to doubt what a model answers on a conversation.

    Args:
        config: config of the model.
        processor: its processor.
        utterances: the conversation, in the form of the pipeline's input.
        language: code of the language, such as `en`, where it is known.
        modalities: modalities that are used, default: all of the model.
    """
    chosen = config.modalities if modalities is None else modalities
    present = [
        m for m, names in MODALITIES.items() if any(u.get(key) is not None for u in utterances for key in names.keys)
    ]
    notes = [note for note in [synthetic_note(config)] if note]
    if unread := [m for m in present if m not in config.modalities]:
        notes.append(
            f"the model reads {_listed(config.modalities)} only: the conversation's {_listed(unread)} cannot be used"
        )
    if missing := [m for m in chosen if m not in present]:
        notes.append(f"the conversation has no {_listed(missing, 'or')}, which the model was trained with")
    if len(utterances) > LONG and config.context == "transformer" and config.context_window is None:
        notes.append(
            f"the conversation has more than {LONG:,} utterances: each sees the {LONG_WINDOW} before and after it only"
        )
    unnamed = sum(u.get("speaker") is None for u in utterances)
    reads_others = config.context != "none" or config.centered_modalities
    if unnamed > 1 and reads_others and processor.unnamed_speakers == "one":
        notes.append(
            f"{unnamed} of {len(utterances)} utterances have no speaker: the model takes them for those of one person"
        )
    for m in sorted({*(config.centered_modalities or [])} & {*chosen}):
        own = [u for u in utterances if any(u.get(key) is not None for key in MODALITIES[m].keys)]
        counts = Counter(processor.speaker_key(u, place) for place, u in enumerate(own))
        if few := sum(count < FEW for count in counts.values()):
            notes.append(
                f"{few} of {len(counts)} speakers have fewer than {FEW} utterances with {m}, too few for a good mean, "
                "which the model subtracts: give more utterances of them"
            )
    texts = [str(u["text"]) for u in utterances if u.get("text")][:MOST_TEXTS]
    texts = [text[:LONGEST].encode("utf-8", "replace").decode() for text in texts]  # tokenizers refuse half an emoji
    if "text" in chosen and processor.tokenizer is not None and texts:
        notes += _text_notes(texts, processor.tokenizer, (config.training_corpus or {}).get("language"), language)
    return notes


def _text_notes(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, trained: str | None, language: str | None
) -> list[str]:
    notes = []
    unknown = tokenizer.unk_token
    words = [[t for t in tokenizer.tokenize(text) if t == unknown or any(map(str.isalpha, t))] for text in texts]
    without = sum(bool(tokens) and all(t == unknown for t in tokens) for tokens in words)
    share = sum(t == unknown for tokens in words for t in tokens) / max(1, sum(map(len, words)))
    if without:
        notes.append(f"{without} of {len(texts)} utterances have no word that the model knows: their text says nothing")
    elif share > UNKNOWN:
        notes.append(f"{share:.0%} of the words are unknown to the model, which guesses from the others")
    same = language == trained if language is not None else trained != "en" or _english("\n".join(texts))
    if trained is not None and not same:
        notes.append(f"the words do not seem to be in {trained!r}, the language that the model was trained on")
    return notes


def _english(text: str) -> bool:
    """Guesses whether text is English, from its script and its function words."""
    letters = [letter for letter in text if letter.isalpha()]
    if sum(letter > "\u024f" for letter in letters) > FOREIGN * len(letters):
        return False
    words = len(WORD.findall(text))
    return words < FEWEST_WORDS or len(ENGLISH.findall(text.lower())) >= FUNCTION_WORDS * words


def _listed(names: Sequence[str], last: str = "and") -> str:
    return f" {last} ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
