"""`predict CKPT CONVERSATION --out FILE`: the emotions of a conversation, as a table, subtitles or a picture."""

import argparse
import time
from collections import Counter
from pathlib import Path

from ..conversations import READERS, read_conversation, with_media
from ..loading import load_pipeline
from ..timelines import WRITERS, timeline, write_timeline


def main(argv: list[str]) -> None:
    """Reads a conversation, runs the model over it, and writes the timeline in each form that is asked for.

    Raises:
        FileNotFoundError: a file or the checkpoint is not there.
        ValueError: a file cannot be read, a format is not known, or the model can use nothing of it.
    """
    parser = argparse.ArgumentParser(
        prog="python -m modeling_erc predict",
        description="Names the emotion of every turn of a conversation: subtitles, a table or JSON.",
        epilog="Example: predict runs/demo-001 episode.srt --media episode.mp4 --out timeline.png --out timeline.vtt",
    )
    parser.add_argument("checkpoint", metavar="CKPT", help="folder that train_hf.py wrote, or a Hub id")
    parser.add_argument("conversation", type=Path, metavar="CONVERSATION", help=f"a file: {', '.join(READERS)}")
    parser.add_argument("--media", type=Path, help="video or sound of the whole conversation; its times cut it")
    parser.add_argument(
        "--out",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help=f"{', '.join(WRITERS)}; may be repeated",
    )
    parser.add_argument("--modalities", nargs="+", metavar="M", help="use these of the model's only")
    parser.add_argument("--device", help="such as cpu or cuda:0 (default: the first accelerator)")
    parser.add_argument("--num_workers", type=int, default=0, help="processes that decode media (default: 0)")
    args = parser.parse_intermixed_args(argv)
    # What cannot be is told before anything is computed.
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

    counts = Counter(turn.label for turn in turns)
    print(
        f"{len(turns)} utterances in {seconds:.1f} s: " + ", ".join(f"{n} {label}" for label, n in counts.most_common())
    )
    used = Counter(modality for turn in turns for modality in turn.modalities)
    print("used: " + ", ".join(f"{modality} of {used[modality]}" for modality in pipe.model.config.modalities))
    print("\n".join(f"wrote {path}" for path in args.out))
