"""`predict CKPT FILE... --out OUT`: predicts the emotions of conversations and writes them as timelines."""

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from ..conversations import READERS, Conversation, read_conversation, with_media
from ..conversations.forms import RECORDINGS
from ..timelines import WRITERS, Turn, timeline, write_table, write_timeline
from . import command_parser

if TYPE_CHECKING:
    from ..pipeline_erc import EmotionRecognitionPipeline

FOLDER_FORMATS = (".csv", ".json", ".png", ".vtt")


def main(argv: list[str]) -> None:
    """Reads conversations, runs the model over them, and writes a timeline of each, or one table of all."""
    args = _parser().parse_intermixed_args(argv)
    # Files are read, and their errors reported, before torch and the model are loaded.
    outs = _outs(args)
    conversations = _read_all(args)
    from ..loading import load_pipeline

    pipe = load_pipeline(args.checkpoint, args.device)
    timelines: dict[str, list[Turn]] = {}
    for path, read in conversations.items():
        if len(conversations) > 1:
            print(f"{path}:")
        conversation = _transcribed(path, args) if read is None else read
        turns = timelines[str(path)] = _predict(pipe, conversation, args)
        for out in outs.get(path, ()):
            # A folder gets subtitles only of conversations with times; `--out x.vtt` was checked.
            if conversation.timed or out.suffix != ".vtt":
                write_timeline(turns, out, _title(pipe))
                print(f"wrote {out}")
    if not outs:
        write_table(timelines, args.out[0])
        print(f"wrote {args.out[0]}")


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "predict",
        "Predicts the emotion of every utterance of conversations, from transcripts or recordings.",
        "examples:\n"
        "  %(prog)s runs/meld episode.srt --media episode.mp4 --out timeline.png --out timeline.vtt\n"
        "  %(prog)s runs/meld talk.mp3 --transcribe openai/whisper-small --speakers 2 --out talk.csv\n"
        "  %(prog)s runs/meld first.txt second.srt --out FOLDER",
    )
    parser.add_argument("checkpoint", metavar="CKPT", help="folder of a checkpoint, or a Hub id")
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help=f"transcript ({', '.join(READERS)}) or recording"
    )
    parser.add_argument(
        "--media", type=Path, help="video or audio of the whole conversation, cut by the times of the file"
    )
    parser.add_argument(
        "--out",
        type=Path,
        action="append",
        required=True,
        metavar="OUT",
        help=f"file to write: {', '.join(WRITERS)}; repeatable. For several FILEs: a folder, or one .csv table",
    )
    parser.add_argument("--modalities", nargs="+", metavar="M", help="modalities to use (default: all of the model)")
    parser.add_argument("--device", help="such as cpu or cuda:0 (default: the first accelerator)")
    parser.add_argument(
        "--num_workers", type=int, default=0, help="number of processes that decode media (default: %(default)s)"
    )
    group = parser.add_argument_group("recordings without a transcript (extra `transcripts`)")
    group.add_argument("--transcribe", metavar="MODEL", help="speech recogniser, such as openai/whisper-small")
    group.add_argument("--language", help="language of the conversation, such as en (default: recognised)")
    group.add_argument(
        "--speakers",
        action="append",
        default=[],
        metavar="N|MODEL",
        help="number of speakers, or a model of voices such as microsoft/wavlm-base-plus-sv; repeatable to give both",
    )
    return parser


