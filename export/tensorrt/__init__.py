"""TensorRT: compile checks without a GPU, plans, running a plan."""
