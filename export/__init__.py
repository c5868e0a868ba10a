"""Export of trained models to self-describing ONNX (needs ``pip install 'fastcalo[export]'``)."""
