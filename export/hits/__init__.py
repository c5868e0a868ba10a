"""Export of ``arch = "hits"`` to one ONNX graph."""
