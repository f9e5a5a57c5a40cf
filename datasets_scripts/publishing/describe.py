"""Statistics of a corpus: sizes, labels, missing and broken media, and speakers shared between splits."""

import itertools
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import pandas as pd
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
class CorpusFacts:
    """Facts of all utterances of a corpus.

    Args:
        names: class names in the order of their indices.
        feature_columns: columns of precomputed features.
        splits: a table for each split with a row for each utterance: `dialogue`, `place` ("dialogue/utterance"),
            `speaker`, `label` (the class index, NaN for context only), `words` and `seconds` (NaN where unknown); for
            each media column its state ("usable", "missing" or "broken") and in `COLUMN problem` the reason; for each
            feature column `COLUMN width` (NaN where missing) and `COLUMN finite`.
    """

    names: list[str]
    feature_columns: list[str]
    splits: dict[str, pd.DataFrame]

    def label_counts(self) -> dict[str, dict[str, int]]:
        """Returns the number of utterances by split and class."""
        return {
            split: {name: int((turns["label"] == index).sum()) for index, name in enumerate(self.names)}
            for split, turns in self.splits.items()
        }

    def examples(self, column: str, state: str) -> list[str]:
        """Returns the first few places whose clip is "missing" or "broken", with the reason."""
        found = pd.concat([turns[turns[column] == state] for turns in self.splits.values()])
        return (found["place"] + found[f"{column} problem"]).head(EXAMPLES).tolist()


def describe(splits: Mapping[str, Any]) -> CorpusFacts:
    """Computes the statistics of a corpus.

    Every row is read once, and every media file is opened once without decoding. Splits without dialogues are left out.

    Args:
        splits: prepared or streamed splits, as returned by `load_erc_dataset`.

    Example:
        >>> facts = describe(load_erc_dataset("meld", "MELD.Raw", streaming=True))
        >>> len(facts.splits["dev"])
        1109
    """
    features: datasets.Features = next(iter(splits.values())).features
    columns = [column for column in FEATURE_COLUMNS.values() if column in features["utterances"].feature]
    tables: dict[str, pd.DataFrame] = {}
    known: dict[str, Clip] = {}
    with ThreadPoolExecutor() as pool, tqdm(desc="media", unit=" files", disable=None, leave=False) as bar:
        for split, rows in splits.items():
            facts: list[dict[str, Any]] = []
            iterator = iter(rows)
            while block := list(itertools.islice(iterator, DIALOGUES_AT_ONCE)):
                turns = [turn for row in block for turn in row["utterances"]]
                paths = {turn[column]: None for turn in turns for column in MEDIA_COLUMNS if turn[column] is not None}
                new = [path for path in paths if path not in known]
                for path, clip in zip(new, pool.map(probe, new), strict=True):
                    known[path] = clip
                    bar.update()
                for row in block:
                    facts += [_facts(row["dialogue_id"], turn, columns, known) for turn in row["utterances"]]
            if facts:
                tables[split] = pd.DataFrame(facts)
    return CorpusFacts(label_names(features), columns, tables)


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


def used_seconds(turn: Mapping[str, Any], column: str, clip: MediaInfo | MediaError) -> float | None:
    """Returns the length in seconds of the part of a clip that an utterance uses; None if it is unknown.

    Raises:
        MediaError: if the clip or that part of it cannot be used.
    """
    if isinstance(clip, MediaError):
        raise clip
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


def _facts(
    dialogue: str, turn: dict[str, Any], feature_columns: list[str], known: Mapping[str, Clip]
) -> dict[str, Any]:
    """Returns a row of the table in `CorpusFacts`; the length comes from audio, video or times."""
    facts: dict[str, Any] = {
        "dialogue": dialogue,
        "place": f"{dialogue}/{turn['utterance_id']}",
        "speaker": turn["speaker"],
        "label": turn["label"],
        "words": None if turn["text"] is None else len(turn["text"].split()),
    }
    lengths: list[float | None] = []
    for column in MEDIA_COLUMNS:
        path = turn[column]
        clip = None if path is None else known[path]
        problem = "" if path is None else f": {path}: no such file"
        state = "missing"
        if clip is not None:
            try:
                lengths.append(used_seconds(turn, column, clip))
                state, problem = "usable", ""
            except MediaError as error:
                state, problem = "broken", f": {error}"
        facts |= {column: state, f"{column} problem": problem}
    if all(turn[column] is None for column in MEDIA_COLUMNS) and turn["start"] is not None and turn["end"] is not None:
        lengths = [turn["end"] - turn["start"]]
    facts["seconds"] = next((length for length in lengths if length is not None), None)
    for column in feature_columns:
        values = np.asarray([] if turn[column] is None else turn[column], dtype=np.float64)
        facts |= {f"{column} width": len(values) or None, f"{column} finite": bool(np.isfinite(values).all())}
    return facts


