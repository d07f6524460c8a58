"""Python-based Triton backends, for a server that has not NVIDIA's C++ ones (docs/architecture.md).

Triton finds each by its folder's name; a config.pbtxt that names `backend: "openvino"` runs on either.
"""
