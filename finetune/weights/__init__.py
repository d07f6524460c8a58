"""Reading and writing weights: ONNX detectors, .pdparams files, Paddle programs."""
