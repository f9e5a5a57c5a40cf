"""What a model does not know, and cannot read, is said beside its answers."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from modeling_erc import EmotionRecognitionPipeline, ErcConfig, ErcForSequenceClassification
from modeling_erc.context_erc import LONG
from modeling_erc.pipeline_erc import notes_about
from modeling_erc.processing_erc import ErcProcessor

MELD = {"name": "meld", "synthetic": False, "language": "en"}
ENGLISH = "But the server crashed last night, and we lost the backup. What are you going to do with it now, my friend?"
GERMAN = "Aber der Server ist letzte Nacht abgestürzt, und die Sicherung ist weg. Was wollen wir jetzt damit machen?"


@pytest.mark.parametrize(
    ("text", "language", "foreign"),
    [
        (ENGLISH, None, False),
        (ENGLISH, "en", False),
        (ENGLISH, "de", True),
        (GERMAN, None, True),
        ("我们赢了合同", None, True),
        ("Привет", None, True),
        ("Hola, Ann!", None, False),  # too short to judge
    ],
)
def test_the_language_of_the_words(
    text: str, language: str | None, foreign: bool, raw_config: Callable[..., ErcConfig], processor: ErcProcessor
) -> None:
    config = raw_config("text", training_corpus=MELD)
    notes = notes_about(config, processor, [{"text": text}], language)
    assert any("do not seem to be in 'en'" in note for note in notes) == foreign
    assert any("unknown to the model" in note or "no word that" in note for note in notes)  # its tokenizer has 47 words
    assert not notes_about(raw_config("text"), processor, [{"text": "we won , oh no"}])


def test_utterances_without_a_known_word_are_counted(
    raw_config: Callable[..., ErcConfig], processor: ErcProcessor
) -> None:
    turns = [{"speaker": "Ann", "text": text} for text in ("梯子在哪里?", "we won", "那是谁 ?")]
    (note,) = notes_about(raw_config("text"), processor, turns)
    assert note == "2 of 3 utterances have no word that the model knows: their text says nothing"


@pytest.mark.parametrize(
    ("settings", "bounded"), [({}, True), ({"context_window": 9}, False), ({"context": "gru"}, False)]
)
def test_a_window_that_the_model_does_not_have_is_reported(
    settings: dict[str, Any], bounded: bool, feature_config: Callable[..., ErcConfig], processor: ErcProcessor
) -> None:
    config = feature_config("text", **settings)
    for count, found in ((LONG, False), (LONG + 1, bounded)):
        notes = notes_about(config, processor, [{"text_features": [0.0]}] * count)
        assert any("each sees the 512 before and after it only" in note for note in notes) == found


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_the_pipeline_warns_once(
    raw_config: Callable[..., ErcConfig], processor: ErcProcessor, warnings: pytest.LogCaptureFixture
) -> None:
    model = ErcForSequenceClassification(raw_config(training_corpus={**MELD, "synthetic": True}))
    pipe = EmotionRecognitionPipeline(model=model.eval(), processor=processor, device="cpu")
    for _ in range(2):
        pipe([{"speaker": "Ann", "text": "we won"}])
    messages = [record.message for record in warnings.records]
    assert len(messages) == len(set(messages)) == 2
    assert "synthetic corpus 'meld'" in messages[0] and "has no audio or vision" in messages[1]
    assert len(pipe.notes([{"speaker": "Ann", "text": "we won"}])) == 2
    assert len(pipe.notes([{"speaker": "Ann", "text": "we won"}], modalities=["text"])) == 1


def test_speakers_with_too_few_utterances_for_a_mean_are_counted(
    feature_config: Callable[..., ErcConfig], processor: ErcProcessor
) -> None:
    turns = [{"speaker": name, "audio_features": [0.0]} for name in ["Ann"] * 16 + ["Bo"] * 15]
    config = feature_config("audio", centered_modalities=["audio"])
    (note,) = notes_about(config, processor, [*turns, {"speaker": "Cy"}])
    assert note.startswith("1 of 2 speakers have fewer than 16 utterances with audio")
    assert not notes_about(config, processor, turns[:16])
    assert not notes_about(feature_config("audio"), processor, turns)


def test_utterances_without_speaker_are_counted(raw_config: Callable[..., ErcConfig], processor: ErcProcessor) -> None:
    turns = [{"text": "we won"}, {"speaker": "Ann", "text": "oh no"}, {"text": "we won"}]
    (note,) = notes_about(raw_config("text"), processor, turns)
    assert note == "2 of 3 utterances have no speaker: the model takes them for those of one person"
    assert not notes_about(raw_config("text", context="none"), processor, turns)
    processor.unnamed_speakers = "each"
    assert not notes_about(raw_config("text"), processor, turns)
