"""The launcher: starts Triton (from the wheel or of NVIDIA's image) and the gateway, and keeps them running."""
