"""Eight-bit weights for a model exported to ONNX."""

from pathlib import Path

from .onnx_export import quiet, require_onnx


def quantize_onnx(source: Path, target: Path) -> None:
    """Quantizes the weights of matrix products to eight bits, one scale per column; activations are scaled at run time.

    Args:
        source: the exported model.
        target: file to write the quantized model to.

    Raises:
        ImportError: the extra `export` is not installed.
    """
    require_onnx()
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    # The quantizer takes the shapes that the exporter recorded for its example as fixed.
    del model.graph.value_info[:]
    # Signed weights overflow on processors without VNNI: the difference to PyTorch was twelve times as large.
    with quiet():
        quantize_dynamic(model, target, weight_type=QuantType.QUInt8, per_channel=True)
