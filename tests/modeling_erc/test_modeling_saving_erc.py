import itertools
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

from modeling_erc import ErcConfig, ErcForSequenceClassification, ErcModel
from modeling_erc.fusion_erc import FUSIONS
from modeling_erc.processing_erc import ErcProcessor

MakeConfig = Callable[..., ErcConfig]
Dialogues = list[list[dict[str, Any]]]


def fresh(config: ErcConfig) -> ErcForSequenceClassification:
    torch.manual_seed(0)
    return ErcForSequenceClassification(config).eval()


POSITIONS, LAYERS = itertools.cycle(["before", "after", "both"]), itertools.cycle(["last", "mix"])


@pytest.mark.parametrize(("fusion", "position", "layer"), list(zip(sorted(FUSIONS), POSITIONS, LAYERS, strict=False)))
def test_every_tensor_comes_back(
    fusion: str,
    position: str,
    layer: str,
    raw_config: MakeConfig,
    processor: ErcProcessor,
    dialogues: Dialogues,
    tmp_path: Path,
) -> None:
    layers = {"text_layer": layer, "audio_layer": layer, "vision_layer": layer}
    config = raw_config(fusion=fusion, context_position=position, **layers)
    model, inputs = fresh(config), processor(dialogues)
    with torch.no_grad():  # nothing is at its initial value any more
        for value in model.state_dict().values():
            value.add_(torch.randn_like(value) / 100)
    model.save_pretrained(tmp_path)
    loaded, report = ErcForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    assert not loaded.training
    expected = model.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert {name for name, value in loaded.state_dict().items() if not torch.equal(value, expected[name])} == set()
    assert torch.equal(loaded(**inputs).logits, model(**inputs).logits)
    # As the Trainer restores its best checkpoint.
    torch.manual_seed(1)
    restored = ErcForSequenceClassification(config).eval()
    restored.load_state_dict(safetensors.torch.load_file(tmp_path / "model.safetensors"), strict=False)
    assert torch.equal(restored(**inputs).logits, model(**inputs).logits)


