"""Runs the detector in OpenVINO, and quantises it to INT8 for it."""
