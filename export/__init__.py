"""From a trained model to one self-describing ONNX file; needs torch and onnx."""
