"""A session as one ONNX file: preprocessing, network and probabilities."""
