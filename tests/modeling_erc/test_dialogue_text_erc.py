"""The text of a dialogue is encoded once, in common windows, and each utterance has the tokens of its own."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from modeling_erc import EmotionRecognitionPipeline, ErcConfig, encoders_erc, modeling_erc
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.text_context_erc import Place, encode_dialogue
from tests.conftest import perturbed

MakeConfig = Callable[..., ErcConfig]
Utterances = list[dict[str, Any]]

TEXTS: list[str | None] = ["w1 w2", "w3", None, "w4 w5 w6", " "]
SPEAKERS = ["Ann", "Bo", "Ann", "Bo", "Ann"]


def words(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    return " ".join(tokenizer.convert_ids_to_tokens(ids))


def talk(length: int, seed: int = 0) -> Utterances:
    """Three speakers, 1 to 6 words each; every sixth utterance has no text."""
    noise = np.random.default_rng(seed)
    said = [" ".join(f"w{n}" for n in noise.integers(0, 40, noise.integers(1, 7))) for _ in range(length)]
    return [
        {"speaker": ("Ann", "Bo", "w9")[noise.integers(3)], "text": None if place % 6 == 5 else text}
        for place, text in enumerate(said)
    ]


@pytest.fixture
def reader(processor: ErcProcessor) -> ErcProcessor:
    """Reads windows of 32 tokens."""
    processor.text_context, processor.modalities = "dialogue", ["text"]
    return processor


def test_all_turns_stand_in_one_sequence(tokenizer: PreTrainedTokenizerFast) -> None:
    (window,), places = encode_dialogue(tokenizer, TEXTS, SPEAKERS, max_length=64)
    assert words(tokenizer, window) == "[CLS] Ann : w1 w2 [SEP] Bo : w3 [SEP] Bo : w4 w5 w6 [SEP]"
    assert places == [Place(0, 1, 6), Place(0, 6, 10), None, Place(0, 10, 16), None]


def test_a_longer_dialogue_has_overlapping_windows(tokenizer: PreTrainedTokenizerFast) -> None:
    # Ten turns of five tokens; a window of 21 has room for four.
    texts, speakers = [f"w{number} w0" for number in range(10)], ["Ann", "Bo"] * 5
    windows, places = encode_dialogue(tokenizer, texts, speakers, max_length=21)
    said = [[text for text in texts if text in words(tokenizer, window)] for window in windows]
    assert said == [texts[:4], texts[2:6], texts[4:8], texts[6:]]
    # Each turn is read where it has a turn on either side, the first and the last ones where they are.
    assert [place.window for place in places if place] == [0, 0, 0, 1, 1, 2, 2, 3, 3, 3]
    for text, place in zip(texts, places, strict=True):
        assert place is not None
        own = windows[place.window][place.start : place.stop]
        assert words(tokenizer, own).endswith(f": {text} [SEP]") and len(own) == 5


@pytest.mark.parametrize("length", [9, 16, 33, 64])
def test_every_turn_is_complete_in_some_window(length: int, tokenizer: PreTrainedTokenizerFast) -> None:
    dialogue = [u for u in talk(200) if u["text"]]
    texts, speakers = [u["text"] for u in dialogue], [u["speaker"] for u in dialogue]
    windows, places = encode_dialogue(tokenizer, texts, speakers, max_length=length)
    assert max(map(len, windows)) <= length
    # Every token is encoded about twice at most, and [CLS] in every window.
    turns = sum(place.stop - place.start for place in places if place)
    assert sum(len(window) - 1 for window in windows) < 2.2 * turns
    for text, speaker, place in zip(texts, speakers, places, strict=True):
        assert place is not None
        own = windows[place.window][place.start : place.stop]
        assert words(tokenizer, own) == f"{speaker} : {' '.join(text.split()[: length - 4])} [SEP]"


def test_an_utterance_that_is_too_long_alone_is_cut(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = ["w1", " ".join(["w2"] * 500), "w3"]
    windows, places = encode_dialogue(tokenizer, texts, ["Ann"] * 3, max_length=12)
    assert [words(tokenizer, window) for window in windows] == [
        "[CLS] Ann : w1 [SEP]",
        f"[CLS] Ann : {' '.join(['w2'] * 8)} [SEP]",
        "[CLS] Ann : w3 [SEP]",
    ]
    assert places == [Place(0, 1, 5), Place(1, 1, 12), Place(2, 1, 5)]


def test_special_tokens_that_there_are_not_are_left_out(tokenizer: PreTrainedTokenizerFast) -> None:
    poor: Any = copy.deepcopy(tokenizer)
    poor.cls_token = poor.sep_token = None
    (window,), places = encode_dialogue(poor, TEXTS, SPEAKERS, max_length=64)
    assert words(poor, window) == "Ann : w1 w2 Bo : w3 Bo : w4 w5 w6" and places[1] == Place(0, 4, 7)


def test_who_says_nothing_leaves_no_window(reader: ErcProcessor, tokenizer: PreTrainedTokenizerFast) -> None:
    assert encode_dialogue(tokenizer, [None, " "], ["Ann"] * 2, max_length=64) == ([], [None, None])
    assert "input_ids" not in reader([{"speaker": "Ann"}, {"text": " "}])


def test_the_index_finds_the_tokens_of_each_utterance(reader: ErcProcessor) -> None:
    reader.modalities = ["text"]
    inputs = reader([talk(3), [{"speaker": "Bo"}], talk(20, seed=1)])
    assert sorted(inputs) == sorted(reader.model_input_names) and "text_token_mask" not in inputs
    assert len(inputs["input_ids"]) < len(inputs["text_token_index"])
    assert len(inputs["text_token_index"]) == inputs["modality_mask"][..., 0].sum() == 3 + 17
    said = [u for u in [*talk(3), *talk(20, seed=1)] if u["text"]]
    assert reader.tokenizer is not None
    for utterance, index in zip(said, inputs["text_token_index"], strict=True):
        own = inputs["input_ids"].flatten()[index[index >= 0]].tolist()
        assert words(reader.tokenizer, own) == f"{utterance['speaker']} : {utterance['text']} [SEP]"


@pytest.mark.parametrize("layer", ["last", "mix"])
def test_a_dialogue_has_the_same_logits_alone_and_beside_others(
    layer: str, raw_config: MakeConfig, reader: ErcProcessor
) -> None:
    model = perturbed(raw_config("text", text_layer=layer))
    batch = [talk(30), talk(1, seed=1), [{"speaker": "Ann"}], talk(7, seed=2), talk(60, seed=3)]
    together = model(**reader(batch)).logits
    for row, dialogue in zip(together, batch, strict=True):
        alone = model(**reader(dialogue)).logits[0]
        torch.testing.assert_close(row[: len(dialogue)], alone, atol=1e-5, rtol=0)


def test_padding_of_windows_and_of_tokens_changes_nothing(raw_config: MakeConfig, reader: ErcProcessor) -> None:
    model, inputs = perturbed(raw_config("text")), dict(reader([talk(30), talk(7, seed=2)]))
    expected, length = model(**inputs).logits, inputs["input_ids"].shape[1]
    index = inputs["text_token_index"]
    moved = (index // length * (length + 3) + index % length).where(index >= 0, -1)
    padded = {name: torch.nn.functional.pad(inputs[name], (0, 3)) for name in ("input_ids", "attention_mask")}
    padded["text_token_index"] = torch.nn.functional.pad(moved, (0, 2), value=-1)
    torch.testing.assert_close(model(**{**inputs, **padded}).logits, expected, atol=1e-5, rtol=0)


def test_reading_few_windows_or_utterances_at_a_time_changes_nothing(
    raw_config: MakeConfig, processor: ErcProcessor, reader: ErcProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = {"audio": (np.random.default_rng(0).uniform(-0.5, 0.5, 8000).astype(np.float32), 16000)}
    model = perturbed(raw_config("text", "audio"))
    reader.modalities = ["text", "audio"]
    batch = [[{**u, **(sound if n % 3 else {})} for n, u in enumerate(talk(length, length))] for length in (25, 1, 9)]
    inputs = reader(batch)
    expected = model(**inputs).logits
    monkeypatch.setattr(encoders_erc, "BUCKET_SIZE", 2)
    for group in (512, 4, 1):
        monkeypatch.setattr(modeling_erc, "GROUP", group)
        torch.testing.assert_close(model(**inputs).logits, expected, atol=1e-5, rtol=0)


def test_long_windows_are_encoded_few_at_a_time_on_a_cpu(
    raw_config: MakeConfig, reader: ErcProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, inputs = perturbed(raw_config("text")), reader([talk(60), talk(3)])
    expected, rows = model(**inputs).logits, []
    model.erc.encoder("text").backbone.register_forward_hook(
        lambda module, args, given, output: rows.append(len(given["input_ids"])), with_kwargs=True
    )
    monkeypatch.setattr(encoders_erc, "LONG_TEXT", 8)
    monkeypatch.setattr(encoders_erc, "BUCKET_TOKENS", 64)
    torch.testing.assert_close(model(**inputs).logits, expected, atol=1e-5, rtol=0)
    assert sum(rows) == len(inputs["input_ids"]) and max(rows) == 2


def states_of(model: Any, reader: ErcProcessor, dialogue: Utterances) -> list[Tensor]:
    """Mean token of each utterance with text."""
    inputs = reader(dialogue)
    names = ("input_ids", "attention_mask", "text_token_index")
    tokens, mask = model.erc.encoder("text")(**{name: inputs[name] for name in names})
    return [row[own].mean(dim=0) for row, own in zip(tokens, mask, strict=True)]


def test_an_utterance_sees_its_window_on_both_sides_and_nothing_else(
    raw_config: MakeConfig, reader: ErcProcessor
) -> None:
    model = perturbed(raw_config("text"))
    dialogue = [{"speaker": "Ann", "text": f"w{number} w1"} for number in range(30)]
    before = states_of(model, reader, dialogue)
    for changed in (0, 12, 29):
        dialogue[changed] = {"speaker": "Ann", "text": "oh no"}
        after = states_of(model, reader, dialogue)
        moved = [place for place, (a, b) in enumerate(zip(before, after, strict=True)) if not torch.allclose(a, b)]
        assert moved[0] < changed or not changed
        assert moved[-1] > changed or changed == 29
        # A window of 32 tokens has room for six turns of five.
        assert moved == list(range(moved[0], moved[-1] + 1)) and moved[-1] - moved[0] < 11
        before = after


def test_who_speaks_is_read_too(raw_config: MakeConfig, reader: ErcProcessor) -> None:
    model, dialogue = perturbed(raw_config("text")), talk(4)
    renamed = [{**u, "speaker": "no" if u["speaker"] == "Ann" else u["speaker"]} for u in dialogue]
    assert not torch.allclose(model(**reader(dialogue)).logits, model(**reader(renamed)).logits, atol=1e-3)


def test_gradients_reach_the_backbone_from_every_utterance(raw_config: MakeConfig, reader: ErcProcessor) -> None:
    model = perturbed(raw_config("text")).train()
    inputs = reader([talk(30), talk(5, seed=1)])
    labels = torch.zeros_like(inputs["speaker_ids"]).masked_fill(~inputs["utterance_mask"], -100)
    model(**inputs, labels=labels).loss.backward()
    gradient = model.get_input_embeddings().weight.grad
    assert isinstance(gradient, Tensor) and gradient.isfinite().all()
    seen = inputs["input_ids"][inputs["attention_mask"].bool()].unique()
    assert gradient[seen].abs().sum(dim=1).min() > 0


def test_the_pipeline_reads_long_dialogues(raw_config: MakeConfig, reader: ErcProcessor) -> None:
    model = perturbed(raw_config("text", id2label={0: "joy", 1: "anger", 2: "fear"}))
    reader.modalities = ["text"]
    pipe, dialogue = EmotionRecognitionPipeline(model=model, processor=reader), talk(100)
    results = pipe([dialogue, dialogue[:3]], batch_size=2)
    expected = model(**reader(dialogue)).logits[0].softmax(dim=-1).tolist()
    for result, scores in zip(results[0], expected, strict=True):
        assert list(result["scores"].values()) == pytest.approx(scores, abs=1e-5)
    assert len(results[1]) == 3


def test_a_window_longer_than_the_backbone_is_refused(raw_config: MakeConfig, reader: ErcProcessor) -> None:
    reader.max_text_length = 100
    with pytest.raises(ValueError, match="the bert backbone has 64 positions; lower max_text_length to 64"):
        perturbed(raw_config("text"))(**reader(talk(60)))


def test_a_running_dialogue_is_refused_with_the_remedy(raw_config: MakeConfig, reader: ErcProcessor) -> None:
    with pytest.raises(ValueError, match="text_context: neighbours"):
        perturbed(raw_config("text", context_causal=True)).stream(reader)
    with pytest.raises(ValueError, match="text_context: neighbours"):
        reader.encode_next([], {"text": "w1"})


def test_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="text_context 'all': choose neighbours or dialogue"):
        ErcProcessor(text_context="all")
    with pytest.raises(ValueError, match="leave out text_past and text_future"):
        ErcProcessor(text_context="dialogue", text_past=2)
