"""What a Hub repository carries must work on a machine where this package is not installed."""

import ast
import doctest
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, ViTConfig, ViTImageProcessor

from modeling_erc import ErcConfig, ErcForSequenceClassification
from modeling_erc.feature_extraction_erc import LogMelImageFeatureExtractor
from modeling_erc.processing_erc import ErcProcessor

CHILD = """
import json, sys
sys.modules["modeling_erc"] = None  # as if it were not installed

import numpy as np
import safetensors.torch
import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoProcessor, AutoTokenizer

dialogue, *jobs = json.loads(sys.argv[1])
for utterance in dialogue:
    if "samples" in utterance:
        utterance["audio"] = (np.array(utterance.pop("samples"), dtype=np.float32), 16000)
trusted = {"trust_remote_code": True}
for source, target in jobs:
    config = AutoConfig.from_pretrained(source, **trusted)
    base, base_report = AutoModel.from_pretrained(source, output_loading_info=True, **trusted)
    model, report = AutoModelForSequenceClassification.from_pretrained(source, output_loading_info=True, **trusted)
    processor = AutoProcessor.from_pretrained(source, **trusted)
    inputs = processor(dialogue)
    # Without `trust_remote_code` transformers asks on a terminal; here there is none, and it must not fail.
    tokenizers = [AutoTokenizer.from_pretrained(source, trust_remote_code=trust) for trust in (None, False, True)]
    assert all(each.get_vocab() == processor.tokenizer.get_vocab() for each in tokenizers)
    results = {"logits": model(**inputs).logits, "hidden": base(**inputs).last_hidden_state, **inputs}
    if config.context_causal:
        stream = model.stream(processor)
        results["streamed"] = torch.cat([stream.add(utterance).logits for utterance in dialogue], dim=1)
    model.save_pretrained(target)
    processor.save_pretrained(target)
    results = {name: value.detach().contiguous() for name, value in results.items()}
    safetensors.torch.save_file(results, f"{target}/results.safetensors")
    facts = {
        "classes": [type(thing).__name__ for thing in (config, base, model, processor)],
        "modules": [type(thing).__module__ for thing in (config, base, model, processor)],
        "report": {key: sorted(base_report[key]) + sorted(report[key]) for key in report if key.endswith("_keys")},
        "labels": config.id2label,
    }
    with open(f"{target}/facts.json", "w") as file:
        json.dump(facts, file)
"""

Utterances = list[dict[str, Any]]


def load_elsewhere(dialogue: Utterances, jobs: list[tuple[Path, Path]], home: Path) -> None:
    """Runs CHILD in a fresh process with fresh caches: it loads each job's first folder and saves into the second."""
    home.mkdir()
    fresh = {"HF_HOME": str(home), "HF_MODULES_CACHE": str(home / "modules"), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps([dialogue, *([str(a), str(b)] for a, b in jobs)])],
        cwd=home,
        env={**os.environ, **fresh},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.fixture
def utterances(clips: dict[str, Path]) -> Utterances:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 12000).round(4).tolist()
    return [
        {"speaker": "Ann", "text": "we won", "samples": samples, "video": str(clips["long.mp4"])},
        {"speaker": "Bo", "text": "oh no w1", "audio": str(clips["short.wav"])},
        {"speaker": "Cy"},
        {"speaker": "Ann", "video": str(clips["short.mp4"]), "audio": str(clips["short.mp4"])},
    ]


def spectrogram_parts(
    raw_config: Callable[..., ErcConfig], tokenizer: PreTrainedTokenizerFast
) -> tuple[ErcConfig, ErcProcessor]:
    """Sound goes as log-mel images into a ViT: the feature extractor is custom code as well."""
    config = raw_config(audio_layer="mix", fusion="concat")
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    config.audio_config = ViTConfig(**small, image_size=16, patch_size=8)
    pictures = ViTImageProcessor(size={"height": 16, "width": 16})
    sounds = LogMelImageFeatureExtractor(image_size=16, max_seconds=2.0)
    return config, ErcProcessor(tokenizer, sounds, pictures, num_frames=2)


