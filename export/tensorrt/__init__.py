"""TensorRT: compile checks without a GPU, building a plan, running a plan. Needs neither Paddle nor ONNX."""
