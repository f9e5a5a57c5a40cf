"""Statistics of a corpus: sizes, labels, missing and broken media, and speakers shared between splits."""

import collections
import itertools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import datasets
import numpy as np
import soundfile
from tqdm import tqdm

# Media count as broken exactly where training would reject them.
from modeling_erc.containers_erc import ClipRange, MediaError
from modeling_erc.media_erc import MediaInfo, probe_media

from ..schema import FEATURE_COLUMNS, MEDIA_COLUMNS, label_names
from .markdown import aligned_table

EXAMPLES = 5
# Number of dialogues whose media files are opened at the same time.
DIALOGUES_AT_ONCE = 64

# Header of a media file; the reason why it cannot be used; or None if there is no file.
Clip = MediaInfo | MediaError | None


@dataclass
class SplitFacts:
    """Statistics of one split.

    Args:
        dialogues: number of dialogues.
        labels: number of utterances by class index; None counts those that are context only.
        lengths: utterances of each dialogue.
        words: words of each utterance with text.
        seconds: seconds of each utterance of known length.
        speakers: number of utterances by speaker.
        longest: seconds and place ("dialogue/utterance") of the longest utterance.
        usable: number of usable clips by media column.
        missing: number of utterances without a clip by media column.
        broken: number of clips that cannot be used by media column.
        not_finite: number of vectors with NaN or infinity by feature column.
        widths: number of vectors by feature column and width.
    """

    dialogues: int = 0
    labels: collections.Counter[int | None] = field(default_factory=collections.Counter)
    lengths: list[int] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    speakers: collections.Counter[str] = field(default_factory=collections.Counter)
    longest: tuple[float, str] = (0.0, "")
    usable: collections.Counter[str] = field(default_factory=collections.Counter)
    missing: collections.Counter[str] = field(default_factory=collections.Counter)
    broken: collections.Counter[str] = field(default_factory=collections.Counter)
    not_finite: collections.Counter[str] = field(default_factory=collections.Counter)
    widths: dict[str, collections.Counter[int]] = field(
        default_factory=lambda: collections.defaultdict(collections.Counter)
    )

    @property
    def utterances(self) -> int:
        """Number of utterances, including context."""
        return self.labels.total()

    @property
    def labelled(self) -> int:
        """Number of utterances with a label."""
        return self.utterances - self.labels[None]


@dataclass
class CorpusFacts:
    """Statistics of all splits.

    Args:
        names: class names in the order of their indices.
        splits: statistics by split.
        feature_columns: columns of precomputed features.
        named: media columns in which at least one row names a file.
        missing: first few utterances without a clip by media column, as "dialogue/utterance" or
            "dialogue/utterance: path: no such file".
        broken: first few utterances whose clip cannot be used, as "dialogue/utterance: reason".
    """

    names: list[str]
    splits: dict[str, SplitFacts]
    feature_columns: list[str]
    named: set[str] = field(default_factory=set)
    missing: dict[str, list[str]] = field(default_factory=lambda: collections.defaultdict(list))
    broken: list[str] = field(default_factory=list)

    def label_counts(self) -> dict[str, dict[str, int]]:
        """Returns the number of utterances by split and class."""
        return {
            split: {name: facts.labels[index] for index, name in enumerate(self.names)}
            for split, facts in self.splits.items()
        }


def describe(splits: Mapping[str, Any]) -> CorpusFacts:
    """Computes the statistics of a corpus.

    Every row is read once, and every media file is opened once without decoding.

    Args:
        splits: prepared or streamed splits, as returned by `load_erc_dataset`.

    Example:
        >>> facts = describe(load_erc_dataset("meld", "MELD.Raw", streaming=True))
        >>> facts.splits["dev"].utterances
        1109
    """
    features: datasets.Features = next(iter(splits.values())).features
    columns = [column for column in FEATURE_COLUMNS.values() if column in features["utterances"].feature]
    facts = CorpusFacts(label_names(features), {}, columns)
    known: dict[str, Clip] = {}
    with ThreadPoolExecutor() as pool, tqdm(desc="media", unit=" files", disable=None, leave=False) as bar:
        for split, rows in splits.items():
            facts.splits[split] = SplitFacts()
            iterator = iter(rows)
            while block := list(itertools.islice(iterator, DIALOGUES_AT_ONCE)):
                turns = [turn for row in block for turn in row["utterances"]]
                paths = {turn[column]: None for turn in turns for column in MEDIA_COLUMNS if turn[column] is not None}
                new = [path for path in paths if path not in known]
                for path, clip in zip(new, pool.map(probe, new), strict=True):
                    known[path] = clip
                    bar.update()
                for row in block:
                    _count_dialogue(facts, split, row, known)
    return facts


