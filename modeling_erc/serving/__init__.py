"""Models for places where PyTorch is not: export to ONNX, eight-bit weights."""