def report(facts: CorpusFacts) -> str:
    """Returns the statistics as aligned text."""
    splits = facts.splits
    tables = list(splits.values())
    rows = [
        ["", *splits],
        ["dialogues", *(f"{t['dialogue'].nunique():,}" for t in tables)],
        ["utterances", *(f"{len(t):,}" for t in tables)],
        ["  labelled", *(f"{t['label'].count():,}" for t in tables)],
        ["  with text", *(f"{t['words'].count():,}" for t in tables)],
        ["speakers", *(f"{t['speaker'].nunique():,}" for t in tables)],
        ["utterances a dialogue *", *(_spread(t.groupby("dialogue").size()) for t in tables)],
        ["words an utterance *", *(_spread(t["words"]) for t in tables)],
    ]
    timed = {split: t.loc[t["seconds"].astype(float).idxmax()] for split, t in splits.items() if t["seconds"].any()}
    if timed:
        rows += [
            ["seconds an utterance *", *(_spread(t["seconds"]) for t in tables)],
            ["hours", *(f"{t['seconds'].sum() / 3600:.2f}" for t in tables)],
        ]
    # A media column without any file would only list what is missing.
    media = [c for c in MEDIA_COLUMNS if any((t[c] != "missing").any() or t[f"{c} problem"].any() for t in tables)]
    for column in media:
        for state in ("usable", "missing", "broken"):
            title = f"{MEDIA_COLUMNS[column]}: usable" if state == "usable" else f"  {state}"
            rows.append([title, *(f"{(t[column] == state).sum():,}" for t in tables)])
    for column in facts.feature_columns:
        rows.append([f"{column}: width", *(_widths(t[f"{column} width"]) for t in tables)])
        rows.append(["  missing", *(f"{t[f'{column} width'].isna().sum():,}" for t in tables)])
        rows.append(["  with NaN or infinity", *(f"{(~t[f'{column} finite']).sum():,}" for t in tables)])
    labels = [["label", *splits]]
    counts = facts.label_counts().values()
    for name in facts.names:
        labels.append([name, *(f"{c[name]:,} {100 * c[name] / max(sum(c.values()), 1):5.1f} %" for c in counts)])
    sections = [aligned_table(rows) + "\n* min / median / max", aligned_table(labels), _speaker_overlap(splits)]
    if timed:
        longest = (f"  {split}: {turn['place']}, {turn['seconds']:.1f} s" for split, turn in timed.items())
        sections.append("\n".join(["longest utterance", *longest]))
    if not media:
        sections.append("There are no audio and no video files.")
    for column in media:
        if missing := facts.examples(column, "missing"):
            sections.append(f"missing {MEDIA_COLUMNS[column]}, the first:\n  " + "\n  ".join(missing))
    # A file used as audio and as video is one problem.
    if broken := list(dict.fromkeys(text for column in media for text in facts.examples(column, "broken"))):
        sections.append("broken media (opened, not decoded), the first:\n  " + "\n  ".join(broken[:EXAMPLES]))
    return "\n\n".join(sections)


def _spread(values: pd.Series) -> str:
    known = values.dropna().astype(float)
    return " / ".join(f"{value:,.4g}" for value in known.quantile([0, 0.5, 1])) if len(known) else "-"


def _widths(widths: pd.Series) -> str:
    counts = widths.value_counts()
    if len(counts) < 2:
        return "".join(f"{width:.0f}" for width in counts.index) or "-"
    return ", ".join(f"{width:.0f} ({count:,})" for width, count in counts.items())


def _speaker_overlap(splits: Mapping[str, pd.DataFrame]) -> str:
    lines = ["speakers in two splits"]
    for (first, a), (second, b) in itertools.combinations(splits.items(), 2):
        spoken = b.loc[b["speaker"].isin(a["speaker"]), "speaker"].value_counts()
        line = f"  {first} and {second}: {len(spoken)}"
        if len(spoken):
            shared = sorted(spoken.index, key=lambda name: (-spoken[name], name))
            more = ", ..." * (len(shared) > EXAMPLES)
            share = 100 * spoken.sum() / len(b)
            line += f" ({', '.join(shared[:EXAMPLES])}{more}), who speak {share:.1f} % of {second}"
        lines.append(line)
    return "\n".join(lines) if len(lines) > 1 else "one split only: no speaker overlap"
