"""ONNX export of a classifier and its comparison with PyTorch."""

import json
import logging
import shutil
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
from ..registry_erc import DIALOGUE_INPUTS
from .one_dialogue import OneDialogue
from .trial_dialogues import trial_dialogues

try:
    import onnx  # noqa: F401 (the exporter needs it)
    import onnxruntime
    import onnxscript  # noqa: F401
except ImportError:
    onnxruntime = None

TOLERANCE = 1e-4
# Inputs with a place for every utterance; the others have rows for those that have the modality.
MASKS = ("modality_mask", "speaker_ids")


@dataclass
class Comparison:
    """An exported model compared with PyTorch on all trial dialogues.

    Args:
        utterances: number of utterances compared.
        difference: largest absolute difference of a logit, or of a target in standard deviations.
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
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


class OnnxExport:
    """Exports a model to ONNX and compares the exported model with PyTorch.

    The graph takes the output of the processor for one dialogue (see [`OneDialogue.forward`]); its output is `logits`
    `(utterances, outputs)`, the classes and then the targets in their own units. The numbers of utterances, rows, words
    and audio frames are dynamic.

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
        self.trials = [processor(dialogue) for dialogue in trial_dialogues(model, processor)]
        packed = [name for name in self.trials[0] if name not in DIALOGUE_INPUTS]
        self.traced = {name: self.trials[0][name] for name in (*MASKS, *packed)}
        if "text_token_index" in packed:
            # Tracing takes an axis of size 1 for a constant: there is a second window, which no utterance is in.
            self.traced |= {name: self.traced[name].repeat(2, 1) for name in ("input_ids", "attention_mask")}

    @property
    def shapes(self) -> dict[str, list[str | int]]:
        """The shape of each input: a name for a dynamic axis, a number for a fixed one."""
        shapes = {}
        for name, tensor in self.traced.items():
            dynamic = _dynamic_axes(name, self.traced)
            shapes[name] = [dynamic.get(axis, size) for axis, size in enumerate(tensor.shape)]
        return shapes

    def inputs(self, encoded: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        """Returns the inputs of the graph for the output of the processor for one dialogue.

        An input of a modality that no utterance of the dialogue has gets no rows.
        """
        absent = self.absent
        return {
            name: encoded[name].numpy() if name in encoded else np.zeros(absent[name], example.numpy().dtype)
            for name, example in self.traced.items()
        }

    @property
    def absent(self) -> dict[str, list[int]]:
        """The shape without rows of each input of a modality; other axes are as short as in any trial dialogue."""
        shapes = {}
        for name in [name for name in self.traced if name not in MASKS]:
            given = [trial[name].shape[1:] for trial in self.trials if name in trial]
            shapes[name] = [0, *(min(sizes) for sizes in zip(*given, strict=True))]
        return shapes

    def write(self, path: Path) -> None:
        """Exports the model to `path`.

        Raises:
            ValueError: a part of the model cannot be exported, or only for dialogues of one length.
        """
        dynamic: dict[str, Any] = {
            name: {axis: size for axis, size in enumerate(shape) if isinstance(size, str)}
            for name, shape in self.shapes.items()
        }
        arguments = dict(self.traced)
        masks = {name: arguments.pop(name) for name in MASKS}
        try:
            # The memory layout of the other attention kernels depends on the length.
            with sdpa_kernel([SDPBackend.MATH]), torch.no_grad(), quiet():
                program = torch.onnx.export(
                    OneDialogue(self.model).eval(),
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
            logits.append(session.run(["logits"], self.inputs(trial))[0])
            with torch.inference_mode():
                expected.append(self.model(**trial).logits[0].numpy())
        exported, original = np.concatenate(logits), np.concatenate(expected)
        scale = np.array([1.0] * self.model.config.num_classes + list(self.model.config.target_scale or ()))
        return Comparison(
            utterances=len(original),
            difference=float((np.abs(exported - original) / scale).max()),
            agreement=float((self._answers(exported) == self._answers(original)).all(axis=-1).mean()),
        )

    def _answers(self, logits: np.ndarray) -> np.ndarray:
        """Returns the predicted classes `(utterances, answers)`; targets are compared by their difference alone."""
        config = self.model.config
        if config.problem_type == "multi_label_classification":
            limits = np.array(config.label_thresholds or [0.5] * config.num_classes)
            answers: np.ndarray = logits[:, : config.num_classes] >= np.log(limits / (1 - limits))
            return answers
        return logits[:, : config.num_classes].argmax(axis=1)[:, None] if config.num_classes else np.zeros((1, 1))

    def describe(self) -> dict[str, Any]:
        """Describes labels, inputs and output for callers without this package; saved as `model.json`.

        Each input names its `processor_output`, and the shape of an array without rows for where that is missing.
        """
        config = self.model.config
        extractor = self.processor.feature_extractor
        absent = self.absent
        return {
            "labels": [config.id2label[index] for index in range(config.num_classes)],
            "targets": list(config.target_names or ()),
            "problem_type": config.problem_type or "single_label_classification",
            "thresholds": config.label_thresholds,
            "modalities": list(config.modalities),
            "inputs": {
                name: {
                    "processor_output": name,
                    "shape": shape,
                    "dtype": str(self.traced[name].dtype).removeprefix("torch."),
                    **({"if_absent": absent[name]} if name in absent else {}),
                }
                for name, shape in self.shapes.items()
            },
            "outputs": {"logits": {"shape": ["utterances", config.num_outputs], "dtype": "float32"}},
            "sampling_rate": getattr(extractor, "sampling_rate", None),
        }


def write_usage(folder: Path, export: OnnxExport) -> None:
    """Writes what a caller needs beside the graph: `model.json`, the processor, and `run_onnx.py`, which uses both."""
    described = json.dumps(export.describe(), indent=2, ensure_ascii=False)
    (folder / "model.json").write_text(described + "\n", encoding="utf-8")
    export.processor.save_pretrained(folder)
    shutil.copyfile(Path(__file__).with_name("run_onnx.py"), folder / "run_onnx.py")


def _dynamic_axes(name: str, inputs: Mapping[str, Tensor]) -> dict[int, str]:
    """The dynamic axes of an input, `{axis: name}`."""
    if name in MASKS:
        return {1: "utterances"}
    modality = next(m for m, names in MODALITIES.items() if name in names.inputs or name.startswith(names.features))
    if "text_token_index" in inputs and name in ("input_ids", "attention_mask"):
        return {0: "text_windows", 1: "window_tokens"}
    axes = {0: f"{modality}_rows"}
    if name.startswith(MODALITIES[modality].features) or modality == "text":
        axes[1] = f"{modality}_tokens"
    elif name == "audio_attention_mask":
        axes[1] = "audio_frames"
    elif name == "audio_values" and "audio_attention_mask" in inputs:
        axes[inputs[name].shape.index(inputs["audio_attention_mask"].shape[1], 1)] = "audio_frames"
    elif name == "audio_values" and inputs[name].dim() == 2:
        axes[1] = "audio_samples"
    return axes


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
