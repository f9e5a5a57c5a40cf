"""Where the package is imported, a checkpoint loads without `trust_remote_code` and without a question."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast, ViTImageProcessor

import modeling_erc
from modeling_erc import ErcConfig, ErcForSequenceClassification, ErcProcessor, LogMelImageFeatureExtractor

ROOT = Path(__file__).parents[2]
DIALOGUE = [{"speaker": "Ann", "text": "we won"}, {"speaker": "Bo", "text": "oh no w1"}]
CHILD = """
import builtins, json, sys

def refuse(question=""):
    raise SystemExit(f"asked {question!r}")

builtins.input = refuse
import modeling_erc
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoProcessor, AutoTokenizer
from transformers import pipeline

folder, place, dialogue = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
autos = (AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoProcessor, AutoTokenizer)
loaded = [auto.from_pretrained(folder, **place) for auto in autos]
model, processor = loaded[2], loaded[3]
task = "emotion-recognition-in-conversation"
pipe = pipeline(task, model=model, processor=processor) if place else pipeline(task, model=folder)
with torch.no_grad():
    logits = model(**processor(dialogue)).logits
objects = [*loaded, processor.feature_extractor, pipe]
modules = {type(thing).__name__: type(thing).__module__ for thing in objects}
print(json.dumps({"modules": modules, "logits": logits.tolist(), "scores": [u["scores"] for u in pipe(dialogue)]}))
"""


def load_installed(folder: Path, place: dict[str, str]) -> dict[str, Any]:
    """Runs CHILD in a fresh process in which the package can be imported."""
    run = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), json.dumps(place), json.dumps(DIALOGUE)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    result: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize(
    ("place", "file_name"),
    [({}, "audio_image_erc"), ({"subfolder": "checkpoint-2"}, "feature_extraction_erc")],
    ids=["top, version 0.1", "subfolder, today"],
)
def test_a_checkpoint_loads_with_the_code_of_the_installed_package(
    place: dict[str, str],
    file_name: str,
    raw_config: Callable[..., ErcConfig],
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    model = ErcForSequenceClassification(raw_config("text")).eval()
    images = ViTImageProcessor(size={"height": 16, "width": 16})
    sounds = LogMelImageFeatureExtractor(image_size=16, max_seconds=2.0)
    processor = ErcProcessor(tokenizer, sounds, images, modalities=["text"])
    folder = tmp_path / place.get("subfolder", "")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    settings = folder / "processor_config.json"
    assert "feature_extraction_erc" in settings.read_text()
    settings.write_text(settings.read_text().replace("feature_extraction_erc", file_name))

    loaded = load_installed(tmp_path, place)
    assert loaded["modules"] == {
        "ErcConfig": "modeling_erc.configuration_erc",
        "ErcModel": "modeling_erc.modeling_erc",
        "ErcForSequenceClassification": "modeling_erc.modeling_erc",
        "ErcProcessor": "modeling_erc.processing_erc",
        "TokenizersBackend": "transformers.tokenization_utils_tokenizers",
        "LogMelImageFeatureExtractor": "modeling_erc.feature_extraction_erc",
        "EmotionRecognitionPipeline": "modeling_erc.pipeline_erc",
    }
    expected = model(**processor(DIALOGUE)).logits
    assert torch.allclose(torch.tensor(loaded["logits"]), expected, rtol=0, atol=1e-6)
    probabilities = torch.tensor([list(scores.values()) for scores in loaded["scores"]])
    assert torch.allclose(probabilities, expected[0].softmax(dim=-1), rtol=0, atol=1e-6)


def test_public_names_are_importable_from_the_package() -> None:
    from datasets_scripts import load_erc_dataset
    from modeling_erc.training import ErcTrainer

    assert {name: getattr(modeling_erc, name) for name in modeling_erc.__all__}.keys() == set(modeling_erc.__all__)
    assert modeling_erc.ErcTrainer is ErcTrainer
    assert modeling_erc.load_erc_dataset is load_erc_dataset
    with pytest.raises(AttributeError, match="'modeling_erc' has no attribute 'Trainer'"):
        modeling_erc.Trainer  # noqa: B018


def test_loading_a_model_does_not_load_training_corpora_or_figures() -> None:
    heavy = {"modeling_erc.training", "datasets_scripts", "datasets", "evaluate", "matplotlib", "peft", "sklearn"}
    program = f"import sys, modeling_erc.loading; print(sorted({heavy} & sys.modules.keys()))"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines()[-1] == "[]"


def test_setup_reads_the_version_of_the_package() -> None:
    run = subprocess.run(
        [sys.executable, "setup.py", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.split()[-1] == modeling_erc.__version__
