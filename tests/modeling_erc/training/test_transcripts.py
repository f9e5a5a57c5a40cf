"""Words of utterances without text, with a recogniser of random weights, whose words mean nothing but never change."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from datasets_scripts import DialogueRows
from modeling_erc.analysis.finished_run import load_run
from modeling_erc.media_erc import load_audio
from modeling_erc.training.arguments import ErcArgumentParser
from modeling_erc.training.data import load_corpus
from modeling_erc.training.train import main as train_main
from modeling_erc.training.transcripts import WordCache, transcribe_missing
from modeling_erc.transcription import load_recogniser, recognise
from tests.modeling_erc.clips import brightness, write_clip
from tests.modeling_erc.transcription.conftest import recogniser
from tests.small_run import SMALL_RECIPE

__all__ = ["recogniser"]
pytestmark = pytest.mark.usefixtures("home")
ROOT = Path(__file__).parents[3]
RATE = 16000
COLUMNS = ["dialogue_id", "text", "audio", "video", "start", "end", "label", "split"]
Texts = dict[str, list[str | None]]


def tones(*pitches: int) -> np.ndarray:
    """Tones of a second each, which have different words for the recogniser, `(samples,)`."""
    time = np.arange(RATE) / RATE
    return np.concatenate([0.5 * np.sin(2 * np.pi * pitch * time) for pitch in pitches]).astype(np.float32)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """In train a written text, two parts of one recording, and a video; in dev a clip; in test one and silence."""
    write_clip(tmp_path / "face.mp4", np.stack([tones(1000)] * 2), brightness(24), rate=RATE)
    sounds = {"talk": tones(150, 440, 220), "dev": tones(1500), "test": tones(3000), "silence": np.zeros(RATE)}
    for name, samples in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, RATE)
    rows = [
        ["a", "we won", "talk.wav", "", "0", "1", "joy", "train"],
        ["a", "", "talk.wav", "", "1", "2", "joy", "train"],
        ["a", "", "talk.wav", "", "2", "3", "anger", "train"],
        ["a", "", "", "face.mp4", "", "", "anger", "train"],
        ["b", "", "dev.wav", "", "", "", "joy", "dev"],
        ["c", "", "test.wav", "", "", "", "joy", "test"],
        ["c", "", "silence.wav", "", "", "", "anger", "test"],
    ]
    with (tmp_path / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    (tmp_path / "small.yaml").write_text(f"{SMALL_RECIPE.replace('meld', 'table')}\nnum_train_epochs: 1\n")
    return tmp_path / "clips.csv"


def words_of(table: Path, *words: str) -> tuple[Texts, dict[str, int], list[str]]:
    """Returns the texts of each split, and what `transcribe_missing` returns."""
    recipe = [str(table.with_name("small.yaml")), "--data_dir", str(table)]
    cache = ["--feature_cache", str(table.parent / "cache")]
    model, data, args, _ = ErcArgumentParser().parse([*recipe, *cache, *words], default_config="demo")
    splits = load_corpus(data, args.seed)
    counts, problems = transcribe_missing(splits, model.modalities, data, "cpu")
    return {split: texts(rows) for split, rows in splits.items()}, counts, problems


def texts(rows: DialogueRows) -> list[str | None]:
    return [utterance["text"] for row in rows for utterance in row["utterances"]]


def stored(table: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in (table.parent / "cache").rglob("*.jsonl")}


def test_a_run_recognises_missing_words_once_and_records_it(
    table: Path,
    recogniser: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["small.yaml", "--data_dir", str(table), "--feature_cache", "cache", "--transcribe", str(recogniser)]
    first = train_main([*words, "--output_dir", "first"])
    out, err = capfd.readouterr()
    assert "Loading weights" in err
    assert f"words: recognised by {recogniser.name} in utterances without text: 3 train, 1 dev, 1 test\n" in out
    assert f"1 clip(s) could not be used and were masked out:\n  {tmp_path / 'silence.wav'}: silent" in caplog.text
    content = stored(table)
    assert len(content) == 1
    again = train_main([*words, "--output_dir", "second"])
    assert "Loading weights" not in capfd.readouterr().err, "not even the recogniser is loaded"
    assert (again, stored(table)) == (first, content)

    facts = json.loads((tmp_path / "first" / "run.json").read_text())
    assert facts["transcribed"] == {"train": 3, "dev": 1, "test": 1}
    card = (tmp_path / "first" / "README.md").read_text()
    assert f"recognised by `{recogniser.name}` (train: 3 utterances, dev: 1 utterances, test: 1 utterances)" in card
    assert f"--transcribe {recogniser.name}" in card and str(recogniser) not in card
    with (tmp_path / "first" / "predictions.csv").open(newline="") as file:
        written = [row["text"] for row in csv.DictReader(file) if row["split"] == "test"]
    assert written[0] and written[1] == ""
    # A finished run is reopened with the words that it was trained on.
    assert texts(load_run("first").splits["test"]) == [written[0], None]


def test_each_utterance_gets_the_words_of_its_own_clip_and_keeps_a_text(table: Path, recogniser: Path) -> None:
    found, counts, problems = words_of(table, "--transcribe", str(recogniser), "--language", "de")
    folder, model = table.parent, load_recogniser(str(recogniser), "cpu")
    clips: list[tuple[str, dict[str, float]]] = [
        ("talk.wav", {"start": 1, "end": 2}),
        ("talk.wav", {"start": 2, "end": 3}),
        ("face.mp4", {}),
    ]
    alone = [recognise(model, [load_audio(str(folder / name), RATE, **part)], "de")[0] for name, part in clips]
    assert len({*alone}) == 3 and all(alone)
    assert found["train"] == ["we won", *alone]
    assert counts == {"train": 3, "dev": 1, "test": 1}
    assert found["test"][1] is None
    assert problems == [f"{folder / 'silence.wav'}: silent"]


def test_a_changed_clip_recogniser_or_language_is_recognised_again(
    table: Path, recogniser: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    own = Path(shutil.copytree(recogniser, table.parent / "whisper"))

    def recognised(*words: str) -> int:
        """Returns the number of clips in the progress bar."""
        words_of(table, "--transcribe", str(own), *words)
        totals = re.findall(r"transcribing: 100%.* (\d+)/\1 ", capfd.readouterr().err)
        return int(totals[-1]) if totals else 0

    silent = 1  # read again each time, since it may have been repaired
    assert recognised() == 5 + silent
    assert recognised() == silent
    soundfile.write(table.parent / "dev.wav", tones(1500, 440), RATE)
    assert recognised() == 1 + silent
    assert recognised("--language", "en") == 5 + silent
    os.utime(own / "model.safetensors", ns=(0, 0))
    assert recognised() == 5 + silent


def test_words_are_kept_where_a_killed_process_left_half_a_line(tmp_path: Path) -> None:
    cache = WordCache(tmp_path, "user/whisper", None)
    cache.add({"a": "oh no", "b": "one 1", "c": " ♪ ... "})
    with cache.own_file.open("a") as file:
        file.write('["d", "half a li')
    again = WordCache(tmp_path, "user/whisper", None)
    assert again.texts == cache.texts == {"a": "oh no", "b": "one 1", "c": ""}
    assert WordCache(tmp_path, "user/whisper", "en").texts == {}
    assert WordCache(tmp_path, "user/other", None).texts == {}


def test_a_clip_in_which_no_words_were_recognised_is_reported_each_time(
    table: Path, recogniser: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(table.parent / "talk.wav", tones(150, 300, 220), RATE)  # the words for the second are ";;"
    for _ in range(2):
        found, counts, problems = words_of(table, "--transcribe", str(recogniser))
        assert counts["train"] == 2 and found["train"][1] is None and found["train"][2]
        assert f"{table.parent / 'talk.wav'}: 1-2 s: no words were recognised" in problems
    (file,) = stored(table).values()
    assert len(file.splitlines()) == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--transcribe", "RECOGNISER", "--modalities", "audio"], r"--transcribe .* reads audio: add text to --modal"),
        (["--transcribe", "./no/folder"], r"--transcribe \./no/folder: no such folder"),
        (["--transcribe", "user/none"], "--transcribe: user/none: not a speech recogniser"),
        (
            ["--transcribe", "RECOGNISER", "--language", "klingon"],
            "--transcribe: language 'klingon' is not one of Whisper's",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(table: Path, recogniser: Path, words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        words_of(table, *(str(recogniser) if word == "RECOGNISER" else word for word in words))


def test_a_corpus_that_has_no_text_in_the_end_is_refused_with_the_reasons(table: Path, recogniser: Path) -> None:
    rows = [[split, "", "silence.wav", "", "", "", "joy", split] for split in ("train", "dev", "test")]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    with pytest.raises(ValueError, match=r"none of the 1 clips gave words: .*silence\.wav: silent\. Check the clips"):
        words_of(table, "--transcribe", str(recogniser))


def test_a_corpus_with_all_its_text_needs_no_recogniser(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.reader(table.read_text().splitlines()))
    for row in rows[1:]:
        row[1] = "said"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    found, counts, problems = words_of(table, "--transcribe", "user/none")
    assert {*found["train"], *found["test"]} == {"said"} and (counts, problems) == ({}, [])
    assert "note: --transcribe user/none: no utterance with a clip lacks text" in capsys.readouterr().out


def test_a_recipe_is_switched_off_by_an_empty_value(table: Path) -> None:
    table.with_name("small.yaml").open("a").write("transcribe: user/none\n")
    found, counts, _ = words_of(table, "--transcribe=")
    assert (found["train"], counts) == (["we won", None, None, None], {})


def test_clips_have_the_same_words_together_and_alone_and_may_be_long(recogniser: Path) -> None:
    model = load_recogniser(str(recogniser), "cpu")
    clips = [tones(150), tones(440), tones(1500)]
    together = recognise(model, clips, "en")
    assert together == [recognise(model, [clip], "en")[0] for clip in clips]
    assert len({*together}) == 3
    *short, long = recognise(model, [*clips, tones(*[440] * 31)], "en")
    assert short == together and isinstance(long, str)


@pytest.mark.slow
def test_two_processes_share_the_clips(table: Path, recogniser: Path, tmp_path: Path) -> None:
    def run(folder: str, *launcher: str) -> Any:
        words = ["small.yaml", "--data_dir", str(table), "--transcribe", str(recogniser), "--feature_cache", folder]
        command = [sys.executable, *launcher, str(ROOT / "train_hf.py"), *words, "--output_dir", f"run-{folder}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        files = (tmp_path / folder).rglob("*.jsonl")
        return [dict(map(json.loads, file.read_text().splitlines())) for file in files]

    (alone,) = run("one")
    first, second = run("two", "-m", "torch.distributed.run", "--nproc_per_node", "2")
    assert first and second and not {*first} & {*second}
    assert first | second == alone
    facts = json.loads((tmp_path / "run-two" / "run.json").read_text())
    assert facts["transcribed"] == {"train": 3, "dev": 1, "test": 1}
