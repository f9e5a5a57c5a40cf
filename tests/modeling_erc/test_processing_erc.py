import logging
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from transformers import BatchFeature, PreTrainedTokenizerFast

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.configuration_erc import MODALITIES
from modeling_erc.processing_erc import ErcProcessor, pad_stack

MakeConfig = Callable[..., ErcConfig]
Dialogues = list[list[dict[str, Any]]]

MASKS = ["utterance_mask", "modality_mask", "speaker_ids", "utterance_index"]
INPUTS = {
    "text": ["input_ids", "attention_mask", "text_token_mask"],
    "audio": ["audio_values", "audio_attention_mask"],
    "vision": ["pixel_values"],
}
SUBSETS = [(), ("text",), ("audio",), ("vision",), ("text", "vision"), ("text", "audio", "vision")]


def noise(seconds: float, rate: int = 16000) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * rate)).astype(np.float32)


def assert_same(first: BatchFeature, second: BatchFeature) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def part(processor: ErcProcessor, modalities: tuple[str, ...], **settings: Any) -> ErcProcessor:
    """A processor that has what some of the modalities need."""
    names = {"text": "tokenizer", "audio": "feature_extractor", "vision": "image_processor"}
    sub_processors = {names[m]: getattr(processor, names[m]) for m in modalities}
    return ErcProcessor(**sub_processors, modalities=modalities, num_frames=2, **settings)


def test_a_model_takes_what_comes_out(processor: ErcProcessor, dialogues: Dialogues, raw_config: MakeConfig) -> None:
    inputs = processor(dialogues)
    assert sorted(inputs) == sorted(processor.model_input_names) == sorted([*MASKS, *chain(*INPUTS.values())])
    assert inputs["utterance_mask"].tolist() == [[True] * 4, [True] + [False] * 3, [True] * 2 + [False] * 2]
    assert inputs["modality_mask"].int().tolist() == [
        [[1, 1, 1], [1, 1, 0], [0, 0, 0], [0, 1, 1]],
        [[1, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]],
    ]
    assert inputs["speaker_ids"].tolist() == [[0, 1, 2, 0], [0, -1, -1, -1], [0, 1, -1, -1]]
    assert inputs["utterance_index"].tolist() == [[0, 0], [0, 1], [0, 2], [0, 3], [1, 0], [2, 0], [2, 1]]
    assert [len(inputs[name]) for name in ("input_ids", "audio_values", "pixel_values")] == [4, 4, 3]
    assert inputs["pixel_values"].shape[1:] == (2, 3, 16, 16) and inputs["audio_values"].shape[1:] == (16, 150)
    # 10 ms a frame; aac may leave a little more than it got.
    assert inputs["audio_attention_mask"].sum(dim=1).tolist() == pytest.approx([150, 60, 75, 75], abs=3)
    logits = ErcForSequenceClassification(raw_config()).eval()(**inputs).logits
    assert logits.shape == (3, 4, 3) and logits.isfinite().all()


def test_one_dialogue_or_many_as_lists_or_rows(processor: ErcProcessor, dialogues: Dialogues) -> None:
    alone = processor(dialogues[0])
    assert alone["utterance_mask"].shape == (1, 4)
    assert_same(processor({"dialogue_id": "d0", "utterances": dialogues[0]}), alone)
    assert_same(processor([dialogues[0]]), alone)
    rows = [{"dialogue_id": f"d{number}", "utterances": dialogue} for number, dialogue in enumerate(dialogues)]
    assert_same(processor(rows), processor(dialogues))
    assert_same(processor(tuple(dialogues)), processor(dialogues))


def test_speakers_are_numbered_in_the_order_of_a_dialogue(processor: ErcProcessor) -> None:
    speakers: list[list[Any]] = [["Bo", "Ann", None, "Bo", None], [7, 7, 3]]
    inputs = processor([[{"speaker": speaker} for speaker in dialogue] for dialogue in speakers])
    assert inputs["speaker_ids"].tolist() == [[0, 1, 2, 0, 2], [0, 0, 1, -1, -1]]


