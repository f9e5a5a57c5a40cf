"""The pipeline: what goes in, what comes out, in this process and in one that does not know the package."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from modeling_erc import EmotionRecognitionPipeline, ErcConfig, ErcForSequenceClassification, pipeline_erc
from modeling_erc.processing_erc import ErcProcessor
from tests.conftest import sound

TASK = "emotion-recognition-in-conversation"
MakeConfig = Callable[..., ErcConfig]
Dialogues = list[list[dict[str, Any]]]
LABELS = ["joy", "anger", "fear"]

CHILD = """
import json, sys
sys.modules["modeling_erc"] = None  # as if it were not installed
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

dialogue, source, target = json.loads(sys.argv[1])
pipe = pipeline("emotion-recognition-in-conversation", model=source, trust_remote_code=True)
results = [pipe(dialogue, modality_scores=True)]
pipe.save_pretrained(target)  # and once more from what that wrote
results.append(pipeline(model=target, trust_remote_code=True)(dialogue, modality_scores=True))
print(json.dumps({"results": results, "module": type(pipe).__module__}))
"""


def make_model(config: ErcConfig) -> ErcForSequenceClassification:
    config.id2label, config.label2id = dict(enumerate(LABELS)), {name: i for i, name in enumerate(LABELS)}
    torch.manual_seed(0)
    return ErcForSequenceClassification(config).eval()


@pytest.fixture
def pipe(raw_config: MakeConfig, processor: ErcProcessor) -> EmotionRecognitionPipeline:
    return pipeline(TASK, model=make_model(raw_config()), processor=processor, device="cpu")


def scores_of(results: list[dict[str, Any]]) -> np.ndarray:
    return np.array([list(result["scores"].values()) for result in results])


def test_each_utterance_gets_the_models_probabilities_by_name(
    pipe: EmotionRecognitionPipeline, processor: ErcProcessor, dialogues: Dialogues
) -> None:
    results = pipe(dialogues, modality_scores=True)
    assert isinstance(pipe, EmotionRecognitionPipeline) and [len(found) for found in results] == [4, 1, 2]
    with torch.no_grad():
        output = pipe.model(**processor(dialogues))
    for row, found in enumerate(results):
        assert [result["speaker"] for result in found] == [utterance["speaker"] for utterance in dialogues[row]]
        wanted = output.logits[row, : len(found)].softmax(-1).numpy()
        np.testing.assert_allclose(scores_of(found), wanted, atol=1e-6)
        for place, result in enumerate(found):
            assert list(result["scores"]) == LABELS
            assert result["label"] == LABELS[wanted[place].argmax()] and result["score"] == max(
                result["scores"].values()
            )
            used = [m for i, m in enumerate(("text", "audio", "vision")) if output.modality_mask[row, place, i]]
            assert result["modalities"] == used == list(result["modality_scores"])
            for index, modality in enumerate(("text", "audio", "vision")):
                if modality in used:
                    own = output.modality_logits[row, place, index].softmax(-1).numpy()
                    assert list(result["modality_scores"][modality].values()) == pytest.approx(own.tolist(), abs=1e-6)


def test_one_dialogue_many_a_row_and_a_generator_agree_at_any_batch_size(
    pipe: EmotionRecognitionPipeline, dialogues: Dialogues
) -> None:
    alone = [pipe(dialogue) for dialogue in dialogues]
    assert isinstance(alone[0][0], dict) and "modality_scores" not in alone[0][0]
    rows = [{"dialogue_id": "d", "utterances": dialogue} for dialogue in dialogues]
    lazily = pipe((dialogue for dialogue in dialogues), batch_size=2)
    assert not isinstance(lazily, list)
    for many in (pipe(dialogues, batch_size=3), pipe(rows), [pipe(row) for row in rows], list(lazily)):
        assert [len(found) for found in many] == [4, 1, 2]
        for one, other in zip(alone, many, strict=True):
            np.testing.assert_allclose(scores_of(one), scores_of(other), atol=1e-5)
    assert pipe([]) == []


def test_long_dialogues_give_the_same_clip_by_clip(
    pipe: EmotionRecognitionPipeline, dialogues: Dialogues, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pipe(dialogues, batch_size=3)
    monkeypatch.setattr(pipeline_erc, "CHUNK", 2)
    read: list[int] = []
    encode = ErcProcessor.encode

    def counted(self: ErcProcessor, batch: Any) -> Any:
        inputs, problems = encode(self, batch)
        read.append(sum(len(inputs[name]) for name in ("audio_values", "pixel_values") if name in inputs))
        return inputs, problems

    monkeypatch.setattr(ErcProcessor, "encode", counted)
    pieces = pipe(dialogues, batch_size=3)
    assert sum(read) == 7 and max(read) == 2, "never more clips in memory than a piece has"
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_allclose(scores_of(one), scores_of(other), atol=1e-5)
        assert [result["modalities"] for result in one] == [result["modalities"] for result in other]
    assert dialogues[0][0]["audio"], "the caller's utterances stay as they are"


def test_modalities_are_switched_off_for_a_call_or_for_good(
    pipe: EmotionRecognitionPipeline, raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues
) -> None:
    whole, spoken = pipe(dialogues[0]), pipe(dialogues[0], modalities=["audio"])
    assert [result["modalities"] for result in spoken] == [["audio"], ["audio"], [], ["audio"]]
    assert np.abs(scores_of(whole) - scores_of(spoken)).max() > 1e-3
    bare = [{k: v for k, v in utterance.items() if k in ("speaker", "audio")} for utterance in dialogues[0]]
    np.testing.assert_allclose(scores_of(pipe(bare)), scores_of(spoken), atol=1e-6)
    always = EmotionRecognitionPipeline(
        model=make_model(raw_config()), processor=processor, device="cpu", modalities=["audio"]
    )
    np.testing.assert_allclose(scores_of(always(dialogues[0])), scores_of(spoken), atol=1e-6)
    for wrong in (["video"], []):
        with pytest.raises(ValueError, match="the model has text, audio, vision"):
            pipe(dialogues[0], modalities=wrong)


def test_features_take_the_place_of_raw_inputs(
    feature_config: MakeConfig, tmp_path: Path, feature_dialogues: Dialogues
) -> None:
    processor = ErcProcessor()
    pipe = EmotionRecognitionPipeline(model=make_model(feature_config()), processor=processor, device="cpu")
    with torch.no_grad():
        logits = pipe.model(**processor(feature_dialogues)).logits
    np.testing.assert_allclose(scores_of(pipe(feature_dialogues)[0]), logits[0].softmax(-1).numpy(), atol=1e-6)
    with pytest.raises(ValueError, match="dialogue 0 has nothing that the model reads: give text_features, audio_feat"):
        pipe([{"speaker": "Ann", "text": "We won!"}])


def test_what_would_be_misread_is_refused_by_place_and_remedy(
    pipe: EmotionRecognitionPipeline, dialogues: Dialogues
) -> None:
    url = "https://example.org/a.wav"
    wrong: list[tuple[Any, str]] = [
        ([{"text": "a"}, {"audio": url}], rf"dialogue 0, utterance 1: audio '{url}' is a URL: download it"),
        (
            [dialogues[0], [{"video": "s3://bucket/a.mp4"}]],
            "dialogue 1, utterance 0: video 's3://bucket/a.mp4' is a URL",
        ),
        ([{"text": 3}], "utterance 0: text is a int: expected a string"),
        (
            [{"text": "a", "audio": [0.1, 0.2]}],
            r"audio is a list: expected a path, the bytes of a file or an \(array, ra",
        ),
        ([dialogues[0], []], "dialogue 1 has no utterances: leave it out"),
        ([dialogues[0], {"text": "a"}], "dialogue 1 is a dict: expected a list of utterances"),
        ([[{"text": "a"}, "b"]], "dialogue 0, utterance 1 is a str: expected a dict"),
        (b"We won!", "expected a dialogue, a list of utterances, or several; got bytes"),
        (
            [{"speaker": "Ann"}, {"speaker": "Bo"}],
            "dialogue 0 has nothing that the model reads: give text, audio, video",
        ),
        ([{"text": "a"}, {"text_features": np.zeros((2, 32))}], "some utterances have text_features and others text"),
    ]
    for inputs, message in wrong:
        with pytest.raises(ValueError, match=message):
            pipe(inputs)


def test_words_alone_are_turns_of_one_speaker(pipe: EmotionRecognitionPipeline) -> None:
    turns = [{"text": "we won"}, {"text": "oh"}]
    expected = scores_of(pipe(turns))
    np.testing.assert_allclose(scores_of(pipe(["we won", "oh"])), expected, atol=1e-6)
    one = scores_of(pipe(turns[:1]))
    for alone in ("we won", {"text": "we won"}, ["we won"]):
        np.testing.assert_allclose(scores_of(pipe(alone)), one, atol=1e-6)
    both = pipe([["we won", "oh"], turns[:1]])
    np.testing.assert_allclose(scores_of(both[0]), expected, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_dataset_gives_its_results_one_by_one(
    batch_size: int, pipe: EmotionRecognitionPipeline, dialogues: Dialogues
) -> None:
    rows = KeyDataset([{"utterances": dialogue, "words": "we won"} for dialogue in dialogues], "utterances")
    found = pipe(rows, batch_size=batch_size)
    assert not isinstance(found, list)
    for one, other in zip(found, pipe(dialogues), strict=True):
        np.testing.assert_allclose(scores_of(one), scores_of(other), atol=1e-5)
    rows.key = "words"
    assert [len(result) for result in pipe(rows, batch_size=batch_size)] == [1, 1, 1]


def test_top_k_limits_the_scores(pipe: EmotionRecognitionPipeline, dialogues: Dialogues) -> None:
    for whole, few in zip(
        pipe(dialogues[0], modality_scores=True), pipe(dialogues[0], modality_scores=True, top_k=2), strict=True
    ):
        assert list(few["scores"].items()) == sorted(whole["scores"].items(), key=lambda entry: -entry[1])[:2]
        assert few["label"] == whole["label"] and all(len(own) == 2 for own in few["modality_scores"].values())
    with pytest.raises(ValueError, match="top_k=0: it must be at least 1"):
        pipe(dialogues[0], top_k=0)


def test_a_conversation_file_is_read_by_the_installed_package(
    pipe: EmotionRecognitionPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "talk.txt"
    file.write_text("Ann: we won\nBo: oh\n")
    turns = [{"speaker": "Ann", "text": "we won"}, {"speaker": "Bo", "text": "oh"}]
    for given in (file, str(file), [str(file)]):
        found = pipe(given)
        found = found[0] if isinstance(given, list) else found
        assert [result["speaker"] for result in found] == ["Ann", "Bo"]
        np.testing.assert_allclose(scores_of(found), scores_of(pipe(turns)), atol=1e-6)
    with pytest.raises(FileNotFoundError, match=r"talk\.srt: no such file; if these are words"):
        pipe("talk.srt")
    monkeypatch.setattr(EmotionRecognitionPipeline, "read_file", None)
    with pytest.raises(ValueError, match="is a file, which only the installed package reads: give its utterances"):
        pipe(file)


def test_sound_in_the_forms_of_datasets_is_read(pipe: EmotionRecognitionPipeline, clips: dict[str, Path]) -> None:
    wave, path = sound(0.6), clips["long.wav"]
    pairs: list[tuple[Any, Any]] = [
        ({"array": wave, "sampling_rate": 16000}, (wave, 16000)),
        ({"array": wave.tolist(), "sampling_rate": 16000, "path": None}, (wave, 16000)),
        ({"bytes": path.read_bytes(), "path": "x.wav"}, str(path)),
        ({"bytes": None, "path": str(path)}, str(path)),
    ]
    for given, plain in pairs:
        found, expected = pipe([{"audio": given}]), pipe([{"audio": plain}])
        assert found[0]["modalities"] == ["audio"] and found == expected
    with pytest.raises(
        ValueError, match=r"audio is a dict: expected a path, the bytes of a file or an \(array, rate\)"
    ):
        pipe([{"audio": {"array": wave}}])


def test_a_pipeline_of_another_task_names_this_one(pipe: EmotionRecognitionPipeline, processor: ErcProcessor) -> None:
    wrong = pipeline("text-classification", model=pipe.model, tokenizer=processor.tokenizer)
    with pytest.raises(ValueError, match=r'pipeline\("emotion-recognition-in-conversation".*"text": "We won!"'):
        wrong("we won")


def test_broken_clips_are_masked_and_reported_once(
    pipe: EmotionRecognitionPipeline, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    monkeypatch.setattr(logging.getLogger("modeling_erc"), "propagate", True)
    (tmp_path / "broken.wav").write_bytes(b"RIFF....")
    dialogue = [{"text": "we won", "audio": str(tmp_path / "broken.wav")}, {"text": "oh", "video": tmp_path / "no.mp4"}]
    results = pipe([dialogue, dialogue])
    pipe(dialogue)
    assert [result["modalities"] for result in results[0]] == [["text"], ["text"]]
    messages = [record.getMessage() for record in caplog.records if "could not be used" in record.getMessage()]
    assert len(messages) == 1 and messages[0].startswith("2 clip(s) could not be used and are masked: ")
    assert "broken.wav" in messages[0] and "no.mp4" in messages[0]


def test_a_stream_gives_each_result_before_it_asks_for_the_next_utterance(
    pipe: EmotionRecognitionPipeline, raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues
) -> None:
    causal = EmotionRecognitionPipeline(
        model=make_model(raw_config(context_causal=True)), processor=processor, device="cpu"
    )
    asked: list[int] = []

    def spoken() -> Iterator[dict[str, Any]]:
        for index, utterance in enumerate(dialogues[0]):
            asked.append(index)
            yield utterance

    whole = causal(dialogues[0], modalities=["text", "vision"], modality_scores=True)
    stream = causal.stream(spoken(), modalities=["text", "vision"], modality_scores=True)
    for index, wanted in enumerate(whole):
        found = next(stream)
        assert asked == list(range(index + 1))
        assert found["modalities"] == wanted["modalities"] and found["speaker"] == wanted["speaker"]
        assert found["scores"] == pytest.approx(wanted["scores"], abs=1e-5)
        assert found["modality_scores"].keys() == wanted["modality_scores"].keys()
    assert list(stream) == []
    with pytest.raises(ValueError, match="context sees later utterances"):
        pipe.stream(dialogues[0])
    with pytest.raises(ValueError, match=r"utterance 0: audio .http://a/b\.wav. is a URL"):
        next(causal.stream([{"audio": "http://a/b.wav"}]))


def test_half_precision_stays_close(raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues) -> None:
    full = EmotionRecognitionPipeline(model=make_model(raw_config()), processor=processor, device="cpu")
    half = EmotionRecognitionPipeline(
        model=make_model(raw_config()).to(torch.bfloat16), processor=processor, device="cpu"
    )
    assert half.dtype == torch.bfloat16
    for one, other in zip(full(dialogues), half(dialogues), strict=True):
        np.testing.assert_allclose(scores_of(one), scores_of(other), atol=0.05)


def test_a_checkpoint_brings_its_pipeline_where_the_package_is_not_installed(
    raw_config: MakeConfig, processor: ErcProcessor, clips: dict[str, Path], tmp_path: Path
) -> None:
    model = make_model(raw_config())
    model.save_pretrained(tmp_path / "saved")  # as the Trainer does
    processor.save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "pipeline_erc.py").is_file()
    dialogue = [
        {"speaker": "Ann", "text": "we won", "audio": str(clips["long.wav"]), "video": str(clips["long.mp4"])},
        {"speaker": "Bo", "audio": str(clips["short.mp4"])},
    ]
    home = tmp_path / "home"
    home.mkdir()
    run = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps([dialogue, str(tmp_path / "saved"), str(tmp_path / "again")])],
        cwd=home,
        env={**os.environ, "HF_HOME": str(home), "HF_MODULES_CACHE": str(home / "modules"), "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    there = json.loads(run.stdout.splitlines()[-1])
    assert there["module"].startswith("transformers_modules.")
    here = EmotionRecognitionPipeline(model=model, processor=processor, device="cpu")(dialogue, modality_scores=True)
    for results in there["results"]:
        np.testing.assert_allclose(scores_of(results), scores_of(here), atol=1e-5)
        assert [result.keys() for result in results] == [result.keys() for result in here]
