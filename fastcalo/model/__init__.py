"""Trained shower models: the ONNX file, its contract, its session and its random numbers."""
