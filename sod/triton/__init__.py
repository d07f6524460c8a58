"""The models that run inside Triton's Python backend, and what they share."""
