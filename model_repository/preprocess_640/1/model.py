"""Decode and resize: see sod/triton/preprocess.py."""

from sod.triton.preprocess import TritonPythonModel

__all__ = ["TritonPythonModel"]
