"""Words of utterances that have a clip and no text: recognised once, and cached (`--transcribe`)."""

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import PartialState
from accelerate.utils import gather_object
from tqdm.auto import tqdm

from datasets_scripts import CORPORA, DialogueRows

from ..configuration_erc import MODALITIES
from ..containers_erc import MediaError, clip_settings
from ..features.feature_cache import clip_content, content_key, model_files
from ..hub.redaction import is_path
from ..media_erc import load_audio
from .arguments import DataArguments

# Clips that are recognised together; an interruption loses no more.
BATCH_CLIPS = 8


class Clip(NamedTuple):
    """The sound of an utterance without text: its place in the split, its file, and seconds in the file."""

    row: int
    place: int
    path: str
    start: float | None
    end: float | None
    key: str

    @property
    def name(self) -> str:
        """Name for messages."""
        start, end = self.start or 0, "end" if self.end is None else f"{self.end:g}"
        return self.path if self.start is None and self.end is None else f"{self.path}: {start:g}-{end} s"


def transcribe_missing(
    splits: Mapping[str, DialogueRows], modalities: list[str], data_args: DataArguments, device: str
) -> tuple[dict[str, int], list[str]]:
    """Gives the utterances of a corpus that have a clip and no text the words in it, if `transcribe` is set.

    The words are recognised once, sharded across the processes, which all call it, and kept beside the features of
    frozen backbones. A video serves where there is no audio file.

    Args:
        splits: the corpus; the words are added to its rows.
        modalities: modalities of the run.
        data_args: `transcribe` (folder or Hub id of the recogniser), `language` and the folder of the caches.
        device: device of the recogniser.

    Returns:
        For each split the number of utterances with recognised words (empty without `transcribe`), and one line for
        each clip without words.

    Raises:
        ValueError: text is not among the modalities, the recogniser or its language does not exist, or no utterance
            has text in the end.
    """
    model = data_args.transcribe
    if model is None:
        return {}, []
    if "text" not in modalities:
        raise ValueError(
            f"--transcribe {model} adds words, and the run reads {', '.join(modalities)}: add text to --modalities, "
            "or leave --transcribe out"
        )
    clips = {split: list(_clips_without_text(rows)) for split, rows in splits.items()}
    by_key = {clip.key: clip for own in clips.values() for clip in own}
    state = PartialState()
    if not by_key:
        if state.is_main_process:
            print(f"note: --transcribe {model}: no utterance with a clip lacks text")
        return {}, []
    # The language that a short clip seems to be in is often wrong, and that of most corpora is known.
    language = data_args.language or CORPORA[data_args.dataset].LANGUAGE
    words = WordCache(data_args.feature_folder, model, language)
    missing = [clip for key, clip in by_key.items() if key not in words.texts]
    own = [clip for clip in missing if int(clip.key[:8], 16) % state.num_processes == state.process_index]
    problems = _recognise(own, words, model, language, device) if own else []
    if state.num_processes > 1:
        problems = gather_object(problems)
        state.wait_for_everyone()
        words.read()
    problems += [f"{clip.name}: no words were recognised" for key, clip in by_key.items() if words.texts.get(key) == ""]
    counts = {}
    for split, rows in splits.items():
        found = [clip for clip in clips[split] if words.texts.get(clip.key)]
        for clip in found:
            rows.words.setdefault(clip.row, {})[clip.place] = words.texts[clip.key]
        counts[split] = len(found)
    if not any(utterance["text"] for rows in splits.values() for row in rows for utterance in row["utterances"]):
        raise ValueError(
            f"--transcribe {model}: none of the {len(by_key)} clips gave words: {'; '.join(problems[:3])}. "
            "Check the clips, or leave text out of --modalities"
        )
    return counts, problems


def _clips_without_text(rows: DialogueRows) -> Iterator[Clip]:
    for index, row in enumerate(rows):
        for place, utterance in enumerate(row["utterances"]):
            modality = "audio" if utterance["audio_path"] is not None else "vision"
            path = utterance[MODALITIES[modality].column]
            if path is not None and not (utterance["text"] or "").strip():
                part = clip_settings(utterance, modality)
                key = content_key(clip_content(utterance, modality))
                yield Clip(index, place, path, part["start"], part["end"], key)


def _recognise(clips: list[Clip], words: "WordCache", model: str, language: str | None, device: str) -> list[str]:
    """Adds the words of clips to the cache; returns one line for each clip that cannot be read."""
    # Only here, since the import takes seconds.
    from ..transcription import load_recogniser, recognise
    from ..transcription.speech import RATE

    if is_path(model) and not Path(model).is_dir():
        raise ValueError(f"--transcribe {model}: no such folder")
    recogniser, problems = None, []
    with tqdm(total=len(clips), desc="transcribing", unit="clip", disable=not PartialState().is_main_process) as bar:
        for first in range(0, len(clips), BATCH_CLIPS):
            batch = clips[first : first + BATCH_CLIPS]
            sounds = {}
            for clip in batch:
                try:
                    sounds[clip.key] = load_audio(clip.path, RATE, start=clip.start, end=clip.end)
                except MediaError as error:
                    problems.append(str(error))
            if sounds:
                try:
                    # Not before, since a later run may have nothing but clips that cannot be read.
                    recogniser = recogniser or load_recogniser(model, device)
                    texts = recognise(recogniser, list(sounds.values()), language)
                except ValueError as error:
                    raise ValueError(f"--transcribe: {error}") from error
                words.add(dict(zip(sounds, texts, strict=True)))
            bar.update(len(batch))
    return problems


class WordCache:
    """Recognised words by the key of their clip, in JSON lines: one file for each process that adds some.

    Args:
        folder: parent of the caches; each recogniser and language has its own folder.
        model: Hub id of the recogniser, or its folder, of which the names, sizes and times of the files count.
        language: language that is recognised; None if the recogniser detects it.

    Attributes:
        texts: words by key, empty where a clip has none.
    """

    def __init__(self, folder: Path, model: str, language: str | None) -> None:
        recogniser: Any = model_files(model) or model
        digest = hashlib.sha256(json.dumps([recogniser, language]).encode()).hexdigest()[:16]
        self.folder = folder / f"words-{digest}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.own_file = self.folder / f"{uuid.uuid4().hex}.jsonl"
        self.texts: dict[str, str] = {}
        self.read()

    def read(self) -> None:
        """Reads what all processes have added."""
        for path in sorted(self.folder.glob("*.jsonl")):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    key, text = json.loads(line)
                except ValueError:
                    continue  # a killed process left half a line: its clip is recognised again
                self.texts[key] = text

    def add(self, texts: Mapping[str, str]) -> None:
        """Stores words by key; what has neither letter nor digit, such as a note of music, is no word."""
        kept = {key: text if any(map(str.isalnum, text)) else "" for key, text in texts.items()}
        with self.own_file.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(pair) + "\n" for pair in kept.items())
        self.texts |= kept
