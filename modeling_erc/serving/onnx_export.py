"""ONNX export of a classifier and its comparison with PyTorch."""

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
    import onnx  # noqa: F401 (the exporter needs it)
    import onnxruntime
    import onnxscript  # noqa: F401
except ImportError:
    onnxruntime = None

TOLERANCE = 1e-4
# Numbers of utterances of the dialogues used for the comparison; the first dialogue is traced.
TRIAL_LENGTHS = (5, 1, 2, 12, 31)


@dataclass
class Comparison:
    """An exported model compared with PyTorch on all trial dialogues.

    Args:
        utterances: number of utterances compared.
        difference: largest absolute difference of a logit.
        agreement: fraction of utterances with the same predicted class.
    """

    utterances: int
    difference: float
    agreement: float


def require_onnx() -> None:
    """Raises an `ImportError` that names the extra to install if a library is missing."""
    if onnxruntime is None:
        raise ImportError("ONNX export needs onnx, onnxruntime and onnxscript: pip install 'modeling-erc[export]'")


@contextmanager
def quiet() -> Iterator[None]:
    """Mutes the warnings that the exporters write for their own developers."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


class OnnxExport:
    """Exports a model to ONNX and compares the exported model with PyTorch.

    The graph takes one dialogue. Its inputs are those of [`DenseDialogue.forward`], its output is `logits`
    `(utterances, classes)`. The numbers of utterances, words and audio frames are dynamic.

    Args:
        model: the model, on the CPU and in eval mode.
        processor: the model's processor.

    Raises:
        ImportError: the extra `export` is not installed.

    Example:
        >>> export = OnnxExport(model, processor)  # doctest: +SKIP
        >>> export.write(Path("model.onnx"))  # doctest: +SKIP
        >>> export.compare(Path("model.onnx"))  # doctest: +SKIP
        Comparison(utterances=51, difference=1.3e-06, agreement=1.0)
    """

    def __init__(self, model: ErcForSequenceClassification, processor: ErcProcessor) -> None:
        require_onnx()
        self.model, self.processor = model, processor
        # Every utterance of the first dialogue has every modality, so that tracing includes every input.
        self.trials = [
            processor(trial_dialogue(model, processor, length, seed, present=0.75 if seed else 1.0))
            for seed, length in enumerate(TRIAL_LENGTHS)
        ]
        self.traced = dense_inputs(model.config, self.trials[0])

    @property
    def shapes(self) -> dict[str, list[str | int]]:
        """The shape of each input: a name for a dynamic axis, a number for a fixed one."""
        shapes = {}
        for name, tensor in self.traced.items():
            dynamic = {0: "utterances", **_dynamic_axis(name, self.traced)}
            shapes[name] = [dynamic.get(axis, size) for axis, size in enumerate(tensor.shape)]
        return shapes

    def write(self, path: Path) -> None:
        """Exports the model to `path`.

        Raises:
            ValueError: a part of the model cannot be exported, or only for dialogues of one length.
        """
        dims = {
            name: torch.export.Dim(name) for shape in self.shapes.values() for name in shape if isinstance(name, str)
        }
        dynamic = {
            name: {axis: dims[size] for axis, size in enumerate(shape) if isinstance(size, str)}
            for name, shape in self.shapes.items()
        }
        arguments = dict(self.traced)
        masks = {name: arguments.pop(name) for name in ("modality_mask", "speaker_ids")}
        try:
            # The memory layout of the other attention kernels depends on the length.
            with sdpa_kernel([SDPBackend.MATH]), torch.no_grad(), quiet():
                program = torch.onnx.export(
                    DenseDialogue(self.model).eval(),
                    kwargs={**masks, "inputs": arguments},
                    dynamic_shapes={**{name: dynamic.pop(name) for name in masks}, "inputs": dynamic},
                    input_names=list(self.traced),
                    output_names=["logits"],
                    dynamo=True,
                    verbose=False,
                )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            raise ValueError(
                f"{_parts(self.model)} cannot be exported: {_reason(error)}. If backbones are frozen, extract their "
                "features and train on those"
            ) from error
        assert program is not None
        program.save(path)
        written = {given.name: given.shape for given in onnxruntime.InferenceSession(path).get_inputs()}
        fixed = [name for name, shape in self.shapes.items() if written.get(name) != shape]
        if fixed:
            path.unlink()
            raise ValueError(
                f"{_parts(self.model)} cannot be exported for dialogues of any length: the graph only takes "
                f"{', '.join(f'{name} {written.get(name)}' for name in fixed)}. Use the model in PyTorch instead"
            )

    def compare(self, path: Path) -> Comparison:
        """Compares the model at `path` with PyTorch on dialogues of several lengths, with missing modalities."""
        session = onnxruntime.InferenceSession(path)
        logits, expected = [], []
        for trial in self.trials:
            inputs = {name: tensor.numpy() for name, tensor in dense_inputs(self.model.config, trial).items()}
            logits.append(session.run(["logits"], inputs)[0])
            with torch.inference_mode():
                expected.append(self.model(**trial).logits[0].numpy())
        exported, original = np.concatenate(logits), np.concatenate(expected)
        return Comparison(
            utterances=len(original),
            difference=float(np.abs(exported - original).max()),
            agreement=float((exported.argmax(axis=1) == original.argmax(axis=1)).mean()),
        )

    def describe(self) -> dict[str, Any]:
        """Describes labels, inputs and output for callers without this package; saved as `model.json`."""
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
    """Writes the output of `OnnxExport.describe` as JSON."""
    path.write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _dynamic_axis(name: str, inputs: Mapping[str, Tensor]) -> dict[int, str]:
    """The dynamic axis of an input besides the utterances, `{axis: name}`."""
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
    """Names the parts of the model, for messages."""
    config = model.config
    backbones = [f"{m} backbone {config.backbone_config(m).model_type}" for m in model.erc.encoders]
    return ", ".join([*backbones, f"fusion {config.fusion}", f"context {config.context}"])


def _reason(error: BaseException) -> str:
    """The first line of the innermost cause; the outer errors hold pages of advice to the exporter's developers."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