def test_model_and_processor_load_where_the_package_is_not_installed(
    raw_config: Callable[..., ErcConfig],
    processor: ErcProcessor,
    tokenizer: PreTrainedTokenizerFast,
    utterances: Utterances,
    tmp_path: Path,
) -> None:
    kinds = {
        "whisper": (raw_config(text_layer="mix", context_causal=True), processor),
        "log-mel images": spectrogram_parts(raw_config, tokenizer),
    }
    samples = np.array(utterances[0]["samples"], dtype=np.float32)
    dialogue = [{**utterances[0], "audio": (samples, 16000)}, *utterances[1:]]
    expected: dict[str, dict[str, Tensor]] = {}
    for kind, (config, own_processor) in kinds.items():
        config.id2label, config.label2id = {0: "joy", 1: "anger", 2: "fear"}, {"joy": 0, "anger": 1, "fear": 2}
        torch.manual_seed(0)
        model = ErcForSequenceClassification(config).eval()
        model.save_pretrained(tmp_path / kind)
        own_processor.save_pretrained(tmp_path / kind)
        inputs = own_processor(dialogue)
        assert inputs["modality_mask"].int().tolist() == [[[1, 1, 1], [1, 1, 0], [0, 0, 0], [0, 1, 1]]]
        output = model(**inputs)
        expected[kind] = {"logits": output.logits, "hidden": output.last_hidden_state, **inputs}
        if config.context_causal:
            stream = model.stream(own_processor)
            expected[kind]["streamed"] = torch.cat([stream.add(u)["logits"] for u in dialogue], dim=1)

    # The second time from what was saved after loading it remotely.
    once = [(tmp_path / kind, tmp_path / f"{kind} once") for kind in kinds]
    twice = [(tmp_path / f"{kind} once", tmp_path / f"{kind} twice") for kind in kinds]
    load_elsewhere(utterances, [*once, *twice], tmp_path / "home")
    for turn in ("once", "twice"):
        for kind, tensors in expected.items():
            saved = tmp_path / f"{kind} {turn}"
            facts = json.loads((saved / "facts.json").read_text())
            assert facts["classes"] == ["ErcConfig", "ErcModel", "ErcForSequenceClassification", "ErcProcessor"]
            assert all(module.startswith("transformers_modules.") for module in facts["modules"])
            assert "missing_keys" in facts["report"] and not any(facts["report"].values()), facts["report"]
            assert facts["labels"] == {"0": "joy", "1": "anger", "2": "fear"}
            results = safetensors.torch.load_file(saved / "results.safetensors")
            assert results.keys() == tensors.keys()
            for name, value in tensors.items():
                assert torch.allclose(results[name].float(), value.float(), rtol=0, atol=1e-6), (kind, turn, name)
            assert len(list(saved.glob("*.py"))) <= 16
            auto_maps = [json.loads((f / "config.json").read_text())["auto_map"] for f in (tmp_path / kind, saved)]
            assert auto_maps[0] == auto_maps[1]


HUB_CODE = sorted((Path(__file__).parents[2] / "modeling_erc").glob("*_erc.py"))
ALLOWED = {*sys.stdlib_module_names, "huggingface_hub", "numpy", "torch", "transformers"}


@pytest.mark.parametrize("path", HUB_CODE, ids=lambda path: path.name)
def test_hub_code_imports_only_what_every_machine_has_and_its_own_files(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    optional = {
        node
        for attempt in ast.walk(tree)
        if isinstance(attempt, ast.Try) and "ImportError" in {ast.unparse(h.type) for h in attempt.handlers if h.type}
        for node in attempt.body
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1 and node.module, f"line {node.lineno}: name the file, `from .x_erc import y`"
            assert path.with_name(f"{node.module}.py") in HUB_CODE, f"line {node.lineno}: no Hub file {node.module}.py"
        elif isinstance(node, ast.Import | ast.ImportFrom) and node not in optional:
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert {name.partition(".")[0] for name in names} <= ALLOWED, f"line {node.lineno}: {names}"


@pytest.mark.parametrize("path", HUB_CODE, ids=lambda path: path.name)
def test_examples_in_the_docstrings_run(path: Path) -> None:
    result = doctest.testmod(importlib.import_module(f"modeling_erc.{path.stem}"))
    assert result.failed == 0
