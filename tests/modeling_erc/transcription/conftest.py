"""A speech recogniser and a model of voices with fresh weights: they run as real ones do, and answer nonsense."""

from pathlib import Path

import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import (
    GenerationConfig,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForXVector,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

SPECIAL = ["endoftext", "startoftranscript", "en", "de", "translate", "transcribe", "startofprev", "notimestamps"]
TIMES = [f"<|{step / 50:.2f}|>" for step in range(1501)]


@pytest.fixture(scope="session")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A multilingual Whisper of one layer."""
    folder = tmp_path_factory.mktemp("whisper")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())  # which is in another order in each process
    names = [*letters, *(f"<|{name}|>" for name in SPECIAL), *TIMES]
    ids = {name: number for number, name in enumerate(names)}
    tokenizer = WhisperTokenizer(vocab={letter: ids[letter] for letter in letters}, merges=[])
    tokenizer.add_tokens(names[len(letters) :], special_tokens=True)
    tokenizer.pad_token = "<|endoftext|>"
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    marks = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": start}
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(ids),
            num_mel_bins=16,
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            max_target_positions=32,
            init_std=1.0,
            **marks,
        )
    )
    model.generation_config = GenerationConfig(
        **marks,
        max_length=24,
        alignment_heads=[[0, 0], [0, 1]],
        is_multilingual=True,
        lang_to_id={f"<|{language}|>": ids[f"<|{language}|>"] for language in ("en", "de")},
        task_to_id={task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")},
        no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"],
        return_timestamps=False,
        max_initial_timestamp_index=50,
        begin_suppress_tokens=[end],
        suppress_tokens=[],
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=16).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An x-vector model of one layer."""
    folder = tmp_path_factory.mktemp("voices")
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(16,) * 7,
        tdnn_dim=(16, 16, 16, 16, 32),
        xvector_output_dim=16,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
    )
    Wav2Vec2ForXVector(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder
