"""Writes the demo corpus, a small synthetic corpus in the layout of the raw MELD release.

The lines come from `script`, the audio from `voice` and the frames from `face`. The same recipe and seed give the same
tables and clips.
"""

import csv
import json
import os
import random
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from .face import film
from .film import FRAME_RATE, write_film
from .script import CAST, SENTIMENT, Line, write_dialogues
from .voice import speak

RECIPE_VERSION = 3
MIN_FRAMES, MAX_FRAMES = 7, 12
STAMP = "demo.json"

COLUMNS = (
    *("Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment"),
    *("Dialogue_ID", "Utterance_ID", "Season", "Episode", "StartTime", "EndTime"),
)
CLIP_FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}


@dataclass(frozen=True)
class DemoRecipe:
    """Size of a demo corpus.

    Args:
        train_dialogues: number of training dialogues.
        dev_dialogues: number of dev dialogues.
        test_dialogues: number of test dialogues.
        utterances: number of utterances in each dialogue.
    """

    train_dialogues: int = 150
    dev_dialogues: int = 40
    test_dialogues: int = 50
    utterances: int = 8

    def __post_init__(self) -> None:
        for name, count in asdict(self).items():
            if count < 1:
                raise ValueError(f"DemoRecipe({name}={count}): the number has to be at least 1")

    def dialogues(self) -> dict[str, int]:
        """Returns the number of dialogues by split."""
        return {"train": self.train_dialogues, "dev": self.dev_dialogues, "test": self.test_dialogues}

    def clips(self) -> dict[str, int]:
        """Returns the number of utterances, and thus of clips, by split."""
        return {split: dialogues * self.utterances for split, dialogues in self.dialogues().items()}


@dataclass(frozen=True)
class Clip:
    """A clip to write; its content depends on these values alone."""

    path: Path
    line: Line
    frames: int
    seed: tuple[int, ...]


def ensure_demo_corpus(root: Path, seed: int = 0, recipe: DemoRecipe = DemoRecipe()) -> Path:
    """Writes a demo corpus into `root` unless it is already there, complete and with this seed and size.

    Args:
        root: folder of the corpus.
        seed: seed of the corpus, not negative.
        recipe: size of the corpus.

    Returns:
        `root`.

    Raises:
        FileExistsError: if `root` contains something other than a demo corpus.
        ValueError: if `seed` is negative.
    """
    root = Path(root)
    if _is_complete(root, seed, recipe):
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    # In a distributed run one process writes; the others wait and then find the corpus complete.
    with FileLock(root.with_name(f".{root.name}.lock")):
        if not _is_complete(root, seed, recipe):
            write_demo_corpus(root, seed=seed, recipe=recipe)
    return root


def write_demo_corpus(
    root: Path, *, seed: int = 0, workers: int | None = None, recipe: DemoRecipe = DemoRecipe()
) -> Path:
    """Writes a demo corpus and replaces an older one.

    The files are written to a temporary folder beside `root`, which is then renamed: an interrupted run leaves no
    incomplete corpus.

    Args:
        root: folder of the corpus.
        seed: seed of the corpus, not negative.
        workers: number of processes; None means one per processor, 1 means the calling process.
        recipe: size of the corpus.

    Returns:
        `root`.

    Raises:
        FileExistsError: if `root` contains something other than a demo corpus.
        ValueError: if `seed` is negative.
    """
    if seed < 0:
        raise ValueError(f"seed {seed} of the demo corpus is negative: give 0 or more")
    root = Path(root)
    if root.exists() and any(root.iterdir()) and not (root / STAMP).is_file():
        raise FileExistsError(f"{root} is not empty and has no {STAMP}: name a new folder for the demo corpus")

    root.parent.mkdir(parents=True, exist_ok=True)
    draft = root.with_name(f".{root.name}.{os.getpid()}.part")
    try:
        clips = [clip for split in CLIP_FOLDERS for clip in _write_split(draft, split, seed, recipe)]
        _write_clips(clips, workers or os.cpu_count() or 1)
        (draft / STAMP).write_text(json.dumps(_stamp(seed, recipe), indent=2) + "\n", encoding="utf-8")
        if root.exists():
            shutil.rmtree(root)
        draft.rename(root)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return root


def _stamp(seed: int, recipe: DemoRecipe) -> dict[str, object]:
    return {"recipe_version": RECIPE_VERSION, "seed": seed, "recipe": asdict(recipe), "utterances": recipe.clips()}


def _is_complete(root: Path, seed: int, recipe: DemoRecipe) -> bool:
    try:
        stamp = json.loads((root / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    clips = {split: len(list((root / folder).glob("dia*_utt*.mp4"))) for split, folder in CLIP_FOLDERS.items()}
    tables = all((root / f"{split}_sent_emo.csv").is_file() for split in CLIP_FOLDERS)
    return stamp == _stamp(seed, recipe) and clips == recipe.clips() and tables


def _write_split(root: Path, split: str, seed: int, recipe: DemoRecipe) -> Iterator[Clip]:
    """Writes the table of one split and yields its clips, which are not written yet."""
    folder = root / CLIP_FOLDERS[split]
    folder.mkdir(parents=True)
    # Each split has its own generator: dev and test do not depend on the size of train.
    rng = random.Random(f"demo corpus {RECIPE_VERSION} {seed} {split}")
    lines = write_dialogues(recipe.dialogues()[split], recipe.utterances, rng)
    clock = 0
    with open(root / f"{split}_sent_emo.csv", "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for number, line in enumerate(lines, start=1):
            frames = rng.randint(MIN_FRAMES, MAX_FRAMES)
            start = 60_000 if line.utterance == 0 else clock + rng.randint(100, 600)
            clock = start + round(1000 * frames / FRAME_RATE)
            season, episode = divmod(line.dialogue, 20)
            said = (number, line.text, line.speaker, line.emotion, SENTIMENT[line.emotion])
            place = (line.dialogue, line.utterance, season + 1, episode + 1)
            table.writerow((*said, *place, _clock_time(start), _clock_time(clock)))
            path = folder / f"dia{line.dialogue}_utt{line.utterance}.mp4"
            split_number = list(CLIP_FOLDERS).index(split)
            yield Clip(path, line, frames, (seed, split_number, line.dialogue, line.utterance))


def _clock_time(milliseconds: int) -> str:
    seconds, thousandths = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d},{thousandths:03d}"


def _write_clips(clips: list[Clip], workers: int) -> None:
    with tqdm(total=len(clips), desc="demo corpus", unit="clip") as progress:
        if workers == 1:
            for clip in clips:
                write_clip(clip)
                progress.update()
            return
        # A spawned worker runs the caller's script again, which would need a main guard: fork where that is safe.
        context = get_context("fork" if sys.platform == "linux" else "spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            for _ in pool.map(write_clip, clips, chunksize=8):
                progress.update()


def write_clip(clip: Clip) -> None:
    """Writes one mp4 file; it depends on the clip alone."""
    speaker = CAST.index(clip.line.speaker)
    rng = np.random.default_rng(clip.seed)
    frames = film(clip.line.cues.vision, speaker, clip.frames, rng)
    samples = speak(clip.line.cues.audio, speaker, clip.frames / FRAME_RATE, rng)
    write_film(clip.path, frames, samples)