def _outs(args: argparse.Namespace) -> dict[Path, list[Path]]:
    """Returns the files to write for each input; empty where one table is written for all.

    Raises:
        ValueError: an option does not fit the others.
    """
    if args.speakers and not args.transcribe:
        raise ValueError("--speakers tells the speakers of a recording apart: add --transcribe MODEL")
    if args.media is not None and len(args.files) > 1:
        raise ValueError(f"--media is the recording of one conversation, and {len(args.files)} are given")
    if len(args.out) == 1 and (args.out[0].is_dir() or not args.out[0].suffix):
        names = Counter(path.stem for path in args.files)
        if twice := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"several files are named {twice[0]!r}, and so would be their results: rename one of them")
        return {path: [args.out[0] / f"{path.stem}{suffix}" for suffix in FOLDER_FORMATS] for path in args.files}
    if len(args.files) == 1:
        _ = [WRITERS[path.suffix.lower()] for path in args.out]
        return {args.files[0]: args.out}
    if [path.suffix.lower() for path in args.out] == [".csv"]:
        return {}
    raise ValueError(f"--out {' '.join(map(str, args.out))}: give one folder, or one .csv table, for all files")


def _read_all(args: argparse.Namespace) -> dict[Path, Conversation | None]:
    """Reads the transcripts; a recording that has to be transcribed is None. The error names all unreadable files."""
    conversations: dict[Path, Conversation | None] = {}
    errors: list[Exception] = []
    for path in args.files:
        try:
            conversations[path] = _read(path, args)
        except (ValueError, FileNotFoundError) as error:
            errors.append(error)
    if len(errors) > 1:
        raise ValueError("\n  ".join([f"{len(errors)} files cannot be used:", *map(str, errors)]))
    if errors:
        raise errors[0]
    return conversations


def _read(path: Path, args: argparse.Namespace) -> Conversation | None:
    if args.transcribe and path.suffix.lower() in RECORDINGS:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        from ..media_erc import MediaError, probe_media

        if not probe_media(str(path)).has_audio:
            raise MediaError(f"{path}: it has no sound to transcribe")
        return None
    conversation = read_conversation(path)
    if args.media is not None:
        conversation = with_media(conversation, args.media)
    if any(out.suffix.lower() == ".vtt" for out in args.out) and not conversation.timed:
        raise ValueError(f"{path} has no times, which WebVTT needs: write .csv, .json or .png")
    return conversation


def _transcribed(path: Path, args: argparse.Namespace) -> Conversation:
    from ..transcription import transcribe

    numbers = [int(value) for value in args.speakers if value.isdecimal()]
    models = [value for value in args.speakers if not value.isdecimal()]
    conversation = transcribe(
        path,
        args.transcribe,
        args.language,
        numbers[-1] if numbers else None,
        models[-1] if models else None,
        args.device,
    )
    return with_media(conversation, args.media or path)


def _predict(pipe: "EmotionRecognitionPipeline", conversation: Conversation, args: argparse.Namespace) -> list[Turn]:
    language = args.language or conversation.language
    for note in [*conversation.notes, *pipe.notes(conversation.utterances, args.modalities, language)]:
        print(f"note: {note}")
    started = time.perf_counter()
    results = pipe(conversation.utterances, modalities=args.modalities, num_workers=args.num_workers)
    seconds = time.perf_counter() - started
    turns = timeline(conversation.utterances, results)
    print("\n".join(_summary(turns, pipe, seconds)))
    return turns


def _summary(turns: list[Turn], pipe: "EmotionRecognitionPipeline", seconds: float) -> Iterator[str]:
    found = (label for turn in turns for label in ([turn.label] if turn.labels is None else turn.labels) if label)
    parts = [f"{n} {label}" for label, n in Counter(found).most_common()]
    for name in turns[0].targets:
        values = [turn.targets[name] for turn in turns]
        parts.append(f"{name} {mean(values):.2f} ({min(values):.2f} to {max(values):.2f})")
    yield f"{len(turns)} utterances in {seconds:.1f} s: {', '.join(parts)}"
    used = Counter(modality for turn in turns for modality in turn.modalities)
    yield "used: " + ", ".join(f"{modality} of {used[modality]}" for modality in pipe.model.config.modalities)


def _title(pipe: "EmotionRecognitionPipeline") -> str:
    from ..pipeline_erc import synthetic_note

    return "Emotion timeline" + (" by a model of synthetic data" if synthetic_note(pipe.model.config) else "")
