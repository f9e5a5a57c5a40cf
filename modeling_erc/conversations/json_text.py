"""Reads conversations from JSON: our own form, and the segments of speech recognisers and annotation tools."""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeGuard

from .fields import Placed, Row, build_utterances, check_utterance, read_fields, resolve_times
from .text_file import TextFile
from .words import group_words, join_words, merge_captions, split_at_speakers

TOO_DEEP = "too many nested brackets: write a flat list of utterances"
# Python parses no integer of more than 4,300 digits.
TOO_LONG = re.compile(r"(?<!\d)\d{4301,}")
ENDLESS = "a number with thousands of digits: write seconds, like 62.5"
# Lists of the parts of a segment, and of its alternative transcriptions, best first.
PARTS = ("words", "elements", "items", "segs", "sentences", "tokens")
ALTERNATIVES = ("alternatives", "nBest")
LONG = 30  # words, beyond which a single segment is the whole recording
DEPTH = 12  # no tool nests its segments deeper


def read_jsonl(file: TextFile) -> list[dict[str, Any]]:
    """Reads one JSON object per line."""
    rows = []
    for number, line in enumerate(file.lines, start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise file.error(number, f"not JSON ({error.msg}): write one object per line") from error
            except RecursionError as error:
                raise file.error(number, TOO_DEEP) from error
            except ValueError as error:
                raise file.error(number, ENDLESS) from error
            rows.append((number, "", _own_row(file, number, "", row)))
    return build_utterances(file, rows)


def read_json(file: TextFile) -> list[dict[str, Any]]:
    """Reads a list of utterances wherever it is in the file; the list with times and most words is taken."""
    try:
        content = json.loads(file.text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return read_jsonl(file)
        raise file.error(
            error.lineno, f"not JSON ({error.msg}, column {error.colno}): check commas and quotes"
        ) from error
    except RecursionError as error:
        raise file.error(1, TOO_DEEP) from error
    except ValueError as error:
        number = TOO_LONG.search(file.text)
        raise file.error(1 + file.text.count("\n", 0, number.start() if number else 0), ENDLESS) from error
    if isinstance(content, Mapping) and isinstance(content.get("data"), Mapping) and "annotations" in content:
        content = [content]  # a single task of Label Studio
    own = content.get("utterances") if isinstance(content, Mapping) else content
    if isinstance(own, list) and any(isinstance(row, Mapping) and "annotations" in row for row in own):
        content = {"segments": _label_studio(own)}
        own = None
    if results := _google(content):
        content, own = {"results": results}, None
    if channels := _channels(content):
        content = {"words": channels}
    if isinstance(own, list) and (regions := [row for task in own for row in _label_studio_min(task)]):
        content, own = {"segments": regions}, None
    key, found = _find_segments(content)
    if not found or found is own:
        if not isinstance(own, list):
            raise file.error(1, 'expected a list of utterances, or an object with "utterances" or "segments"')
        placed = [
            (1, f"utterance {index}: ", _own_row(file, 1, f"utterance {index}: ", row)) for index, row in enumerate(own)
        ]
    else:
        placed = [(1, f"{key} {index}: ", _segment(row)) for index, row in enumerate(found)]
        placed = [row for row in placed if isinstance(row[2]["text"], str) and row[2]["text"].strip()]
    _add_word_speakers(content, [row for *_, row in placed])
    return _split_or_group(file, key, placed)


def _split_or_group(file: TextFile, key: str, placed: Sequence[Placed]) -> list[dict[str, Any]]:
    """Splits segments where the speaker of their words changes, and groups lists of words."""
    placed = resolve_times(file, placed)
    for line, place, row in placed:
        check_utterance(file, line, place, row)
    rows = [row for *_, row in placed]
    if len(rows) == 1 and sum("start" in word for word in rows[0].get("words", ())) > LONG:
        rows, key = rows[0]["words"], PARTS[0]
    if key in PARTS or (key == "chunks" and all(len(str(row["text"]).split()) < 2 for row in rows)):
        return [check_utterance(file, 1, "", row) for row in group_words(rows)]
    if key == "events":  # rolling captions: each stays on the screen while the next is spoken
        rows = [row for row in rows if "start" in row]
        for row, after in pairwise(rows):
            row["end"] = min(row.get("end", after["start"]), after["start"])
        rows = merge_captions([row for row in rows if "end" in row])
        placed = [(1, "", {**row, "text": row["text"].removeprefix(">>")}) for row in rows]
    return [
        check_utterance(file, line, place, piece)
        for line, place, row in placed
        for piece in split_at_speakers(row, row.get("words", []))
    ]


def _own_row(file: TextFile, line: int, place: str, row: Any) -> Row:
    if not isinstance(row, Mapping):
        raise file.error(line, f'{place}{str(row)[:40]!r} is not an object: write {{"speaker": "Ann", "text": "Hi."}}')
    return _segment(row)


def _segment(row: Mapping[str, Any]) -> Row:
    """Returns the fields of a segment and, under `words`, those of its words; its best alternative is merged in."""
    for name in ALTERNATIVES:
        best = row.get(name)
        if isinstance(best, list) and best and isinstance(best[0], Mapping):
            row = {**row, **best[0]}
    fields = read_fields(row)
    for name in PARTS:
        parts = row.get(name)
        if isinstance(parts, list) and parts and all(isinstance(part, Mapping) for part in parts):
            words = [word for part in parts if isinstance((word := _segment(part))["text"], str)]
            words = [word for word in words if isinstance(word["speaker"], str | None)]
            if not fields["text"]:
                fields["text"] = join_words([word["text"] for word in words])
            # The times of `segs` count from their event.
            fields["words"] = [{"text": w["text"], "speaker": w["speaker"]} if name == "segs" else w for w in words]
            for field, place in (("start", 0), ("end", -1)):
                times = [word[field] for word in fields["words"] if field in word]
                if times and "duration" not in fields:
                    fields.setdefault(field, times[place])
            break
    return fields


def _find_segments(content: Any) -> tuple[str, Any]:
    """Returns the list of objects that looks most like the segments of a conversation, and its key.

    Lists with times are preferred, then those of segments to those of words, with speakers, and with more text.
    """
    best: tuple[Any, ...] = (False,)
    chosen: tuple[str, Any] = ("", None)
    stack: list[tuple[str, Any, int]] = [("utterances", content, 0)]
    while stack:
        key, node, depth = stack.pop()
        if depth > DEPTH:
            continue
        if isinstance(node, Mapping):
            stack += [(str(name), value, depth + 1) for name, value in node.items() if isinstance(value, list | dict)]
        elif isinstance(node, list):
            stack += [(key, value, depth + 1) for value in node if isinstance(value, list | dict)]
            if not node or key in ALTERNATIVES or not all(isinstance(row, Mapping) for row in node):
                continue
            rows = [_segment(row) for row in node]
            said = [row for row in rows if isinstance(row["text"], str) and row["text"].strip()]
            if said:
                timed, named = (
                    2 * sum(field in row and bool(row[field]) for row in said) >= len(said)
                    for field in ("start", "speaker")
                )
                score = (True, timed, key not in PARTS, named, sum(len(row["text"]) for row in said), -depth)
                if score > best:
                    best, chosen = score, (key, node)
    return chosen


def _add_word_speakers(content: Any, rows: Sequence[Row]) -> None:
    """Gives words their speakers where these are listed apart, by start time, as AWS Transcribe does."""
    results = content.get("results") if isinstance(content, Mapping) else None
    segments: Any = None
    for name, parts in (("speaker_labels", "segments"), ("channel_labels", "channels")):
        labels = results.get(name) if isinstance(results, Mapping) else None
        segments = segments or (labels.get(parts) if isinstance(labels, Mapping) else None)
    speakers: dict[Any, Any] = {}
    for segment in segments if isinstance(segments, list) else ():
        own = segment.get("speaker_label", segment.get("channel_label")) if isinstance(segment, Mapping) else None
        for item in segment.get("items") or () if isinstance(segment, Mapping) else ():
            if isinstance(item, Mapping):
                speakers[str(item.get("start_time"))] = item.get("speaker_label", own)
    for row in rows if speakers else ():
        if row["speaker"] is None and "start" in row:
            row["speaker"] = speakers.get(str(row["start"][0]))


def _channels(content: Any) -> list[Row]:
    """Returns the words of a recording with a channel for each speaker, as Deepgram lists them, in spoken order."""
    results = content.get("results") if isinstance(content, Mapping) else None
    channels = results.get("channels") if isinstance(results, Mapping) else None
    if not isinstance(channels, list) or len(channels) < 2:
        return []
    words = [
        {**word, "speaker": f"channel {number}"}
        for number, channel in enumerate(channels, start=1)
        for word in _segment(channel).get("words", [])
    ]
    words = [{name: value[0] if name in ("start", "end") else value for name, value in word.items()} for word in words]
    return sorted(words, key=lambda word: word.get("start", 0.0))


def _google(content: Any) -> list[Row]:
    """Returns the results of Google's recognisers: the final ones, and those that the last one holds again but once.

    With speakers, the words of the last result are those of the whole recording:
    https://cloud.google.com/speech-to-text/docs/multiple-voices
    """
    results = _google_results(content)
    results = [result for result in results if result.get("isFinal", result.get("is_final"))] or results
    words = [_google_words(result) for result in results]
    if words and any(speaker not in (None, "0") for speaker in words[-1].values()):
        again = [not own.keys() - words[-1].keys() for own in words[:-1]]
        results = [result for result, known in zip(results, [*again, False], strict=True) if not known]
    return results


def _google_words(result: Row) -> dict[tuple[str, str], Any]:
    """Returns the speaker of each word and its end; a start of zero, which Google leaves out, is put in."""
    alternatives = result.get("alternatives")
    words = alternatives[0].get("words") if _is_list_of(alternatives, Mapping) else None
    speakers = {}
    for word in words if _is_list_of(words, Mapping) else ():
        fields = read_fields(word)
        if "end" in fields and "start" not in fields:
            word["startTime"] = "0s"
        speakers[str(fields["text"]), str(fields.get("end"))] = fields["speaker"]
    return speakers


def _google_results(node: Any, depth: int = 0) -> list[Row]:
    """Returns the results of all responses in order; a file holds one, or a list, or one for each recording."""
    if isinstance(node, Mapping):
        results = node.get("results")
        if _is_list_of(results, Mapping) and any(_is_list_of(row.get("alternatives"), Mapping) for row in results):
            return list(results)
        node = list(node.values())
    if not isinstance(node, list) or depth > 4:
        return []
    return [result for value in node for result in _google_results(value, depth + 1)]


def _label_studio_min(task: Any) -> list[Row]:
    """Returns the regions of a task of Label Studio's JSON-MIN, whose texts are a list beside those of the labels."""
    lists = list(task.values()) if isinstance(task, Mapping) else []
    regions: list[Any] = next(
        (rows for rows in lists if _is_list_of(rows, Mapping) and all("labels" in row for row in rows)), []
    )
    texts = next((rows for rows in lists if _is_list_of(rows, str) and len(rows) == len(regions)), None)
    if texts is None and len(regions) == 1 and isinstance(task.get("transcription"), str):
        texts = [task["transcription"]]
    return [
        {"start": row.get("start"), "end": row.get("end"), "speaker": " ".join(map(str, row["labels"])), "text": text}
        for row, text in zip(regions, texts or [], strict=False)
    ]


def _is_list_of(value: Any, kind: type) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and bool(value) and all(isinstance(part, kind) for part in value)


def _label_studio(tasks: Sequence[Any]) -> list[Row]:
    """Returns the segments of Label Studio tasks: the paragraphs of the data, or the regions with labels and text."""
    segments: list[Row] = []
    for task in tasks:
        if not isinstance(task, Mapping):
            continue
        _, found = _find_segments(task.get("data"))
        if found:
            segments += found
            continue
        annotations = [row for row in task.get("annotations") or () if isinstance(row, Mapping)]
        results = next((row["result"] for row in annotations if row.get("result") and not row.get("was_cancelled")), ())
        regions: dict[Any, Row] = {}
        for place, result in enumerate(results):
            value = result.get("value") if isinstance(result, Mapping) else None
            if isinstance(value, Mapping):
                region = regions.setdefault(str(result.get("id", place)), {})
                labels, text = value.get("labels"), value.get("text")
                region.update({name: value[name] for name in ("start", "end") if name in value})
                if isinstance(labels, list) and labels:
                    region["speaker"] = labels[0]
                if text:
                    region["text"] = " ".join(map(str, text)) if isinstance(text, list) else text
        timed = all(isinstance(region.get("start"), int | float) for region in regions.values())
        segments += sorted(regions.values(), key=lambda region: region["start"] if timed else 0)
    return segments
