"""Exported models run without PyTorch and return the same logits."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import HubertConfig, Wav2Vec2FeatureExtractor

from modeling_erc import ErcConfig
from modeling_erc.commands import export as command
from modeling_erc.processing_erc import ErcProcessor
from modeling_erc.serving import onnx_export
from modeling_erc.serving.onnx_export import TOLERANCE, OnnxExport
from tests.conftest import perturbed

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

MakeConfig = Callable[..., ErcConfig]
Dialogue = list[dict[str, Any]]


def run_script(folder: Path, dialogue: Dialogue) -> list[dict[str, Any]]:
    """Runs the exported example in a process that does not know the package."""
    (folder / "dialogue.json").write_text(json.dumps(dialogue))
    code = "import sys, runpy; sys.modules['modeling_erc'] = None; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0])"
    command = [sys.executable, "-c", code, str(folder / "run_onnx.py"), str(folder / "dialogue.json")]
    found = subprocess.run(command, check=True, timeout=600, capture_output=True, text=True, cwd=folder)
    return [json.loads(line) for line in found.stdout.splitlines()]


@pytest.mark.slow
def test_the_exported_script_gives_the_logits_of_pytorch(
    raw_config: MakeConfig,
    processor: ErcProcessor,
    clips: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = {0: "joy", 1: "anger", 2: "fear"}
    model = perturbed(raw_config(num_fusion_layers=1, context_position="after", id2label=labels))
    model.save_pretrained(tmp_path / "run")
    processor.save_pretrained(tmp_path / "run")
    command.main([str(tmp_path / "run"), "--onnx", "--int8", "--out", str(tmp_path / "onnx")])
    output = capsys.readouterr().out
    assert "audio_values           (audio_rows, 16, audio_frames)" in output
    assert "largest difference to PyTorch over 60 utterances" in output and "the same class for" in output
    described = json.loads((tmp_path / "onnx" / "model.json").read_text())
    assert described["labels"] == ["joy", "anger", "fear"] and described["sampling_rate"] == 16000
    clip, video = str(clips["long.wav"]), str(clips["short.mp4"])
    dialogues: list[Dialogue] = [
        [{"speaker": "Ann", "text": "we won", "audio": clip, "video": video}],
        [{"speaker": "Ann", "text": "we won w1 w2 w3 w4 w5"}, {"speaker": "Bo", "text": "oh"}],
        [{"speaker": "AB"[i % 2], **({"audio": clip} if i % 3 else {"video": video})} for i in range(9)],
    ]
    for dialogue in dialogues:
        expected = model(**processor(dialogue)).logits[0].detach().numpy()
        found = run_script(tmp_path / "onnx", dialogue)
        np.testing.assert_allclose([row["logits"] for row in found], expected, atol=TOLERANCE, rtol=0)
        assert [row["label"] for row in found] == [labels[index] for index in expected.argmax(axis=1)]
    # The comparison detects the file of another model.
    other = perturbed(raw_config(num_fusion_layers=1, context_position="after", num_joint_vectors=3))
    assert OnnxExport(other, processor).compare(tmp_path / "onnx" / "model.onnx").difference > TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["cross_attention", "tensor", "gated"])
def test_fusions_and_a_recurrence_over_features_are_exported(
    fusion: str, feature_config: MakeConfig, tmp_path: Path
) -> None:
    config = feature_config(
        "text",
        "audio",
        fusion=fusion,
        context="gru",
        context_position="before",
        num_fusion_layers=1,
        centered_modalities=["audio"],
    )
    export = OnnxExport(perturbed(config), ErcProcessor(modalities=config.modalities))
    export.write(tmp_path / "model.onnx")
    found = export.compare(tmp_path / "model.onnx")
    assert found.difference <= TOLERANCE and found.agreement == 1.0


@pytest.mark.slow
def test_a_text_backbone_that_reads_whole_dialogues_is_exported(
    raw_config: MakeConfig, processor: ErcProcessor, tmp_path: Path
) -> None:
    processor.text_context, processor.modalities = "dialogue", ["text"]
    export = OnnxExport(perturbed(raw_config("text", num_fusion_layers=1, context="none")), processor)
    export.write(tmp_path / "model.onnx")
    windows = [len(trial["input_ids"]) for trial in export.trials]
    assert min(windows) == 1 and max(windows) > 2
    found = export.compare(tmp_path / "model.onnx")
    assert found.difference <= TOLERANCE and found.agreement == 1.0


@pytest.mark.slow
def test_a_speech_backbone_that_norms_over_time_is_exported(tmp_path: Path) -> None:
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    wave = {"conv_dim": (8, 8), "conv_kernel": (10, 8), "conv_stride": (5, 40), "num_feat_extract_layers": 2}
    backbone = HubertConfig(**small, **wave, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2)
    config = ErcConfig(audio_config=backbone, hidden_size=16, num_labels=3, context="none", num_fusion_layers=1)
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    export = OnnxExport(perturbed(config), ErcProcessor(feature_extractor=extractor, modalities=["audio"]))
    export.write(tmp_path / "model.onnx")
    assert export.compare(tmp_path / "model.onnx").difference <= TOLERANCE


def test_the_documented_script_is_the_exported_one() -> None:
    script = Path(onnx_export.__file__).with_name("run_onnx.py").read_text()
    page = Path(__file__).parents[3] / "docs" / "serving.md"
    assert script.partition('"""\n\n')[2] in page.read_text()


def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}: neither a folder that train_hf.py wrote"):
        command.main([str(tmp_path), "--onnx"])


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"modeling-erc\[export\]"):
        command.main(["nowhere", "--onnx"])
