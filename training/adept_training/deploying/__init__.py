"""Deploy fine-tuned detectors to other frameworks and to ONNX."""