def probe(path: str) -> Clip:
    """Reads the header of a media file without decoding it.

    Returns:
        The header; the reason why the file cannot be used; or None if there is no file.
    """
    if not os.path.exists(path):
        return None
    try:
        sound = soundfile.info(path) if path.lower().endswith((".wav", ".flac")) else None  # 80 times faster than PyAV
    except soundfile.SoundFileError:
        sound = None  # another container under that name, or an unreadable file: PyAV reports the reason
    try:
        info = MediaInfo(sound.duration, True, False, *[None] * 4) if sound else probe_media(path)
    except MediaError as error:
        return error
    return MediaError(f"{path}: 0 s long") if info.duration == 0 else info


def used_seconds(turn: Mapping[str, Any], column: str, clip: MediaInfo) -> float | None:
    """Returns the length in seconds of the part of a clip that an utterance uses; None if it is unknown.

    Raises:
        MediaError: if the clip or that part of it cannot be used.
    """
    path, kind = turn[column], MEDIA_COLUMNS[column]
    if not (clip.has_audio if kind == "audio" else clip.has_video):
        raise MediaError(f"{path}: no {kind} in it")
    # As in the processor: a video's own times take precedence.
    video = turn.get("video_start"), turn.get("video_end")
    start, end = video if kind == "video" and video != (None, None) else (turn["start"], turn["end"])
    part = ClipRange.checked(path, start, end)
    if clip.duration is None:
        return None if end is None else part.stop - part.begin
    part.check_inside(clip.duration)
    return min(part.stop, clip.duration) - part.begin


def _count_dialogue(facts: CorpusFacts, split: str, row: dict[str, Any], known: Mapping[str, Clip]) -> None:
    counts = facts.splits[split]
    counts.dialogues += 1
    counts.lengths.append(len(row["utterances"]))
    for turn in row["utterances"]:
        place = f"{row['dialogue_id']}/{turn['utterance_id']}"
        counts.labels[turn["label"]] += 1
        counts.speakers[turn["speaker"]] += 1
        if turn["text"] is not None:
            counts.words.append(len(turn["text"].split()))
        seconds = _count_media(facts, counts, turn, place, known)
        if seconds is not None:
            counts.seconds.append(seconds)
            counts.longest = max(counts.longest, (seconds, place))
        for column in facts.feature_columns:
            if turn[column] is not None:
                counts.widths[column][len(turn[column])] += 1
                counts.not_finite[column] += not np.isfinite(np.asarray(turn[column], dtype=np.float64)).all()


def _count_media(
    facts: CorpusFacts,
    counts: SplitFacts,
    turn: dict[str, Any],
    place: str,
    known: Mapping[str, Clip],
) -> float | None:
    """Counts the media of an utterance; returns its length in seconds from audio, video or times, or None."""
    lengths: list[float | None] = []
    for column in MEDIA_COLUMNS:
        path = turn[column]
        clip = None if path is None else known[path]
        if path is not None:
            facts.named.add(column)
        if clip is None:
            counts.missing[column] += 1
            if len(facts.missing[column]) < EXAMPLES:
                facts.missing[column].append(place if path is None else f"{place}: {path}: no such file")
            continue
        try:
            if isinstance(clip, MediaError):
                raise clip
            lengths.append(used_seconds(turn, column, clip))
            counts.usable[column] += 1
        except MediaError as error:
            counts.broken[column] += 1
            # A file used as audio and as video is one problem.
            if len(facts.broken) < EXAMPLES and f"{place}: {error}" not in facts.broken:
                facts.broken.append(f"{place}: {error}")
    if all(turn[column] is None for column in MEDIA_COLUMNS) and turn["start"] is not None and turn["end"] is not None:
        return float(turn["end"] - turn["start"])
    return next((length for length in lengths if length is not None), None)


