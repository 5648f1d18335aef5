"""Fine-tuned detectors for other frameworks and for ONNX."""
