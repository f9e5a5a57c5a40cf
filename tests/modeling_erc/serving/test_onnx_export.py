"""Exported models run without PyTorch and return the same logits."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.commands import export as command
from modeling_erc.configuration_erc import MODALITIES
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.serving import onnx_export
from modeling_erc.serving.dense_dialogue import dense_inputs
from modeling_erc.serving.onnx_export import TOLERANCE, OnnxExport

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

MakeConfig = Callable[..., ErcConfig]
Dialogue = list[dict[str, Any]]

CHILD = """
import json, sys
import numpy as np
import onnxruntime

folder, model, given, target = sys.argv[1:]
described = json.load(open(folder + "/model.json"))
inputs = dict(np.load(given))
assert set(inputs) == set(described["inputs"])
logits = onnxruntime.InferenceSession(folder + "/" + model).run(["logits"], inputs)[0]
assert "torch" not in sys.modules
np.save(target, logits)
"""


def fresh(config: ErcConfig) -> ErcForSequenceClassification:
    torch.manual_seed(0)
    model = ErcForSequenceClassification(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def without_torch(folder: Path, model: str, inputs: dict[str, torch.Tensor]) -> np.ndarray:
    arrays: dict[str, Any] = {name: value.numpy() for name, value in inputs.items()}
    np.savez(folder / "given.npz", **arrays)
    files = [str(folder), model, str(folder / "given.npz"), str(folder / "logits.npy")]
    subprocess.run([sys.executable, "-c", CHILD, *files], check=True, timeout=120)
    found: np.ndarray = np.load(folder / "logits.npy")
    return found


def feature_dialogue(config: ErcConfig, length: int) -> Dialogue:
    noise = np.random.default_rng(length)
    dialogue: Dialogue = []
    for number in range(length):
        dialogue.append({"speaker": number % 3})
        for modality, width in (config.feature_sizes or {}).items():
            if number == 0 or noise.random() < 0.6:
                dialogue[-1][MODALITIES[modality].features] = noise.normal(size=(noise.integers(1, 6), width))
    return dialogue


@pytest.fixture
def exported(
    feature_config: MakeConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[tuple[ErcForSequenceClassification, Path, str]]:
    """A model exported by the command, also with eight-bit weights."""
    labels = {0: "joy", 1: "anger", 2: "fear"}
    config = feature_config("text", "audio", num_fusion_layers=1, context_position="after", id2label=labels)
    model = fresh(config)
    model.save_pretrained(tmp_path / "run")
    ErcProcessor(modalities=config.modalities).save_pretrained(tmp_path / "run")
    command.main([str(tmp_path / "run"), "--onnx", "--int8"])
    yield model, tmp_path / "run" / "onnx", capsys.readouterr().out


@pytest.mark.slow
def test_features_of_any_length_without_pytorch(
    exported: tuple[ErcForSequenceClassification, Path, str], feature_config: MakeConfig
) -> None:
    model, folder, output = exported
    processor = ErcProcessor(modalities=model.config.modalities)
    assert "text_features          (utterances, text_tokens, 6)" in output
    assert "largest difference to PyTorch over 51 utterances" in output and "int8" in output
    described = json.loads((folder / "model.json").read_text())
    assert described["labels"] == ["joy", "anger", "fear"] and described["modalities"] == ["text", "audio"]
    for length in (1, 2, 17):
        packed = processor(feature_dialogue(model.config, length))
        expected = model(**packed).logits[0].detach().numpy()
        inputs = dense_inputs(model.config, packed)
        np.testing.assert_allclose(without_torch(folder, "model.onnx", inputs), expected, atol=TOLERANCE, rtol=0)
        rough = without_torch(folder, "model_int8.onnx", inputs)
        assert 0 < np.abs(rough - expected).max() < 0.2 * np.abs(expected).max()
    # The comparison detects the file of another model.
    other = fresh(feature_config("text", "audio", num_fusion_layers=1, num_joint_vectors=3))
    assert OnnxExport(other, processor).compare(folder / "model.onnx").difference > TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["concat", "cross_attention", "tensor", "gated", "joint_vector"])
def test_every_fusion_and_context_is_exported(fusion: str, feature_config: MakeConfig, tmp_path: Path) -> None:
    config = feature_config(fusion=fusion, context="transformer" if fusion == "joint_vector" else "gru")
    model, processor = fresh(config), ErcProcessor(modalities=config.modalities)
    export = OnnxExport(model, processor)
    export.write(tmp_path / "model.onnx")
    found = export.compare(tmp_path / "model.onnx")
    assert found.difference <= TOLERANCE and found.agreement == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("context", ["transformer", "gru"])
def test_text_and_audio_of_any_length_without_pytorch(
    context: str, raw_config: MakeConfig, processor: ErcProcessor, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    config = raw_config("text", "audio", context=context, num_fusion_layers=1)
    processor.modalities = ["text", "audio"]
    model = fresh(config)
    model.save_pretrained(tmp_path / "run")
    processor.save_pretrained(tmp_path / "run")
    command.main([str(tmp_path / "run"), "--onnx", "--out", str(tmp_path / "onnx")])
    assert json.loads((tmp_path / "onnx" / "model.json").read_text())["sampling_rate"] == 16000
    for dialogue in (dialogues[0], dialogues[1], [*dialogues[0], *dialogues[2], *dialogues[1]]):
        packed = processor(dialogue)
        expected = model(**packed).logits[0].detach().numpy()
        logits = without_torch(tmp_path / "onnx", "model.onnx", dense_inputs(config, packed))
        np.testing.assert_allclose(logits, expected, atol=TOLERANCE, rtol=0)


def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}: neither a folder that train_hf.py wrote"):
        command.main([str(tmp_path), "--onnx"])


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"modeling-erc\[export\]"):
        command.main(["nowhere", "--onnx"])
