"""Predictions for a conversation with all modalities and with a subset."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from modeling_erc import EmotionRecognitionPipeline, ErcConfig, ErcForSequenceClassification
from modeling_erc.demo_page.limits import Limits, PageError
from modeling_erc.demo_page.reading import Reader, write_downloads
from modeling_erc.demo_page.script import write_script
from modeling_erc.processing_erc import ErcProcessor
from tests.conftest import write_wav

SCRIPT = "[0:00 - 0:00.5] Ann: we won\n[0:00.5 - 0:01] Bo: oh no\n[0:01 - 0:01.5] Ann: w1 w2 w3"


@pytest.fixture
def reader(reader_of: Callable[..., Reader]) -> Reader:
    return reader_of()


def scores(turns: list) -> np.ndarray:
    return np.array([list(turn.scores.values()) for turn in turns])


def test_modalities_can_be_switched_off_and_on(reader: Reader, clips: dict[str, Path]) -> None:
    whole = reader.read(SCRIPT, clips["long.wav"], ["text", "audio"])
    assert [turn.modalities for turn in whole.shown] == [("text", "audio")] * 3 and whole.changed == []
    spoken = reader.switch(whole, ["audio"])
    assert [turn.modalities for turn in spoken.shown] == [("audio",)] * 3 and spoken.whole is whole.whole
    assert np.abs(scores(spoken.shown) - scores(whole.shown)).max() > 1e-3
    labels = [(a.label, b.label) for a, b in zip(whole.shown, spoken.shown, strict=True)]
    assert spoken.changed == [place for place, (a, b) in enumerate(labels) if a != b]
    assert reader.switch(spoken, ["text", "audio"]).shown == whole.shown
    np.testing.assert_allclose(scores(reader.read(SCRIPT, clips["long.wav"], ["audio"]).shown), scores(spoken.shown))
    with pytest.raises(PageError, match="Everything is switched off"):
        reader.switch(whole, [])


def test_silent_clips_are_noted(reader: Reader, tmp_path: Path) -> None:
    import soundfile

    path = write_wav(tmp_path / "half.wav", 1.5)
    samples, rate = soundfile.read(path)
    samples[rate // 2 :] = 0
    soundfile.write(path, samples, rate)
    reading = reader.read(SCRIPT, path, ["text", "audio"])
    assert reading.notes == ["No usable voice in turn 2, 3."]


def test_limits_apply_to_typed_text(reader: Reader) -> None:
    reader.limits = Limits(turns=2)
    with pytest.raises(PageError, match="3 turns are too many"):
        reader.read(SCRIPT, None, ["text"])
    # Reported before parsing, which would find no turn.
    reader.limits = Limits(turns=1)
    with pytest.raises(PageError, match="1251 characters are too many for this page: leave at most 1250"):
        reader.read("\n" * 1251, None, ["text"])
    with pytest.raises(PageError, match="The conversation is empty"):
        reader.read("\n" * 1250, None, ["text"])


def test_a_request_ends_when_its_computing_time_is_over(reader: Reader, clips: dict[str, Path]) -> None:
    reader.limits = Limits(computing_seconds=-1)
    for recording in (None, clips["long.wav"], clips["long.mp4"]):
        with pytest.raises(PageError, match="takes longer than -1 s, the limit of this page: shorten"):
            reader.read(SCRIPT, recording, ["text", "audio"])
    reader.limits = Limits()
    assert len(reader.read(SCRIPT, clips["long.mp4"], ["text", "audio"]).shown) == 3


def test_the_text_box_holds_the_longest_accepted_conversation() -> None:
    limits = Limits()
    longest = [
        {"speaker": "S" * 40, "text": "w" * limits.characters, "start": 3599.125, "end": 3599.625}
        for _ in range(limits.turns)
    ]
    limits.check_script(write_script(longest))


def test_a_conversation_without_any_input_is_refused(reader: Reader) -> None:
    with pytest.raises(PageError, match="The model cannot read this"):
        reader.read("Ann:\nBo:", None, ["text", "audio"])


def test_downloads_contain_the_shown_predictions(reader: Reader, tmp_path: Path) -> None:
    reading = reader.switch(reader.read(SCRIPT, None, ["text", "audio"]), ["text"])
    paths = write_downloads(reading, tmp_path)
    assert paths[".csv"] and paths[".json"] and paths[".vtt"]
    labels = [turn.label for turn in reading.shown]
    with paths[".csv"].open(encoding="utf-8") as file:
        assert [row["label"] for row in csv.DictReader(file)] == labels
    assert [turn["label"] for turn in json.loads(paths[".json"].read_text())] == labels
    assert paths[".vtt"].read_text().count("-->") == 3
    assert write_downloads(reader.read("Ann: we won", None, ["text", "audio"]), tmp_path)[".vtt"] is None


def test_a_model_without_backbones_is_refused(feature_config: Callable[..., ErcConfig]) -> None:
    model = ErcForSequenceClassification(feature_config()).eval()
    pipe = EmotionRecognitionPipeline(model=model, processor=ErcProcessor(), device="cpu")
    with pytest.raises(ValueError, match="the page needs one with backbones"):
        Reader(pipe)
