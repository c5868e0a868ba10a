"""ONNX export of ``arch = "showers"``: exportable adapter and the parts of the graph."""
