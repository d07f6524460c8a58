"""Makes the ONNX detector from a Paddle model, its FP16 form, and runs either in ONNX Runtime."""
