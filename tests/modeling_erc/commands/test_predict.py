"""A file of a conversation and its recording become a timeline, with one command."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from modeling_erc import EmotionRecognitionPipeline, ErcConfig, ErcForSequenceClassification
from modeling_erc.__main__ import main as modeling_erc
from modeling_erc.processing_erc import ErcProcessor

SRT = "1\n00:00:00,000 --> 00:00:00,700\nANN: we won\n\n2\n00:00:00,700 --> 00:00:01,400\nBO: oh no\n"


@pytest.fixture
def checkpoint(raw_config: Callable[..., ErcConfig], processor: ErcProcessor, tmp_path: Path) -> Path:
    config = raw_config()
    config.id2label, config.label2id = {0: "joy", 1: "anger", 2: "fear"}, {"joy": 0, "anger": 1, "fear": 2}
    torch.manual_seed(0)
    ErcForSequenceClassification(config).save_pretrained(tmp_path / "checkpoint")
    processor.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def predict(*words: str | Path) -> None:
    modeling_erc(["predict", *map(str, words)])


def test_subtitles_and_a_video_give_every_format_of_the_timeline(
    checkpoint: Path, clips: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "talk.srt").write_text(SRT + "\n3\n00:00:01,400 --> 00:00:01,500\n[music]\n")
    outs = [tmp_path / f"out.{suffix}" for suffix in ("json", "csv", "vtt", "png")]
    command: list[str | Path] = [checkpoint, tmp_path / "talk.srt", "--media", clips["long.mp4"], "--device", "cpu"]
    predict(*command, *(word for out in outs for word in ("--out", out)))
    shown = capsys.readouterr().out
    assert "note: 1 cue(s) without speech" in shown and "used: text of 2, audio of 2, vision of 2" in shown
    assert all(f"wrote {out}" in shown and out.stat().st_size for out in outs)
    turns = json.loads(outs[0].read_text())

    film = {"audio": str(clips["long.mp4"]), "video": str(clips["long.mp4"])}
    pipe = EmotionRecognitionPipeline(
        model=ErcForSequenceClassification.from_pretrained(checkpoint).eval(),
        processor=ErcProcessor.from_pretrained(checkpoint),
        device="cpu",
    )
    times = [{"start": 0.0, "end": 0.7}, {"start": 0.7, "end": 1.4}]
    said = [{"speaker": "ANN", "text": "we won"}, {"speaker": "BO", "text": "oh no"}]
    wanted = pipe([{**film, **time, **words} for time, words in zip(times, said, strict=True)])
    for turn, time, words, result in zip(turns, times, said, wanted, strict=True):
        assert {**time, **words}.items() <= turn.items()
        assert turn["label"] == result["label"] and turn["scores"] == pytest.approx(result["scores"], abs=1e-5)
    assert turns[0]["scores"] != pytest.approx(pipe([{**film, **said[0]}])[0]["scores"], abs=1e-3), (
        "not cut by its time"
    )
    assert outs[2].read_text().startswith("WEBVTT\n\nSTYLE\n::cue(.joy)")

    predict(*command, "--modalities", "text", "--out", outs[0])
    assert [turn["modalities"] for turn in json.loads(outs[0].read_text())] == [["text"], ["text"]]


def test_invalid_inputs_are_refused_in_one_line_before_anything_is_written(
    checkpoint: Path, clips: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "talk.srt").write_text(SRT)
    (tmp_path / "late.srt").write_text(SRT.replace("00:00:0", "00:09:0"))
    (tmp_path / "wrong.srt").write_text(SRT.replace(" --> ", " -> ", 1))
    (tmp_path / "talk.jsonl").write_text('{"text": "we won"}\n')
    out, film = tmp_path / "out.json", clips["long.mp4"]
    wrong: list[tuple[list[str | Path], str]] = [
        ([checkpoint, tmp_path / "talk.srt", "--out", tmp_path / "out.gif"], r"unknown timeline format '\.gif'"),
        ([checkpoint, tmp_path / "none.srt", "--out", out], r"none\.srt: no such file"),
        ([checkpoint, tmp_path / "wrong.srt", "--out", out], r"wrong\.srt, line 1: .*: write times as"),
        ([checkpoint, tmp_path / "late.srt", "--media", film, "--out", out], "is it the file of another conversation"),
        ([checkpoint, tmp_path / "talk.jsonl", "--media", film, "--out", out], "has no times"),
        ([checkpoint, tmp_path / "talk.jsonl", "--out", tmp_path / "out.vtt"], "has no times, which WebVTT needs"),
        ([checkpoint, film, "--out", out], r"long\.mp4: a recording without words: transcribe it"),
        ([checkpoint, tmp_path / "talk.srt", "--speakers", "2", "--out", out], "add --transcribe MODEL"),
        (
            [
                checkpoint,
                tmp_path / "wrong.srt",
                tmp_path / "none.srt",
                tmp_path / "talk.srt",
                "--out",
                tmp_path / "all",
            ],
            r"2 files cannot be used:\n.*wrong\.srt, line 1: .*\n.*none\.srt: no such file",
        ),
        ([checkpoint, tmp_path / "talk.srt", tmp_path / "late.srt", "--out", out], "one folder, or one .csv table"),
        (
            [checkpoint, tmp_path / "talk.srt", tmp_path / "talk.jsonl", "--out", tmp_path / "all"],
            "several files are named 'talk'",
        ),
        (
            [checkpoint, tmp_path / "talk.srt", "--modalities", "smell", "--out", out],
            "the model has text, audio, vision",
        ),
        (
            [tmp_path / "nowhere", tmp_path / "talk.srt", "--out", out],
            "nowhere: neither a folder that train_hf.py wrote",
        ),
    ]
    for words, message in wrong:
        with pytest.raises(SystemExit, match=message):
            predict(*words)
    assert not list(tmp_path.glob("out.*"))


def test_several_files_fill_a_folder_or_one_table(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "first.srt").write_text(SRT)
    (tmp_path / "second.txt").write_text("Ann: we won\nBo: oh no\nAnn: oh\n")
    files = [tmp_path / "first.srt", tmp_path / "second.txt"]
    predict(checkpoint, *files, "--device", "cpu", "--out", tmp_path / "all")
    names = {f"first{suffix}" for suffix in (".csv", ".json", ".png", ".vtt")}
    assert {path.name for path in (tmp_path / "all").iterdir()} == names | {
        f"second{s}" for s in (".csv", ".json", ".png")
    }
    predict(checkpoint, *files, "--device", "cpu", "--out", tmp_path / "all.csv")
    rows = list(csv.DictReader((tmp_path / "all.csv").open(encoding="utf-8", newline="")))
    assert [Path(row["file"]).name for row in rows] == ["first.srt"] * 2 + ["second.txt"] * 3
    assert [row["text"] for row in rows] == ["we won", "oh no", "we won", "oh no", "oh"]
    assert "note: the conversation has no audio or vision" in capsys.readouterr().out


def test_answers_are_qualified(
    raw_config: Callable[..., ErcConfig],
    processor: ErcProcessor,
    clips: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    corpus = {"name": "demo", "synthetic": True, "language": "en"}
    ErcForSequenceClassification(raw_config("text", training_corpus=corpus)).save_pretrained(tmp_path / "checkpoint")
    processor.modalities = ["text"]
    processor.save_pretrained(tmp_path / "checkpoint")
    (tmp_path / "talk.srt").write_text(SRT)
    predict(tmp_path / "checkpoint", tmp_path / "talk.srt", "--media", clips["long.mp4"], "--out", tmp_path / "a.png")
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert len(notes) == 2 and "trained on the synthetic corpus 'demo'" in notes[0]
    assert notes[1] == "note: the model reads text only: the conversation's audio and vision cannot be used"


def test_help_lists_the_commands_in_the_order_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    modeling_erc(["--help"])
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    names = [name for name, summary in lines if summary]
    assert names[:8] == ["train", "predict", "extract", "ablate", "cv", "robustness", "cross", "analyse"]
