"""Paddle to ONNX, the detector's graph, FP16."""
