"""ONNX export of a classifier, checked against PyTorch before anybody uses it."""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..configuration_erc import MODALITIES
from ..modeling_erc import ErcForSequenceClassification
from ..processing_erc import ErcProcessor
from .dense_dialogue import DenseDialogue, dense_inputs
from .trial_dialogues import trial_dialogue

try:
    import onnx  # noqa: F401 (what writes the file needs it)
    import onnxruntime
    import onnxscript  # noqa: F401
except ImportError:
    onnxruntime = None

TOLERANCE = 1e-4
# Utterances of the dialogues that the export is compared on; the first one is traced.
TRIAL_LENGTHS = (5, 1, 2, 12, 31)


@dataclass
class Comparison:
    """What an exported model says beside what PyTorch says, over all trial dialogues.

    Args:
        utterances: how many were compared.
        difference: the largest absolute difference of a logit.
        agreement: share of utterances with the same most likely class.
    """

    utterances: int
    difference: float
    agreement: float


def require_onnx() -> None:
    """Says what to install where a library is missing."""
    if onnxruntime is None:
        raise ImportError("ONNX export needs onnx, onnxruntime and onnxscript: pip install 'modeling-erc[export]'")


@contextmanager
def quiet() -> Iterator[None]:
    """Mutes what the exporters tell their own developers."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


class OnnxExport:
    """Writes a model as ONNX and compares what was written with the model.

    The graph takes one dialogue; its inputs and their shapes are those of [`DenseDialogue.forward`], its output is
    `logits` `(utterances, classes)`. Numbers of utterances, of words and of audio frames are free.

    Args:
        model: on the CPU, in eval mode.
        processor: made for the model.

    Example:
        >>> export = OnnxExport(model, processor)  # doctest: +SKIP
        >>> export.write(Path("model.onnx"))  # doctest: +SKIP
        >>> export.compare(Path("model.onnx"))  # doctest: +SKIP
        Comparison(utterances=51, difference=1.3e-06, agreement=1.0)
    """

    def __init__(self, model: ErcForSequenceClassification, processor: ErcProcessor) -> None:
        require_onnx()
        self.model, self.processor = model, processor
        # The first has everything of everybody, so that every input is there to be traced.
        self.trials = [
            processor(trial_dialogue(model, processor, length, seed, present=0.75 if seed else 1.0))
            for seed, length in enumerate(TRIAL_LENGTHS)
        ]
        self.traced = dense_inputs(model.config, self.trials[0])

    @property
    def shapes(self) -> dict[str, list[str | int]]:
        """Each input's shape: a name for an axis of any length, a number for one that is fixed."""
        found = {}
        for name, tensor in self.traced.items():
            free = {0: "utterances", **_free_axis(name, self.traced)}
            found[name] = [free.get(axis, size) for axis, size in enumerate(tensor.shape)]
        return found

    def write(self, path: Path) -> None:
        """Exports to `path`.

        Raises:
            ValueError: some part of the model cannot be exported.
        """
        dims = {
            name: torch.export.Dim(name) for shape in self.shapes.values() for name in shape if isinstance(name, str)
        }
        dynamic = {
            name: {axis: dims[size] for axis, size in enumerate(shape) if isinstance(size, str)}
            for name, shape in self.shapes.items()
        }
        masks = ("modality_mask", "speaker_ids")
        try:
            # Of the attention kernels this one has a layout that holds for every length.
            with sdpa_kernel([SDPBackend.MATH]), torch.no_grad(), quiet():
                program = torch.onnx.export(
                    DenseDialogue(self.model).eval(),
                    kwargs=_nested(self.traced),
                    dynamic_shapes={**{name: dynamic.pop(name) for name in masks}, "inputs": dynamic},
                    input_names=list(self.traced),
                    output_names=["logits"],
                    dynamo=True,
                    verbose=False,
                )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            raise ValueError(
                f"{_parts(self.model)} cannot be exported: {_reason(error)}. Frozen backbones can be left out: extract "
                "their features and train on those"
            ) from error
        assert program is not None
        program.save(path)
        written = {given.name: given.shape for given in onnxruntime.InferenceSession(path).get_inputs()}
        fixed = [name for name, shape in self.shapes.items() if written.get(name) != shape]
        if fixed:
            path.unlink()
            raise ValueError(
                f"{_parts(self.model)} cannot be exported for dialogues of any length: the graph takes "
                f"{', '.join(f'{name} {written.get(name)}' for name in fixed)} alone. Use the model in PyTorch instead"
            )

    def compare(self, path: Path) -> Comparison:
        """Runs the written model and PyTorch on dialogues of several lengths, some utterances without some modality."""
        session = onnxruntime.InferenceSession(path)
        logits, expected = [], []
        for trial in self.trials:
            given = {name: tensor.numpy() for name, tensor in dense_inputs(self.model.config, trial).items()}
            logits.append(session.run(["logits"], given)[0])
            with torch.inference_mode():
                expected.append(self.model(**trial).logits[0].numpy())
        ours, theirs = np.concatenate(logits), np.concatenate(expected)
        return Comparison(
            utterances=len(theirs),
            difference=float(np.abs(ours - theirs).max()),
            agreement=float((ours.argmax(axis=1) == theirs.argmax(axis=1)).mean()),
        )

    def describe(self) -> dict[str, Any]:
        """What a caller without this package has to know, for a JSON file beside the model."""
        config = self.model.config
        extractor = self.processor.feature_extractor
        return {
            "labels": [config.id2label[index] for index in range(config.num_labels)],
            "modalities": list(config.modalities),
            "inputs": {
                name: {"shape": shape, "dtype": str(self.traced[name].dtype).removeprefix("torch.")}
                for name, shape in self.shapes.items()
            },
            "outputs": {"logits": {"shape": ["utterances", config.num_labels], "dtype": "float32"}},
            "sampling_rate": getattr(extractor, "sampling_rate", None),
        }


def write_description(path: Path, described: Mapping[str, Any]) -> None:
    """Writes what `describe` says."""
    path.write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _nested(inputs: Mapping[str, Tensor]) -> dict[str, Any]:
    """Flat inputs as the arguments of [`DenseDialogue.forward`]."""
    rest = dict(inputs)
    return {name: rest.pop(name) for name in ("modality_mask", "speaker_ids")} | {"inputs": rest}


def _free_axis(name: str, inputs: Mapping[str, Tensor]) -> dict[int, str]:
    """The axis of an input, beside the utterances, whose length may vary."""
    features = {axis: f"{m}_tokens" for m, n in MODALITIES.items() for axis in (n.features, f"{n.features}_mask")}
    if name in features:
        return {1: features[name]}
    if name in MODALITIES["text"].inputs:
        return {1: "text_tokens"}
    if name == "audio_attention_mask":
        return {1: "audio_frames"}
    if name == "audio_values" and "audio_attention_mask" in inputs:
        return {inputs[name].shape.index(inputs["audio_attention_mask"].shape[1], 1): "audio_frames"}
    if name == "audio_values" and inputs[name].dim() == 2:
        return {1: "audio_samples"}
    return {}


def _parts(model: ErcForSequenceClassification) -> str:
    """The model by the names of its parts."""
    config = model.config
    backbones = [f"{m} backbone {config.backbone_config(m).model_type}" for m in model.erc.encoders]
    return ", ".join([*backbones, f"fusion {config.fusion}", f"context {config.context}"])


def _reason(error: BaseException) -> str:
    """The last line of the innermost cause: above it stand pages of advice to the exporter's developers."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
