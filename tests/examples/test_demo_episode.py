import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datasets_scripts.demo_corpus.writer import DemoRecipe, write_demo_corpus
from modeling_erc.conversations import read_conversation, with_media
from modeling_erc.media_erc import load_audio, load_frames

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
def test_an_episode_has_the_turns_of_its_clips_where_its_subtitles_say(tmp_path: Path) -> None:
    write_demo_corpus(tmp_path / "demo", workers=1, recipe=DemoRecipe())
    script = REPOSITORY / "examples" / "demo_episode.py"
    words = [str(tmp_path / "out"), "--data_dir", str(tmp_path / "demo"), "--dialogue", "0"]
    command = [sys.executable, str(script), *words]
    shown = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "HF_HOME": str(tmp_path)},
    )
    assert shown.returncode == 0, shown.stderr
    conversation = with_media(read_conversation(tmp_path / "out" / "episode.srt"), tmp_path / "out" / "episode.mp4")
    assert len(conversation.utterances) == 8 and all(u["speaker"].isupper() for u in conversation.utterances)
    for index, utterance in enumerate(conversation.utterances):
        clip = tmp_path / "demo" / "output_repeated_splits_test" / f"dia0_utt{index}.mp4"
        times = {"start": utterance["start"], "end": utterance["end"]}
        ours, theirs = load_frames(utterance["video"], 3, **times), load_frames(str(clip), 3)
        assert np.abs(ours.astype(int) - theirs).mean() < 6, "other pictures than the clip's"
        heard, said = load_audio(utterance["audio"], 16_000, **times), load_audio(str(clip), 16_000)
        # Coding it once more delays the sound by 1024 samples.
        length = min(len(heard), len(said)) - 1200
        lags = [np.dot(heard[lag : lag + length], said[:length]) for lag in range(0, 1200, 2)]
        assert max(lags) > 0.8 * np.dot(said[:length], said[:length]), "other sound than the clip's"
