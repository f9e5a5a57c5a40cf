"""Tiny parts that many tests share: fresh backbones of two layers, a tokenizer made in memory, real clips."""

import copy
import io
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

# Tensors this small are slower on several threads, and tests may run side by side; child processes inherit it.
os.environ["OMP_NUM_THREADS"] = "1"

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from huggingface_hub.utils import close_session  # type: ignore[attr-defined]
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    ViTConfig,
    ViTImageProcessor,
    WhisperConfig,
    WhisperFeatureExtractor,
)

from modeling_erc import MODALITIES, ErcConfig, ErcForSequenceClassification
from modeling_erc.processing_erc import ErcProcessor
from tests.hub_server import HubServer
from tests.small_run import offline_home

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [f"w{number}" for number in range(40)] + ["we", "won", "oh", "no", "Ann", "Bo", ":"]
MELS, PIXELS, RATE = 16, 16, 16000
# Wide initial weights, so that what should change an output does so visibly, and what should not is seen if it does.
TRANSFORMER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "initializer_range": 0.2,
}
BACKBONES: dict[str, PreTrainedConfig] = {
    "text": BertConfig(**TRANSFORMER, vocab_size=len(SPECIAL + WORDS), max_position_embeddings=64),
    "audio": WhisperConfig(
        d_model=32,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=48,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        num_mel_bins=MELS,
        init_std=0.2,
        vocab_size=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    ),
    "vision": ViTConfig(**TRANSFORMER, image_size=PIXELS, patch_size=8),
}
FEATURE_SIZES = {"text": 6, "audio": 5, "vision": 4}
SMALL = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "num_joint_vectors": 2,
    "contrastive_size": 8,
    "num_labels": 3,
    "hidden_dropout_prob": 0.0,
    "initializer_range": 0.2,
}


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Words `w0` to `w39` and a few more; every other word is unknown."""
    vocabulary = {word: index for index, word in enumerate(SPECIAL + WORDS)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    names = ("pad", "unk", "cls", "sep", "mask")
    specials = {f"{name}_token": token for name, token in zip(names, SPECIAL, strict=True)}
    return PreTrainedTokenizerFast(tokenizer_object=words, **specials)


@pytest.fixture
def raw_config() -> Callable[..., ErcConfig]:
    """Makes configs with fresh backbones: `raw_config("text", "audio", fusion="concat")`; all three by default."""

    def make(*modalities: str, **settings: Any) -> ErcConfig:
        chosen = {f"{m}_config": copy.deepcopy(BACKBONES[m]) for m in modalities or BACKBONES}
        return ErcConfig(**{**SMALL, **chosen, **settings})

    return make


def perturbed(config: ErcConfig) -> ErcForSequenceClassification:
    """Makes a model in which no parameter has its initial value, such as zero."""
    torch.manual_seed(0)
    model = ErcForSequenceClassification(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.fixture
def feature_config() -> Callable[..., ErcConfig]:
    """Makes configs for precomputed features of widths 6 (text), 5 (audio) and 4 (vision)."""

    def make(*modalities: str, **settings: Any) -> ErcConfig:
        sizes = {m: FEATURE_SIZES[m] for m in modalities or FEATURE_SIZES}
        return ErcConfig(**{**SMALL, "feature_sizes": sizes, **settings})

    return make


@pytest.fixture
def processor(tokenizer: PreTrainedTokenizerFast) -> ErcProcessor:
    """Fits the models of `raw_config()`."""
    return ErcProcessor(
        tokenizer,
        WhisperFeatureExtractor(feature_size=MELS, sampling_rate=RATE),
        ViTImageProcessor(size={"height": PIXELS, "width": PIXELS}),
        max_text_length=32,
        num_frames=2,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The Hugging Face folder of this module's tests and of the processes that they start, without a Hub."""
    with offline_home(tmp_path_factory.mktemp("home")) as home:
        yield home


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub, and this process set up as one of its clients."""
    with HubServer() as server:
        for name, value in server.environment(tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        # Read from the environment when huggingface_hub was imported.
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.url)
        files = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        close_session()
        yield server
        close_session()


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise, `(samples,)` at 16 kHz."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * RATE)).astype(np.float32)


def write_wav(path: Path, seconds: float, seed: int = 0) -> Path:
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(path, sound(seconds, seed), RATE)
    return path


def write_mp4(path: Path, seconds: float, seed: int = 0) -> Path:
    """h264 at 8 frames a second with aac sound."""
    av = pytest.importorskip("av")
    noise = np.random.default_rng(seed)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        video, audio = container.add_stream("libx264", rate=8), container.add_stream("aac", rate=RATE, layout="mono")
        video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
        for number in range(round(8 * seconds)):
            picture = noise.integers(0, 255, (4, 6, 3)).repeat(8, axis=0).repeat(8, axis=1).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 8)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        samples = sound(seconds, seed)
        for first in range(0, len(samples), 1024):
            piece = av.AudioFrame.from_ndarray(samples[None, first : first + 1024], "fltp", "mono")
            piece.sample_rate, piece.pts, piece.time_base = RATE, first, Fraction(1, RATE)
            container.mux(audio.encode(piece))
        container.mux(audio.encode(None))
    path.write_bytes(file.getvalue())
    return path


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`long.wav`, `short.wav`, `long.mp4` and `short.mp4`, 1.5 s and 0.75 s of noise."""
    folder = tmp_path_factory.mktemp("clips")
    writers = {"wav": write_wav, "mp4": write_mp4}
    return {
        f"{name}.{kind}": write(folder / f"{name}.{kind}", seconds, seed)
        for kind, write in writers.items()
        for seed, (name, seconds) in enumerate({"long": 1.5, "short": 0.75}.items())
    }


@pytest.fixture
def dialogues(clips: dict[str, Path]) -> list[list[dict[str, Any]]]:
    """Three dialogues of 4, 1 and 2 utterances with text, sound and pictures; some lack one or all of them."""
    return [
        [
            {"speaker": "Ann", "text": "we won w1 w2", "audio": str(clips["long.wav"]), "video": clips["long.mp4"]},
            {"speaker": "Bo", "text": "oh", "audio": (sound(0.6, seed=5), RATE), "video": None},
            {"speaker": "Cy"},
            {"speaker": "Ann", "text": None, "audio": clips["short.mp4"], "video": clips["short.mp4"].read_bytes()},
        ],
        [{"speaker": "Dee", "text": "no w3 w4 w5 w6 w7 w8 w9", "audio": clips["short.wav"].read_bytes()}],
        [{"speaker": "Bo", "text": "w10 w11"}, {"speaker": "Ann", "text": " ", "video": str(clips["long.mp4"])}],
    ]


@pytest.fixture
def feature_dialogues() -> list[list[dict[str, Any]]]:
    """Dialogues of 5, 1 and 3 utterances with 1 to 4 feature tokens a modality; some lack one or all of them."""

    def utterance(row: int, column: int) -> dict[str, Any]:
        features: dict[str, Any] = {"speaker": "ABA"[(row + column) % 3] + str(column % 2)}
        for index, (m, width) in enumerate(FEATURE_SIZES.items()):
            if (row, column) != (0, 2) and (row + column + index) % 4:
                noise = np.random.default_rng([row, column, index])
                features[MODALITIES[m].features] = noise.normal(size=(1 + (row + column + 2 * index) % 4, width))
        return features

    return [[utterance(row, column) for column in range(length)] for row, length in enumerate((5, 1, 3))]
