"""`predict CKPT CONVERSATION --out FILE`: predicts the emotions of a conversation and writes them as a timeline."""

import time
from collections import Counter
from pathlib import Path

from ..conversations import READERS, read_conversation, with_media
from ..loading import load_pipeline
from ..timelines import WRITERS, timeline, write_timeline
from . import command_parser


def main(argv: list[str]) -> None:
    """Reads a conversation, runs the model over it, and writes the timeline to each `--out`."""
    parser = command_parser(
        "predict",
        "Predicts the emotion of every utterance of a conversation from subtitles, a table or JSON.",
        "example: %(prog)s runs/demo-001 episode.srt --media episode.mp4 --out timeline.png --out timeline.vtt",
    )
    parser.add_argument("checkpoint", metavar="CKPT", help="folder of a checkpoint, or a Hub id")
    parser.add_argument("conversation", type=Path, metavar="CONVERSATION", help=f"file to read: {', '.join(READERS)}")
    parser.add_argument(
        "--media", type=Path, help="video or audio of the whole conversation, cut by the times of the file"
    )
    parser.add_argument(
        "--out",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help=f"file to write: {', '.join(WRITERS)}; repeatable",
    )
    parser.add_argument("--modalities", nargs="+", metavar="M", help="modalities to use (default: all of the model)")
    parser.add_argument("--device", help="such as cpu or cuda:0 (default: the first accelerator)")
    parser.add_argument(
        "--num_workers", type=int, default=0, help="number of processes that decode media (default: %(default)s)"
    )
    args = parser.parse_intermixed_args(argv)
    # The inputs are checked before the model is loaded.
    writers = [WRITERS[path.suffix.lower()] for path in args.out]
    conversation = read_conversation(args.conversation)
    if args.media is not None:
        conversation = with_media(conversation, args.media)
    if WRITERS[".vtt"] in writers and not conversation.timed:
        raise ValueError(f"{args.conversation} has no times, which WebVTT needs: write .csv, .json or .png")
    for note in conversation.notes:
        print(f"note: {note}")

    pipe = load_pipeline(args.checkpoint, args.device)
    started = time.perf_counter()
    results = pipe(conversation.utterances, modalities=args.modalities, num_workers=args.num_workers)
    seconds = time.perf_counter() - started
    turns = timeline(conversation.utterances, results)
    for path in args.out:
        write_timeline(turns, path)

    labels = Counter(turn.label for turn in turns)
    print(
        f"{len(turns)} utterances in {seconds:.1f} s: {', '.join(f'{n} {label}' for label, n in labels.most_common())}"
    )
    used = Counter(modality for turn in turns for modality in turn.modalities)
    print("used: " + ", ".join(f"{modality} of {used[modality]}" for modality in pipe.model.config.modalities))
    print("\n".join(f"wrote {path}" for path in args.out))
