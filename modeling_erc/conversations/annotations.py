"""Reads subtitles and annotations whose formats a library knows; the libraries are in the extra `transcripts`."""

import importlib
import re
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from .subtitles import Cue, utterances
from .text_file import TextFile

Row = dict[str, Any]
INSTALL = "pip install 'modeling-erc[transcripts]'"
# Entities can make a small file huge.
ENTITY = re.compile(r"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
AGENT = "{http://www.w3.org/ns/ttml#metadata}agent"
AGENT_ID = "{http://www.w3.org/XML/1998/namespace}id"
# What CHAT marks inside words: fillers, fragments, events, codes and terminators.
CHAT_CODE = re.compile(r"\[[^\[\]]*\]|[<>\u2039\u203a]|&[=+~-]?\S*|\b(?:xxx|yyy|www)\b|\x15[^\x15]*\x15|\([.\d:]+\)")


def _library(file: TextFile, name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise file.error(1, f"this format needs {name.split('.')[0]}: {INSTALL}") from error


def read_subtitles(file: TextFile) -> list[Row]:
    """Reads Advanced SubStation, SubStation Alpha, MicroDVD and TTML subtitles with pysubs2."""
    pysubs2 = _library(file, "pysubs2")
    agents = _ttml_agents(file) if "<tt" in file.text[:2000] else []
    frame_rate = None
    if re.match(r"\s*\{\d+\}\{\d+\}", file.text) and not re.match(r"\s*\{[01]\}\{[01]\}\d", file.text):
        frame_rate = 25.0
        file.notes.append("the frame rate is not given: 25 frames per second are assumed")
    try:
        events = pysubs2.SSAFile.from_string(file.text, fps=frame_rate).events
    except Exception as error:  # the library raises whatever its parsers meet
        raise file.error(1, f"not readable as subtitles ({error}): export them as .srt or .vtt") from error
    names = agents if len(agents) == len(events) else [None] * len(events)
    cues = []
    for event, agent in zip(events, names, strict=True):
        if event.is_text:
            lines = event.plaintext.split("\n")
            name = (event.name or agent or "").strip()
            if name:
                lines = [f"<v {re.sub('[<>]', '', name)}>{re.sub('[<>]', '', lines[0])}", *lines[1:]]
            cues.append(Cue(event.start / 1000, max(event.start, event.end) / 1000, 1, lines))
    return utterances(file, cues)


def _xml(file: TextFile) -> ElementTree.Element:
    if ENTITY.search(file.text):
        raise file.error(1, "it declares a document type or entities: remove the declaration")
    try:
        # The declaration names the encoding of the file, not that of the decoded text.
        return ElementTree.fromstring(re.sub(r"\A\s*<\?xml[^>]*\?>", "", file.text))
    except ElementTree.ParseError as error:
        raise file.error(error.position[0], f"not XML ({error}): export the file again") from error


def _ttml_agents(file: TextFile) -> list[str | None]:
    """Returns the speaker of each paragraph, which pysubs2 leaves out."""
    root = _xml(file)
    names = {
        element.get(AGENT_ID): "".join(element.itertext()).strip()
        for element in root.iter("{http://www.w3.org/ns/ttml#metadata}agent")
    }
    agents = (p.get(AGENT) for p in root.iter("{http://www.w3.org/ns/ttml}p"))
    return [names.get(agent) or agent for agent in agents]


def read_textgrid(file: TextFile) -> list[Row]:
    """Reads a Praat TextGrid with praatio: a tier per speaker, whose intervals are the turns."""
    textgrid_io = _library(file, "praatio.utilities.textgrid_io")
    try:
        tiers = textgrid_io.parseTextgridStr(file.text, includeEmptyIntervals=False)["tiers"]
        spans = [
            (tier["name"], float(start), float(end), text)
            for tier in tiers
            if tier["class"] == "IntervalTier"
            for start, end, text in tier["entries"]
        ]
    except Exception as error:  # the library raises whatever its parser meets
        raise file.error(1, f"not a TextGrid ({type(error).__name__}): save it in Praat as a text file") from error
    return _tiers(file, spans)


def read_elan(file: TextFile) -> list[Row]:
    """Reads an ELAN document with pympi: a tier per speaker, whose annotations are the turns."""
    pympi = _library(file, "pympi")
    root = _xml(file)
    # The library fails without this attribute, which not every program writes.
    root.attrib.setdefault("{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation", "")
    try:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "copy.eaf")
            copy.write_bytes(ElementTree.tostring(root))
            eaf = pympi.Eaf(str(copy), suppress_version_warning=True)
        spans = []
        for name, (annotations, _, attributes, _) in eaf.tiers.items():
            # A tier that depends on another one holds translations, glosses or words.
            if annotations and not attributes.get("PARENT_REF"):
                spans += [
                    (attributes.get("PARTICIPANT") or name, start / 1000, end / 1000, text)
                    for start, end, text, *_ in eaf.get_annotation_data_for_tier(name)
                ]
    except Exception as error:  # the library raises whatever its parser meets
        raise file.error(1, f"not an ELAN document ({type(error).__name__}: {error}): save it again in ELAN") from error
    return _tiers(file, spans)


def _tiers(file: TextFile, spans: list[tuple[str, float, float, str]]) -> list[Row]:
    """Returns the turns of tiers by start. A tier of words or phones beside one of turns is left out."""
    lengths: dict[str, list[int]] = {}
    for name, *_, text in spans:
        if text.strip():
            lengths.setdefault(name, []).append(len(text.split()))
    words = {name for name, counts in lengths.items() if len(counts) > 3 and max(counts) == 1}
    if words and len(words) < len(lengths):
        file.notes.append(f"tiers of single words are left out: {', '.join(sorted(words))}")
        spans = [span for span in spans if span[0] not in words]
    return [
        {"speaker": name, "text": text.strip(), "start": round(start, 3), "end": round(end, 3)}
        for name, start, end, text in sorted(spans, key=lambda span: span[1:3])
        if text.strip()
    ]


def read_chat(file: TextFile) -> list[Row]:
    """Reads a CHAT transcript (CHILDES, TalkBank) with pylangacq; codes and fillers are removed from the words."""
    pylangacq = _library(file, "pylangacq")
    # Dependent tiers are not needed, and one that does not match its words is an error.
    main, keep = [], True
    for line in file.lines:
        keep = keep if line[:1].isspace() else not line.startswith("%")
        if keep:
            main.append(line)
    try:
        found = list(pylangacq.CHAT.from_strs(["\n".join(main)]).utterances())
    except Exception as error:  # the library raises whatever its parser meets
        raise file.error(1, f"not a CHAT transcript ({error}): check it with CLAN") from error
    rows: list[Row] = []
    for utterance in found:
        code = utterance.participant
        text = CHAT_CODE.sub(" ", (utterance.tiers or {}).get(code, ""))
        text = re.sub(r"\(([^()\s]*)\)", r"\1", text).replace("_", " ").replace("\u2021", ",")
        text = re.sub(r"\s+([,.?!])", r"\1", re.sub(r"\+[^\s\w]*", "", text))
        row: Row = {"speaker": code, "text": " ".join(text.split()).strip()}
        if utterance.time_marks:
            row["start"], row["end"] = (mark / 1000 for mark in utterance.time_marks)
        if re.search(r"\w", row["text"]):
            rows.append(row)
    return rows