def report(facts: CorpusFacts) -> str:
    """Returns the statistics as aligned text."""
    splits = facts.splits
    all_facts = list(splits.values())
    rows = [
        ["", *splits],
        ["dialogues", *(f"{s.dialogues:,}" for s in all_facts)],
        ["utterances", *(f"{s.utterances:,}" for s in all_facts)],
        ["  labelled", *(f"{s.labelled:,}" for s in all_facts)],
        ["  with text", *(f"{len(s.words):,}" for s in all_facts)],
        ["speakers", *(f"{len(s.speakers):,}" for s in all_facts)],
        ["utterances a dialogue *", *(_spread(s.lengths) for s in all_facts)],
        ["words an utterance *", *(_spread(s.words) for s in all_facts)],
    ]
    if any(s.seconds for s in all_facts):
        rows += [
            ["seconds an utterance *", *(_spread(s.seconds) for s in all_facts)],
            ["hours", *(f"{sum(s.seconds) / 3600:.2f}" for s in all_facts)],
        ]
    media = [column for column in MEDIA_COLUMNS if column in facts.named]
    for column in media:
        rows.append([f"{MEDIA_COLUMNS[column]}: usable", *(f"{s.usable[column]:,}" for s in all_facts)])
        rows.append(["  missing", *(f"{s.missing[column]:,}" for s in all_facts)])
        rows.append(["  broken", *(f"{s.broken[column]:,}" for s in all_facts)])
    for column in facts.feature_columns:
        rows.append([f"{column}: width", *(_widths(s.widths[column]) for s in all_facts)])
        rows.append(["  missing", *(f"{s.utterances - s.widths[column].total():,}" for s in all_facts)])
        rows.append(["  with NaN or infinity", *(f"{s.not_finite[column]:,}" for s in all_facts)])
    labels = [["label", *splits]]
    for index, name in enumerate(facts.names):
        shares = (f"{s.labels[index]:,} {100 * s.labels[index] / max(s.labelled, 1):5.1f} %" for s in all_facts)
        labels.append([name, *shares])
    sections = [aligned_table(rows) + "\n* min / median / max", aligned_table(labels), _speaker_overlap(splits)]
    longest = [f"  {split}: {s.longest[1]}, {s.longest[0]:.1f} s" for split, s in splits.items() if s.seconds]
    if longest:
        sections.append("\n".join(["longest utterance", *longest]))
    if not media:
        sections.append("There are no audio and no video files.")
    for column in media:
        if facts.missing[column]:
            sections.append(f"missing {MEDIA_COLUMNS[column]}, the first:\n  " + "\n  ".join(facts.missing[column]))
    if facts.broken:
        sections.append("broken media (opened, not decoded), the first:\n  " + "\n  ".join(facts.broken))
    return "\n\n".join(sections)


def _spread(values: Sequence[float]) -> str:
    return " / ".join(f"{value:,.4g}" for value in np.quantile(values, (0, 0.5, 1))) if values else "-"


def _widths(widths: collections.Counter[int]) -> str:
    if len(widths) < 2:
        return "".join(map(str, widths)) or "-"
    return ", ".join(f"{width} ({count:,})" for width, count in widths.most_common())


def _speaker_overlap(splits: Mapping[str, SplitFacts]) -> str:
    lines = ["speakers in two splits"]
    for (first, a), (second, b) in itertools.combinations(splits.items(), 2):
        shared = sorted(a.speakers.keys() & b.speakers.keys(), key=lambda name: (-b.speakers[name], name))
        line = f"  {first} and {second}: {len(shared)}"
        if shared:
            share = 100 * sum(b.speakers[name] for name in shared) / b.utterances
            more = ", ..." * (len(shared) > EXAMPLES)
            line += f" ({', '.join(shared[:EXAMPLES])}{more}), who speak {share:.1f} % of {second}"
        lines.append(line)
    return "\n".join(lines) if len(lines) > 1 else "one split only: no speaker overlap"
