"""`export CKPT --onnx [--int8] [--out DIR]`: exports a checkpoint for use without PyTorch."""

import time
from pathlib import Path

from . import command_parser


def main(argv: list[str]) -> None:
    """Writes `model.onnx`, `model.json` and a script that uses them, and compares the outputs with PyTorch."""
    parser = command_parser(
        "export",
        "Exports a checkpoint to ONNX, for use with onnxruntime alone.",
        "example: %(prog)s runs/demo-001 --onnx",
    )
    parser.add_argument("checkpoint", metavar="CKPT", help="folder of a checkpoint, or a Hub id")
    parser.add_argument("--onnx", action="store_true", required=True, help="the format; it is the only one")
    parser.add_argument("--int8", action="store_true", help="also write model_int8.onnx, with 8-bit weights")
    parser.add_argument("--out", type=Path, help="folder of the exported files (default: CKPT/onnx)")
    args = parser.parse_args(argv)
    from ..loading import load_checkpoint
    from ..serving.int8 import quantize_onnx
    from ..serving.onnx_export import TOLERANCE, OnnxExport, require_onnx, write_usage

    require_onnx()
    model, processor = load_checkpoint(args.checkpoint)
    folder = args.out or Path(args.checkpoint) / "onnx"
    folder.mkdir(parents=True, exist_ok=True)

    started = time.monotonic()
    export = OnnxExport(model.float(), processor)
    path = folder / "model.onnx"
    export.write(path)
    result = export.compare(path)
    if not result.difference <= TOLERANCE:  # true for NaN as well
        path.unlink()
        raise ValueError(
            f"the exported model differs from PyTorch by {result.difference:.1e}, more than {TOLERANCE:.0e}, and was "
            "deleted: please report the config.json"
        )
    write_usage(folder, export)
    print(f"{path}: {_megabytes(path)}, written and compared in {time.monotonic() - started:.0f} s")
    for name, shape in export.shapes.items():
        print(f"  {name:22} ({', '.join(map(str, shape))})")
    print(f"  -> logits              (utterances, {model.config.num_outputs})")
    print(f"an example of its use: python {folder / 'run_onnx.py'} DIALOGUE.json")
    print(f"largest difference to PyTorch over {result.utterances} utterances: {result.difference:.1e}")
    if args.int8:
        small = folder / "model_int8.onnx"
        quantize_onnx(path, small)
        result = export.compare(small)
        print(
            f"{small}: {_megabytes(small)}; largest difference to PyTorch {result.difference:.1e}, "
            f"the same class for {result.agreement:.1%} of {result.utterances} synthetic utterances"
        )


def _megabytes(path: Path) -> str:
    """Returns the size of a model, with the file that holds the weights of a large one."""
    files = [path, path.with_name(path.name + ".data")]
    return f"{sum(file.stat().st_size for file in files if file.is_file()) / 1e6:.1f} MB"
