"""What callers of transformers expect of a model: attention by name, embeddings, positions, and clear refusals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, DebertaV2Config, PreTrainedConfig, RobertaConfig, T5Config

from modeling_erc import ErcConfig, ErcForSequenceClassification, ErcModel
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.text_context_erc import text_positions

MakeConfig = Callable[..., ErcConfig]
Dialogues = list[list[dict[str, Any]]]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("eager", {"text": "eager", "audio": "eager", "vision": "eager"}),
        ({"text_config": "eager"}, {"text": "eager", "audio": "sdpa", "vision": "sdpa"}),
    ],
)
def test_attention_is_chosen_for_all_backbones_or_for_one(
    chosen: Any,
    expected: dict[str, str],
    raw_config: MakeConfig,
    processor: ErcProcessor,
    dialogues: Dialogues,
    tmp_path: Path,
) -> None:
    model = ErcForSequenceClassification(raw_config()).eval()
    model.save_pretrained(tmp_path)
    loaded = ErcForSequenceClassification.from_pretrained(tmp_path, attn_implementation=chosen).eval()
    assert {m: loaded.erc.encoder(m).backbone.config._attn_implementation for m in expected} == expected
    with torch.inference_mode():
        inputs = processor(dialogues)
        torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits, atol=1e-5, rtol=0)


def test_token_embeddings_are_those_of_the_text_backbone(raw_config: MakeConfig) -> None:
    for cls in (ErcModel, ErcForSequenceClassification):
        model = cls(raw_config("text", "audio"))
        embeddings = model.erc_model.encoder("text").backbone.embeddings.word_embeddings
        assert model.get_input_embeddings() is embeddings
        with pytest.raises(NotImplementedError, match="the model has no text backbone"):
            cls(raw_config("audio")).get_input_embeddings()


def test_what_the_model_does_not_give_is_refused(
    raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues
) -> None:
    config = raw_config("text")
    model = ErcForSequenceClassification(config).eval()
    processor.modalities = ["text"]
    inputs = processor(dialogues)
    assert model(**inputs, output_hidden_states=False).logits is not None
    with pytest.raises(ValueError, match=r"output_hidden_states is not supported: .* model\.erc_model\.encoder"):
        model(**inputs, output_hidden_states=True)
    config.output_hidden_states = True
    with pytest.raises(ValueError, match="output_hidden_states is not supported"):
        ErcModel(config)
    with pytest.raises(ValueError, match="utterance_mask is missing: the model takes dialogues"):
        model(input_ids=inputs["input_ids"], token_type_ids=inputs["input_ids"])


def test_a_text_beyond_the_positions_of_the_backbone_is_refused(raw_config: MakeConfig) -> None:
    ids = torch.ones(1, 65, dtype=torch.long)
    inputs = {"input_ids": ids, "attention_mask": ids, "text_token_mask": ids, "utterance_mask": ids[:, :1].bool()}
    with pytest.raises(
        ValueError, match=r"65 tokens .* the bert backbone has 64 positions; lower max_text_length to 64"
    ):
        ErcForSequenceClassification(raw_config("text"))(**inputs)


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        (BertConfig(), 512),
        (RobertaConfig(max_position_embeddings=514), 512),
        (DebertaV2Config(position_biased_input=False), None),
        (T5Config(), None),
    ],
)
def test_positions_are_those_for_tokens(config: PreTrainedConfig, positions: int | None) -> None:
    assert text_positions(config) == positions
