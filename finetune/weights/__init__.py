"""Reading and writing weights: ONNX detectors, fused parameters, Paddle programs."""