def test_sound_is_read_from_a_path_bytes_or_an_array(processor: ErcProcessor, clips: dict[str, Path]) -> None:
    wav = clips["long.wav"]
    samples, rate = soundfile.read(wav, dtype="float32")
    sources: list[Any] = [wav, str(wav), wav.read_bytes(), (samples, rate), (np.stack([samples, samples]), rate)]
    expected = processor([{"audio": wav}])["audio_values"]
    for source in sources:
        assert torch.allclose(processor([{"audio": source}])["audio_values"], expected, atol=1e-6)
    assert torch.equal(processor([{"audio_path": str(wav)}])["audio_values"], expected)
    fast = processor([{"audio": (noise(1.0, 44100), 44100)}])
    assert fast["audio_values"].shape == (1, 16, 100)


def test_pictures_are_read_from_a_path_bytes_or_an_array(processor: ErcProcessor, clips: dict[str, Path]) -> None:
    mp4 = clips["long.mp4"]
    expected = processor([{"video": mp4}])["pixel_values"]
    assert expected.shape == (1, 2, 3, 16, 16) and not torch.equal(expected[:, 0], expected[:, 1])
    forms: list[dict[str, Any]] = [{"video": str(mp4)}, {"video": mp4.read_bytes()}, {"video_path": str(mp4)}]
    for utterance in forms:
        assert torch.equal(processor([utterance])["pixel_values"], expected)
    frames = np.zeros((5, 20, 30, 3), dtype=np.uint8)
    assert processor([{"video": frames}])["pixel_values"].shape == (1, 2, 3, 16, 16)


def test_start_and_end_cut_an_utterance_out_of_a_recording(processor: ErcProcessor, clips: dict[str, Path]) -> None:
    samples, rate = soundfile.read(clips["long.wav"], dtype="float32")
    cut = processor([{"audio": clips["long.wav"], "start": 0.25, "end": 1.0}])
    piece = (samples[round(0.25 * rate) : rate], rate)
    assert torch.allclose(cut["audio_values"], processor([{"audio": piece}])["audio_values"], atol=1e-6)
    # An array is the utterance already.
    again = processor([{"audio": piece, "start": 100.25, "end": 101.0}])
    assert torch.equal(again["audio_values"], processor([{"audio": piece}])["audio_values"])
    early, late = ({"video": clips["long.mp4"], "start": t, "end": t + 0.5} for t in (0.0, 1.0))
    first, second = processor([early])["pixel_values"], processor([late])["pixel_values"]
    assert not torch.allclose(first, second, atol=0.1)


def test_longer_sound_is_cut(processor: ErcProcessor) -> None:
    processor.max_audio_seconds = 1.0
    sound = noise(3.0)
    cut = processor([{"audio": (sound, 16000)}])
    assert torch.equal(cut["audio_values"], processor([{"audio": (sound[:16000], 16000)}])["audio_values"])


@pytest.mark.parametrize("text", [None, "", "  \n"])
def test_who_says_nothing_has_no_text(text: str | None, processor: ErcProcessor) -> None:
    inputs = processor([{"text": text}, {"text": "we won"}, {}])
    assert inputs["modality_mask"][0, :, 0].tolist() == [False, True, False] and len(inputs["input_ids"]) == 1
    assert "input_ids" not in processor([{"text": text}])


def test_ten_thousand_characters_are_cut(processor: ErcProcessor, raw_config: MakeConfig) -> None:
    inputs = processor([{"text": "we won " * 1500}])
    assert inputs["input_ids"].shape == (1, 32) and inputs["text_token_mask"].all()
    assert ErcForSequenceClassification(raw_config()).eval()(**inputs).logits.isfinite().all()


