"""INT8 quantisation for OpenVINO."""
