"""The backend on OpenVINO."""