def test_the_base_model_is_read_out_of_a_classifier_and_the_other_way_round(
    feature_config: MakeConfig, feature_dialogues: Dialogues, tmp_path: Path
) -> None:
    classifier = fresh(feature_config())
    inputs = ErcProcessor(modalities=classifier.config.modalities)(feature_dialogues)
    classifier.save_pretrained(tmp_path / "classifier")
    base, report = ErcModel.from_pretrained(tmp_path / "classifier", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert torch.equal(base(**inputs).last_hidden_state, classifier(**inputs).last_hidden_state)
    base.save_pretrained(tmp_path / "base")
    again, report = ErcForSequenceClassification.from_pretrained(tmp_path / "base", output_loading_info=True)
    assert torch.equal(again(**inputs).last_hidden_state, classifier(**inputs).last_hidden_state)
    assert {key.split(".")[0] for key in report["missing_keys"]} == {
        "classifier",
        "modality_classifiers",
        "contrastive_head",
    }
    assert again(**inputs).logits.isfinite().all()


def test_auto_classes_know_the_models(feature_config: MakeConfig, tmp_path: Path) -> None:
    assert isinstance(AutoModel.from_config(feature_config()), ErcModel)
    assert isinstance(AutoModelForSequenceClassification.from_config(feature_config()), ErcForSequenceClassification)
    fresh(feature_config()).save_pretrained(tmp_path)
    assert isinstance(AutoModel.from_pretrained(tmp_path), ErcModel)


@pytest.mark.parametrize("model_class", [ErcModel, ErcForSequenceClassification])
def test_a_saved_folder_names_both_models_and_holds_their_code(
    model_class: Any, feature_config: MakeConfig, tmp_path: Path
) -> None:
    model_class(feature_config()).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["auto_map"] == {
        "AutoConfig": "configuration_erc.ErcConfig",
        "AutoModel": "modeling_erc.ErcModel",
        "AutoModelForSequenceClassification": "modeling_erc.ErcForSequenceClassification",
    }
    package = {path.name for path in Path(__file__).parents[2].glob("modeling_erc/*_erc.py")}
    code = {path.name for path in tmp_path.glob("*.py")}
    assert {"configuration_erc.py", "modeling_erc.py", "fusion_erc.py", "losses_erc.py"} <= code <= package


def test_feature_statistics_travel_with_the_checkpoint(feature_config: MakeConfig, tmp_path: Path) -> None:
    model = fresh(feature_config("text"))
    model.set_feature_statistics("text", torch.arange(6.0), torch.arange(1.0, 7.0))
    model.save_pretrained(tmp_path)
    projection = ErcForSequenceClassification.from_pretrained(tmp_path).erc.projection("text")
    assert projection.feature_mean.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert projection.feature_scale.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_a_checkpoint_loads_in_bf16(
    raw_config: MakeConfig, processor: ErcProcessor, dialogues: Dialogues, tmp_path: Path
) -> None:
    model, inputs = fresh(raw_config()), processor(dialogues)
    model.save_pretrained(tmp_path)
    half = ErcForSequenceClassification.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    half_inputs = {name: value.bfloat16() if value.is_floating_point() else value for name, value in inputs.items()}
    assert (half(**half_inputs).logits.float() - model(**inputs).logits).abs().max() < 0.3
    # The processor's float32 is taken as well.
    assert half(**inputs).logits.isfinite().all()


def test_labels_keep_their_names(feature_config: MakeConfig, tmp_path: Path) -> None:
    names = {0: "joy", 1: "anger", 2: "neutral"}
    config = feature_config(id2label=names, label2id={name: index for index, name in names.items()})
    fresh(config).save_pretrained(tmp_path)
    loaded = ErcForSequenceClassification.from_pretrained(tmp_path)
    assert loaded.config.id2label == names and loaded.config.label2id["anger"] == 1
    assert loaded.classifier.out_features == 3


class Trap:
    """What a pickle can do to whoever opens it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder / "opened"),)


@pytest.mark.parametrize("pickled", ["weights", "trap"])
@pytest.mark.parametrize("asked", [{}, {"use_safetensors": False}], ids=str)
def test_a_pickled_checkpoint_is_refused_unopened(
    pickled: str, asked: dict[str, Any], feature_config: MakeConfig, tmp_path: Path
) -> None:
    model = fresh(feature_config())
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    file = tmp_path / "pytorch_model.bin"
    if pickled == "trap":
        file.write_bytes(pickle.dumps(Trap(tmp_path)))
    else:
        torch.save(model.state_dict(), file)
    for loader in (ErcForSequenceClassification, ErcModel, AutoModel, AutoModelForSequenceClassification):
        with pytest.raises(OSError, match=r"model\.safetensors"):
            loader.from_pretrained(tmp_path, **asked)
    assert not (tmp_path / "opened").exists()


def test_the_weights_have_the_mode_of_all_files(feature_config: MakeConfig, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        fresh(feature_config()).save_pretrained(tmp_path)
    finally:
        os.umask(before)
    assert oct((tmp_path / "model.safetensors").stat().st_mode & 0o777) == oct(0o640)


def test_another_number_of_classes_drops_weights_and_priors_of_the_old_ones(
    feature_config: MakeConfig, tmp_path: Path
) -> None:
    of_classes = {"class_weights": [1.0, 2.0, 3.0], "class_priors": [0.2, 0.3, 0.5], "logit_adjustment": 1.0}
    fresh(feature_config(**of_classes)).save_pretrained(tmp_path)
    same = ErcForSequenceClassification.from_pretrained(tmp_path)
    assert (same.config.class_weights, same.config.class_priors) == ([1.0, 2.0, 3.0], [0.2, 0.3, 0.5])
    for changed in ({"num_labels": 4}, {"id2label": dict(enumerate("abcd"))}):
        other = ErcForSequenceClassification.from_pretrained(tmp_path, ignore_mismatched_sizes=True, **changed)
        assert (other.config.num_labels, other.config.class_weights, other.config.class_priors) == (4, None, None)
    weights = [1.0, 2.0, 3.0, 4.0]
    given = ErcConfig.from_pretrained(tmp_path, num_labels=4, class_weights=weights)
    assert given.class_weights == weights