def test_text_context_goes_in_with_the_own_words_marked(
    processor: ErcProcessor, tokenizer: PreTrainedTokenizerFast
) -> None:
    processor.text_past, processor.text_future, processor.max_text_length = 1, 1, 15
    said: list[dict[str, Any]] = [
        {"speaker": "Ann", "text": "we won"},
        {"speaker": "Bo", "text": "oh no"},
        {"speaker": None, "text": "w1"},
    ]
    inputs = processor(said)
    own = [
        tokenizer.convert_ids_to_tokens(ids[mask.bool()].tolist())
        for ids, mask in zip(inputs["input_ids"], inputs["text_token_mask"], strict=True)
    ]
    assert own[0] == ["[CLS]", "Ann", ":", "we", "won", "[SEP]"] and own[2] == ["[CLS]", ":", "w1", "[SEP]"]
    assert tokenizer.decode(inputs["input_ids"][1]) == "[CLS] Ann : we won [SEP] Bo : oh no [SEP] : w1 [SEP]"
    padding = inputs["input_ids"] == tokenizer.pad_token_id
    assert torch.equal(inputs["attention_mask"].bool(), ~padding) and padding.any()
    assert not (inputs["text_token_mask"].bool() & padding).any()
    # Another dialogue's words are nobody's neighbours.
    assert_same(processor([said[:1]]), processor([said[0]]))
    assert torch.equal(processor([said[:1], said[1:]])["input_ids"][0, :7], processor([said[0]])["input_ids"][0, :7])


