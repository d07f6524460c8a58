"""Threshold and NMS: see sod/triton/postprocess.py."""

from sod.triton.postprocess import TritonPythonModel

__all__ = ["TritonPythonModel"]
