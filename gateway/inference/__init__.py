"""Asking Triton: the detector, batches, the gRPC client, readiness."""
