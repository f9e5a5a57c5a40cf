"""`export CKPT --onnx [--int8] [--out DIR]`: a checkpoint for places where PyTorch is not."""

import argparse
import time
from pathlib import Path

from ..modeling_erc import ErcForSequenceClassification
from ..processing_erc import ErcProcessor
from ..serving.int8 import quantize_onnx
from ..serving.onnx_export import TOLERANCE, OnnxExport, require_onnx, write_description


def main(argv: list[str]) -> None:
    """Writes `model.onnx` and `model.json` (and `model_int8.onnx`), and compares them with PyTorch.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ImportError: the extra `export` is not installed.
        ValueError: a part of the model cannot be exported, or what was exported says something else.
    """
    parser = argparse.ArgumentParser(
        prog="python -m modeling_erc export", description="Writes a checkpoint as ONNX, for onnxruntime alone."
    )
    parser.add_argument("checkpoint", metavar="CKPT", help="folder that train_hf.py wrote, or a Hub id")
    parser.add_argument("--onnx", action="store_true", required=True, help="the format; there is no other yet")
    parser.add_argument("--int8", action="store_true", help="write model_int8.onnx too, with eight-bit weights")
    parser.add_argument("--out", type=Path, help="folder of what is written (default: CKPT/onnx)")
    asked = parser.parse_args(argv)
    require_onnx()
    try:
        model = ErcForSequenceClassification.from_pretrained(asked.checkpoint).float().eval()
        processor = ErcProcessor.from_pretrained(asked.checkpoint)
    except OSError as error:
        raise FileNotFoundError(
            f"{asked.checkpoint}: neither the folder of a checkpoint with its processor nor a reachable Hub id: "
            + " ".join(str(error).split())
        ) from error
    folder = asked.out or Path(asked.checkpoint) / "onnx"
    folder.mkdir(parents=True, exist_ok=True)

    began = time.monotonic()
    export = OnnxExport(model, processor)
    path = folder / "model.onnx"
    export.write(path)
    found = export.compare(path)
    if not found.difference <= TOLERANCE:  # NaN is no success either
        path.unlink()
        raise ValueError(
            f"the exported model differs from PyTorch by {found.difference:.1e}, more than {TOLERANCE:.0e}: "
            "it is not kept; please report the config.json"
        )
    write_description(folder / "model.json", export.describe())
    print(f"{path}: {_megabytes(path)}, written and compared in {time.monotonic() - began:.0f} s")
    for name, shape in export.shapes.items():
        print(f"  {name:22} ({', '.join(map(str, shape))})")
    print(f"  -> logits              (utterances, {model.config.num_labels})")
    print(f"largest difference to PyTorch over {found.utterances} utterances: {found.difference:.1e}")
    if asked.int8:
        small = folder / "model_int8.onnx"
        quantize_onnx(path, small)
        found = export.compare(small)
        print(
            f"{small}: {_megabytes(small)}; largest difference to PyTorch {found.difference:.1e}, "
            f"the same class for {found.agreement:.1%} of {found.utterances} made-up utterances"
        )


def _megabytes(path: Path) -> str:
    """Size with the weights that a large model has in a file of its own."""
    files = [path, path.with_name(path.name + ".data")]
    return f"{sum(file.stat().st_size for file in files if file.is_file()) / 1e6:.1f} MB"
