"""Eight-bit weights for a model that was exported to ONNX."""

from pathlib import Path

from .onnx_export import quiet, require_onnx


def quantize_onnx(source: Path, target: Path) -> None:
    """Stores the weights of matrix products in eight bits, one scale a column; activations are scaled as they come.

    Args:
        source: an exported model.
        target: where the smaller one goes.
    """
    require_onnx()
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    # Shapes that the exporter noted for its own example would be taken for rules.
    del model.graph.value_info[:]
    # Signed ones overflow on processors without VNNI: the difference came out twelve times as large.
    with quiet():
        quantize_dynamic(model, target, weight_type=QuantType.QUInt8, per_channel=True)
