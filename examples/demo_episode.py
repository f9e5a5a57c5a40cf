"""Writes one conversation of the demo corpus as a single video with subtitles.

    python examples/demo_episode.py OUT_DIR
    python -m modeling_erc predict runs/demo-001 OUT_DIR/episode.srt --media OUT_DIR/episode.mp4 --out timeline.png

The conversation is from the test split, so no model was trained on it. The subtitles name the speakers in capitals.
"""

import argparse
from pathlib import Path

import av
import numpy as np

from datasets_scripts import load_erc_dataset
from datasets_scripts.demo_corpus.film import FRAME_RATE, write_film
from datasets_scripts.demo_corpus.voice import SAMPLE_RATE
from modeling_erc.media_erc import load_audio, probe_media
from modeling_erc.timelines.writers import clock

PAUSE = 0.5  # seconds between utterances


def write_episode(clips: list[Path], path: Path) -> list[tuple[float, float]]:
    """Joins clips with a pause after each; returns the start and end of each clip in seconds."""
    times: list[tuple[float, float]] = []
    images: list[np.ndarray] = []
    sounds: list[np.ndarray] = []
    for clip in clips:
        with av.open(str(clip)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        start = len(images) / FRAME_RATE
        times.append((start, start + len(frames) / FRAME_RATE))
        images += [*frames, *frames[-1:] * round(PAUSE * FRAME_RATE)]
        # Exactly as long as the video; a short clip ends in silence.
        wave = np.zeros(len(images) * SAMPLE_RATE // FRAME_RATE - sum(map(len, sounds)), dtype=np.float32)
        spoken = load_audio(clip, SAMPLE_RATE)[: len(wave)]
        wave[: len(spoken)] = spoken
        sounds.append(wave)
    write_film(path, images, np.concatenate(sounds))
    return times


def main() -> None:
    """Writes `episode.mp4` and `episode.srt`."""
    parser = argparse.ArgumentParser(description="Write a conversation of the demo corpus as a video with subtitles.")
    parser.add_argument("out", type=Path, metavar="OUT_DIR", help="folder to write into")
    parser.add_argument("--dialogue", type=int, default=3, help="number of the test dialogue (default: 3)")
    parser.add_argument(
        "--data_dir", type=Path, help="folder of the demo corpus, written if needed (default: the cache)"
    )
    arguments = parser.parse_args()
    utterances = load_erc_dataset("demo", arguments.data_dir)["test"][arguments.dialogue]["utterances"]
    arguments.out.mkdir(parents=True, exist_ok=True)
    video, subtitles = arguments.out / "episode.mp4", arguments.out / "episode.srt"
    times = write_episode([Path(utterance["video_path"]) for utterance in utterances], video)
    cues = []
    for number, (utterance, span) in enumerate(zip(utterances, times, strict=True), start=1):
        start, end = (clock(seconds).replace(".", ",") for seconds in span)
        cues.append(f"{number}\n{start} --> {end}\n{utterance['speaker'].upper()}: {utterance['text']}\n")
    subtitles.write_text("\n".join(cues), encoding="utf-8")
    duration = probe_media(str(video)).duration or 0.0
    print(f"{video}: {len(utterances)} utterances in {duration:.1f} s; subtitles: {subtitles}")


if __name__ == "__main__":
    main()
