"""Python-based Triton backends, for a server without NVIDIA's C++ ones (docs/architecture.md).

Triton finds each by the name of its folder. A config.pbtxt with `backend: "openvino"` runs on NVIDIA's and on ours.
"""
