"""Models without PyTorch: export to ONNX and eight-bit weights."""