@pytest.fixture
def broken(clips: dict[str, Path], tmp_path: Path) -> list[dict[str, Any]]:
    """Utterances with a clip that cannot be used, each in another way."""
    contents = {
        "zero.mp4": b"",
        "zero.wav": b"",
        "truncated.mp4": clips["long.mp4"].read_bytes()[:3000],
        "truncated.wav": clips["long.wav"].read_bytes()[:40],
        "text.mp4": b"This is no video. " * 100,
        "text.wav": b"This is no sound. " * 100,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    soundfile.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    names = [*contents, "silent.wav", "missing.wav", "missing.mp4"]
    utterances: list[dict[str, Any]] = [
        {"video" if name.endswith("mp4") else "audio": tmp_path / name, "text": "oh no"} for name in names
    ]
    return [*utterances, {"audio": b"RIFF"}, {"video": b""}, {"audio": (np.full(16000, np.nan), 16000)}]


def test_clips_that_cannot_be_used_are_masked_with_one_warning(
    broken: list[dict[str, Any]],
    processor: ErcProcessor,
    dialogues: Dialogues,
    raw_config: MakeConfig,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        inputs = processor([broken, dialogues[0]])
    assert not inputs["modality_mask"][0, :, 1:].any()
    warnings = [record.getMessage() for record in caplog.records if "clip" in record.getMessage()]
    assert len(warnings) == 1 and warnings[0].startswith("12 clip(s) could not be used and are masked: ")
    assert "zero.wav: 0 bytes" in warnings[0]
    model = ErcForSequenceClassification(raw_config()).eval()
    together, alone = model(**inputs).logits, model(**processor(dialogues[0])).logits
    assert together.isfinite().all() and torch.allclose(together[1, :4], alone[0], atol=1e-5)
    _, problems = processor.encode([broken])
    assert len(problems) == 12 and all("\n" not in problem for problem in problems)


def test_what_is_not_given_is_masked_without_a_word(processor: ErcProcessor, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        inputs = processor([{"speaker": "Ann"}, {"audio": None, "video_path": None, "text": None}])
    assert sorted(inputs) == sorted(MASKS) and not inputs["modality_mask"].any() and not caplog.records


def test_an_empty_dialogue_is_named(processor: ErcProcessor) -> None:
    with pytest.raises(ValueError, match="dialogue 'dia7' has no utterances: leave it out"):
        processor([{"dialogue_id": "dia7", "utterances": []}])
    with pytest.raises(ValueError, match="dialogue 1 has no utterances"):
        processor([[{"text": "oh"}], []])


@pytest.mark.parametrize("rows", [[np.ones(5), np.full(5, 2.0)], [np.ones((1, 5)), np.full((3, 5), 2.0)]])
def test_features_of_one_or_more_tokens_take_the_place_of_media(
    rows: list[np.ndarray], processor: ErcProcessor, raw_config: MakeConfig
) -> None:
    utterances: list[dict[str, Any]] = [
        {"audio_features": rows[0], "text": "oh"},
        {"text": "no"},
        {"audio_features": rows[1].tolist(), "text": "we won"},
    ]
    inputs = processor(utterances)
    assert "audio_values" not in inputs and inputs["modality_mask"][0, :, 1].tolist() == [True, False, True]
    assert inputs["audio_features"].shape == (2, rows[1].shape[0] if rows[1].ndim == 2 else 1, 5)
    assert inputs["audio_features"][1].eq(2).all() and inputs["audio_features_mask"].sum() == sum(
        1 if row.ndim == 1 else len(row) for row in rows
    )
    config = raw_config("text", feature_sizes={"audio": 5})
    inputs = ErcProcessor(processor.tokenizer, modalities=config.modalities)(utterances)
    assert ErcForSequenceClassification(config).eval()(**inputs).logits.isfinite().all()


def test_features_of_layers_are_padded_along_their_tokens() -> None:
    short, long = np.ones((3, 2, 5)), np.full((3, 4, 5), 2.0)
    inputs = ErcProcessor(modalities=["audio"])([{"audio_features": short}, {"audio_features": long}])
    assert inputs["audio_features"].shape == (2, 3, 4, 5)
    assert inputs["audio_features_mask"].tolist() == [[True, True, False, False], [True] * 4]
    assert inputs["audio_features"][0, :, :2].eq(1).all() and inputs["audio_features"][0, :, 2:].eq(0).all()


def test_features_with_nan_or_without_any_token_are_masked(
    feature_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    utterances: list[dict[str, Any]] = [
        {"utterance_id": "u0", "audio_features": [1.0, float("nan"), 0.0, 0.0, 0.0]},
        {"utterance_id": "u1", "audio_features": [1.0, 2.0, 3.0, 4.0, 5.0]},
        {"utterance_id": "u2", "audio_features": [[0.0] * 5, [np.inf] * 5]},
        {"utterance_id": "u3", "audio_features": np.zeros((0, 5))},
    ]
    with caplog.at_level(logging.WARNING):
        inputs = ErcProcessor(modalities=["audio"])(utterances)
    assert inputs["modality_mask"][0, :, 0].tolist() == [False, True, False, False]
    assert inputs["audio_features"].tolist() == [[[1.0, 2.0, 3.0, 4.0, 5.0]]]
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith("2 ") and "'u0' has NaN" in warning and "'u2'" in warning
    model = ErcForSequenceClassification(feature_config("audio")).eval()
    assert model(**inputs).logits.isfinite().all()


def test_features_of_different_widths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"text_features has rows of different widths \[3, 4\]: all must have one"):
        ErcProcessor(modalities=["text"])([{"text_features": np.ones(3)}, {"text_features": np.ones((2, 4))}])


@pytest.mark.parametrize("modalities", SUBSETS)
def test_only_what_the_model_takes_is_encoded(
    modalities: tuple[str, ...], processor: ErcProcessor, dialogues: Dialogues
) -> None:
    processor.modalities = list(modalities)
    inputs = processor(dialogues)
    assert (
        sorted(inputs)
        == sorted(processor.model_input_names)
        == sorted([*MASKS, *chain(*(INPUTS[m] for m in modalities))])
    )
    assert inputs["modality_mask"].shape == (3, 4, len(modalities))


@pytest.mark.parametrize("modalities", SUBSETS)
def test_a_saved_processor_comes_back_with_what_it_had(
    modalities: tuple[str, ...], processor: ErcProcessor, dialogues: Dialogues, tmp_path: Path
) -> None:
    text = {"text_context": "dialogue"} if "audio" in modalities else {"text_past": 2, "text_future": 1}
    settings = {"max_text_length": 17, **text, "max_audio_seconds": 0.9}
    made = part(processor, modalities, **settings)
    for folder in (tmp_path / "first", tmp_path / "second"):  # once more from what was loaded
        made.save_pretrained(folder)
        loaded = ErcProcessor.from_pretrained(folder)
        assert_same(loaded(dialogues), made(dialogues))
        assert loaded.modalities == list(modalities) and loaded.num_frames == 2
        assert {name: getattr(loaded, name) for name in settings} == settings
        for name, modality in {"tokenizer": "text", "feature_extractor": "audio", "image_processor": "vision"}.items():
            assert (getattr(loaded, name) is not None) == (modality in modalities)
        assert repr(loaded).startswith("ErcProcessor")
        made = loaded


def test_arrays_are_stacked_with_padding_at_their_ends() -> None:
    stacked = pad_stack([np.array([[1, 2, 3]]), np.array([[4], [5]])], fill=9)
    assert stacked.tolist() == [[[1, 2, 3], [9, 9, 9]], [[4, 9, 9], [5, 9, 9]]]


def test_a_clip_of_which_the_extractor_makes_no_numbers_is_masked(
    processor: ErcProcessor,
) -> None:
    wave = noise(0.6) * np.float32(1e20)
    inputs, problems = processor.encode([[{"audio": (wave, 16000)}, {"audio": (noise(0.6), 16000)}]])
    assert inputs["modality_mask"][0, :, 1].tolist() == [False, True]
    assert len(inputs["audio_values"]) == 1 and inputs["audio_values"].isfinite().all()
    (problem,) = problems
    assert "the feature extractor gives NaN or infinite values (largest sample 5e+19; expected -1 to 1)" in problem


def test_half_an_emoji_is_read_as_a_question_mark(processor: ErcProcessor) -> None:
    processor.text_past = 1
    half, whole = (processor([[{"speaker": name, "text": f"oh {name}"}] * 2]) for name in ("\ud83d", "?"))
    assert half["input_ids"].tolist() == whole["input_ids"].tolist()


@pytest.mark.parametrize("modality", ["text", "audio", "vision"])
def test_features_beside_raw_inputs_of_others_are_refused(
    modality: str, processor: ErcProcessor, clips: dict[str, Path]
) -> None:
    names = MODALITIES[modality]
    raw = {"text": "we won", "audio": str(clips["short.wav"]), "video": str(clips["short.mp4"])}[names.raw[0]]
    dialogues: Dialogues = [[{names.raw[0]: raw}], [{names.features: np.ones((2, 32))}]]
    with pytest.raises(ValueError, match=f"some utterances have {names.features} and others {names.raw[0]}"):
        processor(dialogues)
    # A model without that backbone reads no raw input, so that nothing is lost.
    without = ErcProcessor(modalities=[modality])(dialogues)
    assert without["modality_mask"].tolist() == [[[False]], [[True]]]
    processor([[{names.raw[0]: raw, names.features: np.ones((2, 32))}, {"speaker": "Ann"}]])


def test_speakers_without_name_are_one_person_or_each_another(processor: ErcProcessor, tmp_path: Path) -> None:
    dialogue = [{"speaker": name, "text": "w1"} for name in ("Ann", None, None, "Ann", None)]
    assert processor(dialogue)["speaker_ids"].tolist() == [[0, 1, 1, 0, 1]]
    processor.unnamed_speakers = "each"
    processor.save_pretrained(tmp_path)
    other = ErcProcessor.from_pretrained(tmp_path)
    assert other(dialogue)["speaker_ids"].tolist() == [[0, 1, 2, 0, 3]]
    with pytest.raises(ValueError, match="unnamed_speakers 'none': choose one or each"):
        ErcProcessor(unnamed_speakers="none")
