import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from datasets_scripts.demo_corpus.film import FRAME_RATE
from datasets_scripts.demo_corpus.script import SENTIMENT, Cues, Line
from datasets_scripts.demo_corpus.writer import (
    CLIP_FOLDERS,
    COLUMNS,
    Clip,
    DemoRecipe,
    ensure_demo_corpus,
    write_clip,
    write_demo_corpus,
)

SMALL = DemoRecipe(train_dialogues=4, dev_dialogues=2, test_dialogues=2, utterances=6)
TINY = DemoRecipe(train_dialogues=1, dev_dialogues=1, test_dialogues=1, utterances=2)
LINE = Line(0, 0, "Runa", "We still have the map.", "neutral", Cues("plain", "calm", "still"), "calm", False)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_corpus(tmp_path_factory.mktemp("demo") / "corpus", seed=7, recipe=SMALL)


def table(root: Path, split: str) -> list[dict[str, str]]:
    with open(root / f"{split}_sent_emo.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pictures(clip: Path) -> np.ndarray:
    with av.open(str(clip)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def sound(clip: Path) -> np.ndarray:
    with av.open(str(clip)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def seconds(clock: str) -> float:
    hours, minutes, rest = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))


@pytest.mark.parametrize("split", CLIP_FOLDERS)
def test_tables_are_in_melds_form_and_every_row_has_its_clip(corpus: Path, split: str) -> None:
    rows = table(corpus, split)
    assert tuple(rows[0]) == COLUMNS
    names = [f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}.mp4" for row in rows]
    assert sorted(names) == sorted(clip.name for clip in (corpus / CLIP_FOLDERS[split]).iterdir())
    assert names[0] == "dia0_utt0.mp4" and len(rows) == SMALL.clips()[split]
    assert all(row["Sentiment"] == SENTIMENT[row["Emotion"]] for row in rows)


def test_the_columns_are_those_of_the_real_release(corpus: Path) -> None:
    release = Path(__file__).parents[4] / "shared/data/meld/dev_sent_emo.csv"
    if not release.is_file():
        pytest.skip("the MELD tables are not beside this checkout")
    assert (corpus / "dev_sent_emo.csv").read_bytes().splitlines()[0] == release.read_bytes().splitlines()[0]


def test_times_are_written_as_in_meld_and_agree_with_the_clips(corpus: Path) -> None:
    for row in table(corpus, "dev"):
        length = seconds(row["EndTime"]) - seconds(row["StartTime"])
        frames = len(pictures(corpus / CLIP_FOLDERS["dev"] / f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}.mp4"))
        assert len(row["StartTime"]) == len("00:16:16,059") and row["StartTime"][8] == ","
        assert 0.8 <= length <= 1.6 and frames / FRAME_RATE == pytest.approx(length, abs=0.002)


def test_every_clip_has_h264_pictures_and_aac_sound_of_one_length(corpus: Path) -> None:
    clips = sorted(corpus.glob("*/*.mp4"))
    assert len(clips) == sum(SMALL.clips().values())
    for clip in clips:
        with av.open(str(clip)) as container:
            video, audio = container.streams.video[0], container.streams.audio[0]
            assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
            assert (video.width, video.height, video.average_rate) == (64, 64, FRAME_RATE)
            assert (audio.rate, audio.channels) == (16_000, 1)
        samples = sound(clip)
        assert len(samples) / 16_000 == pytest.approx(len(pictures(clip)) / FRAME_RATE, abs=0.15)
        assert samples.std() > 0.005


def test_one_seed_gives_one_corpus_whatever_the_number_of_processes(corpus: Path, tmp_path: Path) -> None:
    again = write_demo_corpus(tmp_path / "again", seed=7, workers=1, recipe=SMALL)
    for split, folder in CLIP_FOLDERS.items():
        name = f"{split}_sent_emo.csv"
        assert (again / name).read_bytes() == (corpus / name).read_bytes()
        clip = f"{folder}/dia1_utt3.mp4"
        assert np.array_equal(pictures(again / clip), pictures(corpus / clip))
        assert np.array_equal(sound(again / clip), sound(corpus / clip))


def test_another_seed_gives_another_corpus_and_a_longer_train_the_same_test(corpus: Path, tmp_path: Path) -> None:
    other = write_demo_corpus(tmp_path / "other", seed=8, workers=1, recipe=replace(SMALL, dev_dialogues=1))
    longer = write_demo_corpus(tmp_path / "longer", seed=7, workers=1, recipe=replace(SMALL, train_dialogues=5))
    one = (corpus / "test_sent_emo.csv").read_bytes()
    assert (other / "test_sent_emo.csv").read_bytes() != one == (longer / "test_sent_emo.csv").read_bytes()


def test_the_face_does_not_depend_on_the_voice_nor_the_voice_on_the_face(tmp_path: Path) -> None:
    def make(name: str, cues: Cues) -> Path:
        write_clip(Clip(tmp_path / f"{name}.mp4", replace(LINE, cues=cues), 8, (0, 1)))
        return tmp_path / f"{name}.mp4"

    one = make("one", Cues("plain", "calm", "still"))
    voice = make("voice", Cues("plain", "dull", "still"))
    face = make("face", Cues("plain", "calm", "frown"))
    assert np.array_equal(pictures(one), pictures(voice)) and not np.array_equal(sound(one), sound(voice))
    assert np.array_equal(sound(one), sound(face)) and not np.array_equal(pictures(one), pictures(face))


def test_a_complete_corpus_is_used_again(tmp_path: Path) -> None:
    root = ensure_demo_corpus(tmp_path / "deep" / "corpus", 1, TINY)
    clip = root / "train_splits" / "dia0_utt0.mp4"
    os.utime(clip, (1, 1))
    assert ensure_demo_corpus(root, 1, TINY) == root and clip.stat().st_mtime == 1


def test_another_seed_another_recipe_or_a_lost_clip_is_written_anew(tmp_path: Path) -> None:
    root = ensure_demo_corpus(tmp_path / "corpus", 1, TINY)
    first = (root / "train_sent_emo.csv").read_bytes()
    ensure_demo_corpus(root, 2, TINY)
    assert (root / "train_sent_emo.csv").read_bytes() != first
    ensure_demo_corpus(root, 2, replace(TINY, utterances=3))
    assert len(table(root, "train")) == 3
    ensure_demo_corpus(root, 1, TINY)
    (root / "dev_splits_complete" / "dia0_utt1.mp4").unlink()
    ensure_demo_corpus(root, 1, TINY)
    assert (root / "dev_splits_complete" / "dia0_utt1.mp4").is_file()
    assert (root / "train_sent_emo.csv").read_bytes() == first


def test_nothing_of_the_draft_is_left_beside_the_corpus(corpus: Path) -> None:
    assert [entry.name for entry in corpus.parent.iterdir()] == ["corpus"]
    assert {entry.name for entry in corpus.iterdir()} == {
        "demo.json",
        *CLIP_FOLDERS.values(),
        *(f"{split}_sent_emo.csv" for split in CLIP_FOLDERS),
    }


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for write in (write_demo_corpus, ensure_demo_corpus):
        with pytest.raises(FileExistsError, match=r"demo\.json: name a new folder"):
            write(tmp_path, seed=0, recipe=TINY)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_run_that_is_broken_off_leaves_no_corpus_and_the_next_one_writes_it(tmp_path: Path) -> None:
    root = tmp_path / "corpus"
    code = f"from datasets_scripts.demo_corpus.writer import *; ensure_demo_corpus(Path({str(root)!r}))"
    command = [sys.executable, "-c", code]
    # A session of its own, so that the worker processes end with it.
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[3], stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        while process.poll() is None and not list(tmp_path.glob(".corpus.*.part/train_splits/*.mp4")):
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert list(tmp_path.glob(".corpus.*.part")) and not root.exists()
    assert len(table(ensure_demo_corpus(root, 0, TINY), "train")) == 2


def test_impossible_recipes_and_seeds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dev_dialogues=0"):
        DemoRecipe(dev_dialogues=0)
    with pytest.raises(ValueError, match="seed -1"):
        write_demo_corpus(tmp_path / "corpus", seed=-1, recipe=TINY)
