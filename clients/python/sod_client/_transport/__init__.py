"""Transports to a server: JSON over HTTP to a gateway; gRPC or HTTP with binary tensors to Triton; with retries."""
